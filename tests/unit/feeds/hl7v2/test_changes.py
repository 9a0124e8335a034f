import pytest

from mpi.errors import InvalidIdentity, UnknownAuthority
from mpi.feeds.hl7v2 import er7, problems
from mpi.feeds.hl7v2.adt import read_instruction
from mpi.identity.domains import INS_DEMO_OID, INS_NIA_OID, INS_NIR_OID, INS_TEST_OID
from mpi.identity.ins import matricule_key
from mpi.identity.model import RecordKey
from mpi.index.events import IdentifiersLinked, IdentifiersMerged, IdentityStated, PatientMoved
from tests.unit.feeds.hl7v2.fakes import KEY_A, KEY_B, KEY_C, SITE_A, adt, change, federation, link

A1 = "A1^^^SITE-A&2.999.1.1&ISO^PI"
A2 = "A2^^^SITE-A&2.999.1.1&ISO^PI"
A3 = "A3^^^SITE-A&2.999.1.1&ISO^PI"
B7 = "B7^^^SITE-B&2.999.1.2&ISO^PI"
C5 = "C5^^^SITE-C&2.999.1.3&ISO^PI"
D9 = "D9^^^SITE-D&2.999.1.4&ISO^PI"
NIR = "284022999912354"
OTHER_NIR = "1840229999123" + matricule_key("1840229999123")


def ins(value=NIR, oid=INS_TEST_OID):
    return f"{value}^^^ASIP-SANTE-INS-NIR&{oid}&ISO^INS"


NO_INS = ins('""')


def instruction(text, source="ris-a"):
    directory = federation()
    return read_instruction(er7.read(text.encode()), source=directory.source(source), directory=directory)


def refusal(kind, text, **options):
    with pytest.raises(kind) as refused:
        instruction(text, **options)
    return refused.value


def ins_change(pid_3, mrg_1=None, codes="VALI", sex="F"):
    """An A47 about an INS, with what an INS needs beside it."""
    pid = f"PID|||{pid_3}||ROUX^ANNE^^^^^L||19840229|{sex}|||^^^^^FRA^BDL^^29999"
    return adt("A47", f"{pid}{'|' * 21}{codes}", f"MRG|{mrg_1 or ins()}")


# ------------------------------------------------------------------------------------------- A47


def test_a_change_renames_a_record_in_its_domain():
    renamed = instruction(change("A2^^^SITE-A", "A1"))

    assert isinstance(renamed, IdentifiersMerged)
    assert renamed.renamed
    assert (renamed.survivor.value, renamed.subsumed.value, renamed.domain) == ("A2", "A1", KEY_A)
    assert renamed.survivor.authority == renamed.subsumed.authority == SITE_A


@pytest.mark.parametrize(
    ("pid_3", "mrg_1", "source"),
    [
        (f"{B7}~C6^^^SITE-C~{ins()}", C5, "hub"),
        (f"C6^^^SITE-C~{D9}~X^^^NOWHERE", f"{C5}~{NIR}^^^&{INS_NIR_OID}&ISO^NH", "hub"),
    ],
)
def test_a_change_may_list_what_does_not_change(pid_3, mrg_1, source):
    renamed = instruction(change(pid_3, mrg_1), source)

    assert (renamed.survivor.value, renamed.subsumed.value, renamed.domain) == ("C6", "C5", KEY_C)


@pytest.mark.parametrize(
    ("text", "source", "place", "problem"),
    [
        (change(A1, A1), "ris-a", "MRG^1^1", problems.SAME_IDENTIFIER),
        (change(f"{A2}~{A1}", A1), "ris-a", "MRG^1^1", problems.SAME_IDENTIFIER),
        (change(f"{A2}~{A3}", A1), "ris-a", "PID^1^3", problems.SEVERAL_SURVIVORS),
        (change(B7, C5), "hub", "MRG^1^1^1^4", problems.CROSS_DOMAIN),
        (change(B7, f"{NIR}^^^ASIP-SANTE-NIR^NH~{C5}"), "hub", "MRG^1^1^2^4", problems.CROSS_DOMAIN),
        (change('""^^^SITE-A', A1), "ris-a", "PID^1^3", problems.REQUIRED),
        (change(A2, f"{A1}~{A3}"), "ris-a", "MRG^1^1", problems.SEVERAL_SUBSUMED),
        (change(A2, f"{A1}~{B7}"), "ris-a", "MRG^1^1", problems.SEVERAL_SUBSUMED),
        (change(A2, f"{A1}~{ins()}"), "ris-a", "MRG^1^1", problems.ONE_CHANGE),
        (change(f"{A2}~{NO_INS}", A1), "ris-a", "MRG^1^1", problems.ONE_CHANGE),
        (change(A2, f"{B7}~{ins()}"), "ris-a", "MRG^1^1", problems.ONE_CHANGE),
        (change(A2, ""), "ris-a", "MRG^1^1", problems.REQUIRED),
        (change(A2, "A\x01"), "ris-a", "MRG^1^1", problems.CONTROL_CHARACTER),
        (adt("A47", f"PID|||{A2}"), "ris-a", "MRG^1", problems.SEGMENT_MISSING),
        (adt("A47", f"MRG|{A1}"), "ris-a", "PID^1", problems.SEGMENT_MISSING),
        (adt("A47", f"PID|||{A2}", *[f"MRG|{A1}"] * 2), "ris-a", "MRG^2", problems.ONE_PAIR),
        (adt("A47", *[f"PID|||{A2}", f"MRG|{A1}"] * 2), "ris-a", "PID^2", problems.ONE_PAIR),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(text, source, place, problem):
    error = refusal(InvalidIdentity, text, source=source)

    assert (error.place, error.problem) == (place, problem)


def test_a_change_of_an_identifier_of_another_source_is_refused():
    assert refusal(problems.SenderNotPermitted, change(A2, B7)).place == "MRG^1^1^1^4"
    assert refusal(UnknownAuthority, change(A2, "A1^^^NOWHERE")).place == "MRG^1^1^1^4"


# ------------------------------------------------------------------------------- A47 about an INS


@pytest.mark.parametrize("codes", ["PROV", "VALI", ""])
def test_a_withdrawn_ins_is_a_statement_that_deletes_it_and_states_the_status(codes):
    stated = instruction(ins_change(f"{A1}~{NO_INS}", codes=codes))

    assert isinstance(stated, IdentityStated)
    record = stated.records[0]
    assert record.key == RecordKey(KEY_A, "A1")
    assert record.demographics.deleted == {"ins", "ins_oid"}
    assert record.demographics.ins == ""
    assert record.demographics.identity_codes == ((codes,) if codes else ())
    assert record.others == ()


def test_a_new_ins_takes_the_place_of_the_old():
    record = instruction(ins_change(f"{ins(OTHER_NIR)}~{A1}", sex="M")).records[0]

    assert (record.demographics.ins, record.demographics.ins_oid) == (OTHER_NIR, INS_TEST_OID)
    assert record.demographics.deleted == set()
    assert [other.value for other in record.others] == [OTHER_NIR]


def test_a_new_ins_that_is_not_admitted_leaves_none():
    record = instruction(ins_change(f"{A1}~{ins(OTHER_NIR)}", codes="PROV")).records[0]

    assert record.demographics.ins == ""
    assert record.demographics.deleted == {"ins", "ins_oid"}
    assert record.warnings == ("PID^1^3^2: INS of an identity that is not validated; dropped",)


def test_one_message_withdraws_nir_and_nia_and_every_record_of_the_person():
    both = f"{ins()}~{ins(OTHER_NIR, INS_NIA_OID)}"
    stated = instruction(ins_change(f"{B7}~{NO_INS}~{C5}", both), "hub")

    assert [record.key for record in stated.records] == [RecordKey(KEY_B, "B7"), RecordKey(KEY_C, "C5")]
    assert all(record.demographics.deleted == {"ins", "ins_oid"} for record in stated.records)


def test_a_number_that_becomes_a_nir_keeps_its_digits():
    record = instruction(ins_change(f"{A1}~{ins()}", ins(oid=INS_DEMO_OID))).records[0]

    assert record.demographics.ins == NIR


@pytest.mark.parametrize(
    ("pid_3", "mrg_1", "place", "problem"),
    [
        (A1, ins(), "PID^1^3", problems.NO_NEW_INS),
        (f'{A1}~""^^^SITE-A', ins(), "PID^1^3", problems.NO_NEW_INS),
        (f"{A1}~{ins()}", ins("2 84 02 29 999 123 54"), "MRG^1^1", problems.SAME_IDENTIFIER),
        (f"{A1}~{ins(OTHER_NIR)}~{ins()}", ins(), "MRG^1^1", problems.SAME_IDENTIFIER),
        (NO_INS, ins(), "PID^1^3", problems.REQUIRED),
        (ins(OTHER_NIR), ins(), "PID^1^3", problems.NO_OWN_IDENTIFIER),
        (f"{A1}~{NO_INS}", NO_INS, "MRG^1^1", problems.REQUIRED),
        (f"{A1}~{NO_INS}", f"{NIR}^^^ASIP-SANTE-NIR^NH", "MRG^1^1", problems.NO_OWN_IDENTIFIER),
    ],
)
def test_a_change_of_ins_that_cannot_be_meant_is_refused(pid_3, mrg_1, place, problem):
    error = refusal(InvalidIdentity, ins_change(pid_3, mrg_1))

    assert (error.place, error.problem) == (place, problem)


def test_an_unknown_authority_beside_an_ins_that_changes_is_a_warning():
    record = instruction(ins_change(f"{A1}~{NO_INS}", f"{ins()}~X1^^^NOWHERE")).records[0]

    assert record.warnings == ("MRG^1^1^2^4: unknown assigning authority",)


# -------------------------------------------------------------------------------------- A24, A37


@pytest.mark.parametrize(("event", "linked"), [("A24", True), ("A37", False)])
def test_two_identifiers_are_linked_or_unlinked(event, linked):
    said = instruction(link(A1, B7, event=event), "gam-a")

    assert isinstance(said, IdentifiersLinked)
    assert (said.left, said.right) == (RecordKey(KEY_A, "A1"), RecordKey(KEY_B, "B7"))
    assert (said.linked, said.source) == (linked, "gam-a")


@pytest.mark.parametrize(
    ("left", "right", "source"),
    [
        (A1, A2, "ris-a"),
        (B7, C5, "hub"),
        (C5, A1, "gam-a"),
        (f"{A1}~{B7}", A2, "ris-a"),
        (f"{ins()}~{A1}~N1^^^SITE-A^VN", f"{C5}~X^^^NOWHERE~{D9}", "gam-a"),
    ],
)
def test_what_a_source_may_link(left, right, source):
    assert instruction(link(left, right), source).linked


def test_what_is_left_aside_in_a_link_is_warned_of_by_its_segment():
    said = instruction(link(A1, f"X1^^^NOWHERE~{C5}"), "gam-a")

    assert said.warnings == ("PID^2^3^1^4: unknown assigning authority",)


@pytest.mark.parametrize(
    ("left", "right", "source", "place"),
    [
        (A1, B7, "ris-a", "PID^2^3"),
        (B7, A1, "ris-a", "PID^1^3"),
        (A1, D9, "gam-a", "PID^2^3"),
        (B7, C5, "gam-a", "PID^1^3"),
    ],
)
def test_what_a_source_may_not_link(left, right, source, place):
    assert refusal(problems.SenderNotPermitted, link(left, right), source=source).place == place


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        (link(A1, A1), "PID^2^3", problems.SELF_LINK),
        (link(A1, "A1"), "PID^2^3", problems.SELF_LINK),
        (link(A1, ""), "PID^2^3", problems.REQUIRED),
        (link(ins(), A1), "PID^1^3", problems.NOT_LINKABLE),
        (link(A1, f"{A2}~{A3}"), "PID^2^3", problems.SEVERAL_LINKABLE),
        (link(f"{A1}~{B7}", C5), "PID^1^3", problems.SEVERAL_LINKABLE),
        (link(A1, "A\x01"), "PID^2^3", problems.CONTROL_CHARACTER),
        (adt("A24", f"PID|||{A1}"), "PID^2", problems.SEGMENT_MISSING),
        (adt("A37", "PV1||N"), "PID^1", problems.SEGMENT_MISSING),
        (adt("A24", *[f"PID|||{A1}"] * 3), "PID^3", problems.ONE_LINK),
    ],
)
def test_a_link_that_cannot_be_meant_is_refused(text, place, problem):
    error = refusal(InvalidIdentity, text, source="gam-a")

    assert (error.place, error.problem) == (place, problem)


def test_a_link_with_an_unknown_authority_is_refused():
    assert refusal(UnknownAuthority, link(A1, "X^^^NOWHERE"), source="gam-a").place == "PID^2^3^1^4"


# --------------------------------------------------------------------------------- A43, A44, A45


def move(event, pid_3, *mrg_1):
    return adt(event, f"PID|||{pid_3}", *(f"MRG|{mrg}" for mrg in mrg_1))


@pytest.mark.parametrize(
    "text",
    [
        move("A43", A1, A2),
        move("A44", f"{A1}~{B7}~{ins()}", f"{A2}||ACCOUNT"),
        move("A45", A1, f"{A2}||||V1"),
        move("A45", A1, f"{A2}||||V1", f"{A2}||||V2"),
    ],
)
def test_what_was_filed_under_one_identifier_moves_to_another(text):
    moved = instruction(text)

    assert isinstance(moved, PatientMoved)
    assert (moved.to, moved.origin) == (RecordKey(KEY_A, "A1"), RecordKey(KEY_A, "A2"))
    assert moved.source == "ris-a"


def test_an_identifier_that_moves_stands_on_both_sides_and_is_neither():
    moved = instruction(move("A43", f"{C5}~{B7}", f"{C5}~B8^^^SITE-B"), "hub")

    assert (moved.to, moved.origin) == (RecordKey(KEY_B, "B7"), RecordKey(KEY_B, "B8"))


@pytest.mark.parametrize(
    ("text", "source", "place", "problem"),
    [
        (move("A43", f"{C5}~{B7}", f"{B7}~{C5}"), "hub", "MRG^1^1", problems.SEVERAL_SUBSUMED),
        (move("A44", A1, A1), "ris-a", "MRG^1^1", problems.SAME_IDENTIFIER),
        (move("A43", A1, A2, A2), "ris-a", "MRG^2", problems.ONE_PAIR),
        (move("A45", A1, A2, A3), "ris-a", "MRG^2^1", problems.SEVERAL_ORIGINS),
        (move("A45", A1), "ris-a", "MRG^1", problems.SEGMENT_MISSING),
        (move("A44", B7, C5), "hub", "MRG^1^1^1^4", problems.CROSS_DOMAIN),
        (move("A44", f"{A1}~{A3}", A2), "ris-a", "PID^1^3", problems.SEVERAL_SURVIVORS),
        (move("A44", A1, f"{A2}~{A3}"), "ris-a", "MRG^1^1", problems.SEVERAL_SUBSUMED),
        (move("A44", A1, ins()), "ris-a", "MRG^1^1", problems.NO_OWN_IDENTIFIER),
    ],
)
def test_a_move_that_cannot_be_meant_is_refused(text, source, place, problem):
    error = refusal(InvalidIdentity, text, source=source)

    assert (error.place, error.problem) == (place, problem)


def test_a_move_between_identifiers_of_another_source_is_refused():
    assert refusal(problems.SenderNotPermitted, move("A44", B7, "B8^^^SITE-B")).place == "PID^1^3^1^4"
