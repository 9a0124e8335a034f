"""F11, I01 and I03 to I08 over a real registry: what an INS, an identity status or a birth date is taken for."""

import pytest

from mpi.identity.domains import INS_TEST_OID
from mpi.index.review import TaskKind
from mpi.matching.decision import Decision
from mpi.matching.online import score
from tests.conformance.hl7v2.test_identifier_changes import LOUISE, NIR, OTHER_NIR, THEO, Site, a, b, ins
from tests.unit.feeds.hl7v2.fakes import KEY_A, KEY_B, adt

ADDRESS = "12 RUE DES LILAS^^LIMOGES^^87000^FRA^H~^^^^^FRA^BDL^^87085"


@pytest.fixture
def site(memory_store):
    return Site(memory_store)


def twin(given, order):
    return f"ROUX^{given}^{given}^^^^L||20190314|F|||{ADDRESS}{'|' * 13}Y|{order}"


def test_twins_are_never_linked_without_a_person(site):
    """[F11] Alike but for given name and birth order: a question at most."""
    site.send(adt("A28", f"PID|||{a('T1')}||{twin('LEA', 1)}"))
    site.send(adt("A28", f"PID|||{b('T2')}||{twin('LEO', 2)}", application="HUB", facility="SITE_B"))

    assert site.answer(a("T1")) == "NF"
    assert site.answer(b("T2")) == "NF"


WRONG_KEY = f"{NIR[:-2]}{(int(NIR[-2:]) % 97) + 1:02}"
REAL_OID = "1.2.250.1.213.1.4.8"
NH = f"{NIR}^^^ASIP-SANTE-INS-NIR&{REAL_OID}&ISO^NH"
NIA = f"{OTHER_NIR}^^^ASIP-SANTE-INS-NIA&1.2.250.1.213.1.4.11&ISO^INS"


@pytest.mark.parametrize(
    ("identifier", "codes", "kept", "is_said"),
    [
        pytest.param(ins(), "VALI", NIR, False, id="I01 validated"),
        pytest.param(ins(), "PROV", "", True, id="I01 provisional"),
        pytest.param(NH, "VALI", "", False, id="I01 insurance number"),
        pytest.param(ins(WRONG_KEY), "VALI", "", True, id="I01 wrong key"),
        pytest.param(ins().replace(INS_TEST_OID, REAL_OID), "VALI", "", True, id="I01 of the other platform"),
        pytest.param(f"{NIA}~{ins()}", "VALI", NIR, False, id="I01 NIA beside NIR"),
    ],
)
def test_what_is_no_qualified_ins_is_left_out_and_the_message_taken(site, identifier, codes, kept, is_said):
    """[I01] Kept, left out and said, or taken for what it is; AA each time."""
    reply = site.state(f"{a('A1')}~{identifier}", LOUISE, codes=codes)
    known = site.known(KEY_A, "A1")
    (message,) = site.world.registry.messages()

    assert reply.msa_1 == "AA"
    assert known.ins == kept
    assert bool(message.warnings) is is_said


def test_one_ins_on_two_people_is_a_collision_and_no_link(site):
    """[I03] The traits disagree: nothing is joined, somebody is asked."""
    site.state(f"{a('A1')}~{ins()}", LOUISE, codes="VALI")
    site.state(f"{b('B2')}~{ins()}", THEO, codes="VALI")

    assert site.answer(a("A1")) == "NF"
    assert TaskKind.INS_COLLISION in {task.kind for task in site.world.tasks()}


@pytest.mark.parametrize("codes", ["PROV~DOUT", "PROV~FICT"])
def test_a_doubtful_or_fictitious_identity_is_a_candidate_and_no_link(site, codes):
    """[I04] However well it matches."""
    site.state(a("A1"), LOUISE, codes="PROV")
    site.state(b("B1"), LOUISE, codes=codes)

    assert site.answer(a("A1")) == "NF"


@pytest.mark.parametrize("codes", ["PROV~ANOM", "PROV~CACH"])
def test_an_anonymous_or_hidden_identity_is_in_no_answer_and_no_link(site, codes):
    """[I05] It is as if it had never been stated."""
    site.state(a("A1"), LOUISE, codes="PROV")
    site.state(b("B1"), LOUISE, codes=codes)

    assert site.answer(a("A1")) == "NF"
    assert site.answer(b("B1")) == "AE"


def bits_of_birth_date(site, born, *zfd):
    """What two equal birth dates weigh."""
    who = LOUISE.replace("19840229", born)
    for cx, header in ((a("A1"), {}), (b("B1"), {"application": "HUB", "facility": "SITE_B"})):
        assert site.send(adt("A28", f"PID|||{cx}||{who}", *zfd, **header)).msa_1 == "AA"
    with site.world.store.read() as uow:
        left, right = (uow.records.epochs(key, value)[0] for key, value in ((KEY_A, "A1"), (KEY_B, "B1")))
    found = score(site.world.model, left.traits, right.traits)
    assert found.decision is not Decision.NON_LINK
    return sum(item.bits for item in found.evidence if item.trait == "birth_date")


@pytest.mark.parametrize(
    ("born", "zfd"),
    [
        pytest.param("19841231", (), id="I07 31 December"),
        pytest.param("19840101", (), id="I07 1 January"),
        pytest.param("19840229", ("ZFD||||Y",), id="I07 interpreted"),
    ],
)
def test_a_default_birth_date_weighs_less_than_a_real_one(memory_store, sqlite_store, born, zfd):
    """[I07] Nobody knew better: agreeing on it says little."""
    real = bits_of_birth_date(Site(memory_store), "19840229")
    default = bits_of_birth_date(Site(sqlite_store), born, *zfd)

    assert default < real - 1


@pytest.mark.parametrize(
    ("written", "otherwise"),
    [
        pytest.param("ŒUVRARD^ANNE^ANNE^^^^L", "OEUVRARD^ANNE^ANNE^^^^L", id="I08 ligature"),
        pytest.param("LEFÈVRE^HÉLÈNE^HÉLÈNE^^^^L", "LEFEVRE^HELENE^HELENE^^^^L", id="I08 accents"),
        pytest.param("D'ARCY^ANNE^ANNE^^^^L", "D ARCY^ANNE^ANNE^^^^L", id="I08 apostrophe"),
        pytest.param("ROUX--MARTIN^ANNE^ANNE^^^^L", "ROUX MARTIN^ANNE^ANNE^^^^L", id="I08 two hyphens"),
        pytest.param(
            "MARTIN^ANNE^^^^^D~ROUX^ANNE^ANNE^^^^L",
            "ROUX^ANNE^ANNE^^^^L~MARTIN^ANNE^^^^^D",
            id="I08 used name first",
        ),
    ],
)
def test_spellings_of_one_name_compare_as_one_and_stay_as_written(site, written, otherwise):
    """[I08] One key to compare, the reference form intact."""
    rest = "||19840229|F|||^^^^^FRA^BDL^^87085"
    site.state(a("A1"), written + rest, charset="UNICODE UTF-8")
    site.state(b("B1"), otherwise + rest, charset="UNICODE UTF-8")
    family = written.split("~")[-1].split("^")[0]
    with site.world.store.read() as uow:
        records = [uow.records.epochs(key, value)[0] for key, value in ((KEY_A, "A1"), (KEY_B, "B1"))]

    assert site.answer(a("A1")) == {"B1"}
    assert records[0].traits.birth_name == records[1].traits.birth_name
    assert family in {name.family for name in site.known(KEY_A, "A1").names}
