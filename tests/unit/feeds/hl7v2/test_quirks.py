"""Each quirk: what is refused, or warned of, without it, and read as meant with it."""

import pytest

from mpi.index.events import MessageState, Nothing
from mpi.index.parties import Quirk
from tests.unit.feeds.hl7v2.fakes import KEY_A, Feed, adt

NIR = "284022999912354"


def pid(*, ids="A1", name="ROUX^ANNE^^^^^L", born="1984", sex="F", **fields):
    values = {3: ids, 5: name, 7: born, 8: sex} | {int(key[1:]): value for key, value in fields.items()}
    return "|".join(["PID", *(values.get(n, "") for n in range(1, max(values) + 1))])


def sent(segment, *quirks, event="A28"):
    feed = Feed(quirks=frozenset(quirks))
    return feed.send(adt(event, segment, charset="UNICODE UTF-8").encode()), feed


def read(segment, *quirks):
    """What a message of one quirky sender says; it is taken, without a warning."""
    reply, feed = sent(segment, *quirks)
    assert reply.msa_1 == "AA"
    record = feed.latest(KEY_A, "A1")
    assert record.warnings == ()
    return record.demographics


def refused(segment):
    reply, _ = sent(segment)
    return (reply.msa_1, reply.err_2, reply.err_3)


def test_every_quirk_has_its_test():
    tested = {name.removeprefix("test_quirk_") for name in globals() if name.startswith("test_quirk_")}

    assert tested == {quirk.value for quirk in Quirk}


def test_quirk_name_type_in_xpn_8():
    names = pid(name="DARK^JEANNE^JEANNE MARIE^^^^^L")
    _, feed = sent(names)

    assert feed.latest(KEY_A, "A1").warnings == ("PID^1^5^1^7: name type found one component too far",)
    assert read(names, Quirk.NAME_TYPE_IN_XPN_8).names[0].use == "L"


def test_quirk_untyped_name_is_birth_name():
    names = pid(name="ROUX^ANNE~DUVIVIER^^^^^^D")

    assert [name.use for name in read(names).names] == ["U", "D"]
    assert [name.use for name in read(names, Quirk.UNTYPED_NAME_IS_BIRTH_NAME).names] == ["L", "D"]


@pytest.mark.parametrize(
    ("word", "sex"),
    [
        ("1", "M"),
        ("2", "F"),
        ("H", "M"),
        ("F", "F"),
        ("M", "M"),
        ("Féminin", "F"),
        ("homme", "M"),
        ("9", "U"),
    ],
)
def test_quirk_gender_words(word, sex):
    if word not in ("F", "M"):
        assert refused(pid(sex=word)) == ("AE", "PID^1^8", "103")
    assert read(pid(sex=word), Quirk.GENDER_WORDS).sex == sex


@pytest.mark.parametrize("date", ["1984-02-29", "29/02/1984", "29.02.1984", "1984/02/29", "29-02-1984"])
def test_quirk_dates_with_separators(date):
    assert refused(pid(born=date)) == ("AE", "PID^1^7", "102")
    assert str(read(pid(born=date), Quirk.DATES_WITH_SEPARATORS).birth_date) == "1984-02-29"


@pytest.mark.parametrize("date", ["29/13/1984", "30-02-1984", "29/02/84", "1984-2-9", "1984-02/29"])
def test_a_separated_date_that_is_none_is_refused_all_the_same(date):
    reply, _ = sent(pid(born=date), Quirk.DATES_WITH_SEPARATORS)

    assert (reply.msa_1, reply.err_2) == ("AE", "PID^1^7")


def test_quirk_null_is_empty():
    nulls = pid(born='""', sex='""', f11='""', f13='""', f32='""')

    assert {"birth_date", "sex", "address", "phones"} < read(nulls).deleted
    assert read(nulls, Quirk.NULL_IS_EMPTY).deleted == frozenset()


def test_a_quirk_about_nulls_does_not_keep_an_ins_that_is_withdrawn():
    ids = 'A1~""^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.10&ISO^INS'

    assert read(pid(ids=ids), Quirk.NULL_IS_EMPTY).deleted == {"ins", "ins_oid"}


@pytest.mark.parametrize("kind", ["PT", "IPP", "EXT"])
def test_quirk_missing_cx4(kind):
    assert refused(pid(ids=f"A1^^^^{kind}")) == ("AE", "PID^1^3^1^4", "204")
    assert read(pid(ids=f"A1^^^^{kind}"), Quirk.MISSING_CX_4)


@pytest.mark.parametrize("kind", ["INS", "NH", "SS", "INS-C", "AN", "VN"])
def test_what_is_not_a_sites_to_give_is_not_its_own(kind):
    reply, feed = sent(pid(ids=f"{NIR}^^^^{kind}"), Quirk.MISSING_CX_4)

    assert reply.msa_1 == "AE"
    assert not feed.registry.records


def test_quirk_unknown_events():
    assert sent(pid(), event="A19")[0].err_3 == "201"
    reply, feed = sent(pid(), Quirk.UNKNOWN_EVENTS, event="A19")

    assert (reply.msa_1, feed.state, feed.registry.applied) == ("AA", MessageState.APPLIED, [Nothing()])
