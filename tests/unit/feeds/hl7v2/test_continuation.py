"""What is remembered of a query, for whom, and for how long."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from mpi.feeds.hl7v2.continuation import Continuations, Found, Hit, digest, pointer
from mpi.feeds.hl7v2.query_answer import Client
from tests.unit.feeds.hl7v2.fakes import NOW

VIEWER = Client("viewer", "aa")
HITS = tuple(Hit(f"E{n}", "") for n in range(5))


def found(client=VIEWER, tag="T", at=NOW):
    return Found(client, tag, digest("QPD|x"), at, HITS)


def ask(kept, text, *, client=VIEWER, question="QPD|x", at=NOW):
    return kept.find(text, client=client, question=digest(question), at=at)


def test_one_consumer_does_not_push_another_ones_pages_out():
    kept = Continuations(lasts_seconds=600, per_consumer=2)
    mine = kept.keep(found())
    for _ in range(50):
        kept.keep(found(Client("other", "")))

    assert ask(kept, pointer(mine, 2)) == (mine, found(), 2)
    assert len(kept) == 3


def test_what_is_old_is_forgotten_whoever_asks_next():
    kept = Continuations(lasts_seconds=600, per_consumer=10)
    kept.keep(found())
    kept.keep(found(Client("other", ""), at=NOW + timedelta(seconds=600)))

    assert len(kept) == 1


def test_pointers_do_not_follow_one_another():
    kept = Continuations(lasts_seconds=600, per_consumer=1000)
    tokens = [kept.keep(found()) for _ in range(1000)]

    assert len(set(tokens)) == 1000
    assert {len(token) for token in tokens} == {32}
    assert len({token[:4] for token in tokens}) > 900


def test_nothing_of_a_person_is_remembered():
    kept = Continuations(lasts_seconds=600, per_consumer=1)
    kept.keep(found())
    (only,) = kept._kept["viewer"].values()

    assert [type(each) for each in only.hits[0]] == [str, str]
    assert not hasattr(only, "__dict__")


@given(st.text(max_size=60), st.sampled_from([VIEWER, Client("viewer", "bb"), Client("other", "aa")]))
def test_no_other_text_is_a_pointer(text, client):
    kept = Continuations(lasts_seconds=600, per_consumer=10)
    token = kept.keep(found())
    good = {pointer(token, shown) for shown in range(1, 5)}
    for candidate in (text, token + text, f"{token}-{text}", pointer(token, 1)):
        remembered = ask(kept, candidate, client=client)
        if remembered is not None:
            assert client == VIEWER
            assert f"{token}-{int(candidate.rpartition('-')[2])}" in good
