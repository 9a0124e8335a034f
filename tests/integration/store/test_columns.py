"""What a database cannot hold as it is, and how it is held."""

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from mpi.store.columns import UtcDateTime, stated, storable
from tests.integration.store.examples import NOON

any_text = st.text(alphabet=st.characters(exclude_categories=())) | st.text(
    alphabet="\x1a\x000aA\ud800", max_size=8
)


@given(any_text)
def test_any_text_can_be_stored_and_read_back(text: str) -> None:
    stored = storable(text)

    assert "\x00" not in stored
    assert stored.encode().decode() == stored
    assert stated(stored) == text


@given(st.lists(any_text, unique=True, max_size=5))
def test_two_texts_are_never_stored_as_one(texts: list[str]) -> None:
    for one, other in itertools.combinations(texts, 2):
        assert storable(one) != storable(other)


def test_plain_text_is_stored_as_it_is() -> None:
    assert storable("D'Œuvre\t😀\r") == "D'Œuvre\t😀\r"


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=["sqlite", "postgresql"])
def test_an_instant_without_a_time_zone_is_refused(dialect: sqlite.dialect) -> None:
    with pytest.raises(ValueError, match="time zone"):
        UtcDateTime().process_bind_param(NOON.replace(tzinfo=None), dialect)


instants = st.datetimes(
    min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.timezones()
).map(
    lambda instant: instant.astimezone(
        UTC
    )  # where the clock is put back, only UTC is sure which hour is meant
)


@given(instants, instants)
def test_on_sqlite_the_order_of_instants_is_the_order_of_their_texts(one: datetime, other: datetime) -> None:
    texts = [UtcDateTime().process_bind_param(instant, sqlite.dialect()) for instant in (one, other)]

    assert (texts[0] < texts[1]) == (one < other)
    assert UtcDateTime().process_result_value(texts[0], sqlite.dialect()) == one
