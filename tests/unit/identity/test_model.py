import pytest

from mpi.identity.model import PartialDate


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1963", (1963, None, None)),
        ("196304", (1963, 4, None)),
        ("19630405", (1963, 4, 5)),
        ("196304051230", (1963, 4, 5)),
        ("1963-04", (1963, 4, None)),
        ("1963-04-05", (1963, 4, 5)),
        ("20240229", (2024, 2, 29)),
    ],
)
def test_a_date_is_as_precise_as_it_was_stated(text, parts):
    date = PartialDate.parse(text)

    assert parts == (date.year, date.month, date.day)
    assert PartialDate.parse(str(date)) == date


@pytest.mark.parametrize("text", ["", "63", "19631", "1963040", "19631301", "20230229", "ABCD", "１９６３"])
def test_what_is_not_a_date(text):
    with pytest.raises(ValueError, match=r".+"):
        PartialDate.parse(text)


def test_a_day_needs_its_month():
    with pytest.raises(ValueError, match="month"):
        PartialDate(1963, None, 5)
