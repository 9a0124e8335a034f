import pytest

from mpi.errors import InvalidIdentity, UnknownAuthority, UnsupportedMessage
from mpi.feeds.hl7v2 import er7, problems
from mpi.feeds.hl7v2.adt import CHANGES, read_instruction
from mpi.feeds.hl7v2.profiles import EVENTS
from mpi.identity.model import RecordKey, Urgency, Witness
from mpi.index.events import IdentifiersMerged, IdentityStated, Nothing
from tests.unit.feeds.hl7v2.fakes import KEY_A, KEY_C, PID, SITE_A, adt, federation, merge

A1001 = "A1001^^^SITE-A&2.999.1.1&ISO^PI"
A1377 = "A1377^^^SITE-A&2.999.1.1&ISO^PI"


def instruction(text, source="ris-a"):
    directory = federation()
    found = directory.source(source) if source else None
    return read_instruction(er7.read(text.encode()), source=found, directory=directory)


def refusal(kind, text, **options):
    with pytest.raises(kind) as refused:
        instruction(text, **options)
    return refused.value


STATEMENTS = {"A08", "A28", "A31"}
REGISTRATIONS = {"A01", "A04", "A05"}
MOVEMENTS = {"A02", "A03", "A06", "A07", "A09", "A10", "A14", "A15", "A16", "A21", "A22", "A54", "Z99"}
VOID = {"A11", "A12", "A13", "A25", "A26", "A27", "A32", "A33", "A38", "A49", "A50", "A52", "A53", "A55"}


@pytest.mark.parametrize("event", sorted(STATEMENTS | REGISTRATIONS))
@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.5^FRA^2.11", ""])
def test_identity_events_state_an_identity(event, version):
    stated = instruction(adt(event, version=version))

    assert isinstance(stated, IdentityStated)
    assert stated.records[0].key == RecordKey(KEY_A, "A1001")


def test_every_event_is_of_one_kind():
    assert STATEMENTS | REGISTRATIONS | MOVEMENTS | VOID | CHANGES.keys() == EVENTS


@pytest.mark.parametrize("event", sorted(EVENTS - CHANGES.keys()))
def test_the_structure_of_an_event_is_not_warned_of(event):
    read = instruction(adt(event))

    assert isinstance(read, Nothing) or read.records[0].warnings == ()


def test_the_structure_of_another_event_is_warned_of():
    text = adt("A28").replace("ADT_A05", "ADT_A01")

    assert instruction(text).records[0].warnings == ("MSH^1^9^1^3: not the structure of this event",)


@pytest.mark.parametrize(
    ("events", "version", "is_movement"),
    [
        (MOVEMENTS, "2.5", True),
        (MOVEMENTS, "2.3.1", True),
        (REGISTRATIONS, "2.5", True),
        (REGISTRATIONS, "2.5^FRA^2.11", True),
        (REGISTRATIONS, "2.3.1", False),
        (REGISTRATIONS, "2.4", False),
        (REGISTRATIONS, "", False),
        (STATEMENTS, "2.5", False),
        (STATEMENTS, "2.3.1", False),
    ],
)
def test_the_version_tells_a_registration_from_a_movement(events, version, is_movement):
    for event in events:
        witness = instruction(adt(event, version=version)).records[0].witness
        assert (witness is Witness.MOVEMENT) is is_movement, event


WITHDRAWN = {3: "A1001^^^SITE-A", 5: "CHANTEREAU^LOUISE^^^^^L", **dict.fromkeys((7, 8, 11, 13, 23, 32), '""')}
WITHDRAWING = "|".join(["PID", *(WITHDRAWN.get(number, "") for number in range(1, 33))])


def test_a_movement_withdraws_no_strict_trait():
    moved = instruction(adt("A02", WITHDRAWING)).records[0].demographics
    stated = instruction(adt("A31", WITHDRAWING)).records[0].demographics

    assert moved.deleted == {"address", "city", "postal_code", "country", "phones", "emails"}
    assert stated.deleted - moved.deleted == {
        "birth_date", "sex", "birth_place", "birth_place_code", "identity_codes"
    }  # fmt: skip


@pytest.mark.parametrize("event", sorted(VOID))
def test_what_takes_a_visit_back_changes_no_identity(event):
    assert instruction(adt(event)) == Nothing()
    assert instruction(adt(event, "PV1||I")) == Nothing()


@pytest.mark.parametrize("event", ["A11", "A38", "Z99"])
def test_a_stranger_takes_nothing_back(event):
    refusal(problems.SenderNotPermitted, adt(event), source=None)


@pytest.mark.parametrize(
    ("zbe", "urgency"),
    [
        ("ZBE|1|20260302||INSERT|N", Urgency.NONE),
        ("ZBE|1|20260302||UPDATE|N|A01", Urgency.PRESENT),
        ("ZBE|1|20260302||UPDATE|N|A03", Urgency.NONE),
        ("ZBE", Urgency.NONE),
    ],
)
def test_a_movement_told_again_is_as_urgent_as_it_was(zbe, urgency):
    assert instruction(adt("Z99", PID, "PV1||I", zbe)).records[0].urgency is urgency


@pytest.mark.parametrize("event", ["Z99", "A02"])
def test_a_movement_that_is_cancelled_says_nothing(event):
    assert instruction(adt(event, PID, "ZBE|1|20260302||CANCEL|N|A01")) == Nothing()


@pytest.mark.parametrize("processing_id", ["P", "T", "D", "P^T"])
def test_processing_ids(processing_id):
    assert instruction(adt(processing_id=processing_id))


@pytest.mark.parametrize(
    ("header", "place"),
    [
        ({"message_type": "XYZ"}, "MSH^1^9^1^1"),
        ({"event": "A99"}, "MSH^1^9^1^2"),
        ({"event": ""}, "MSH^1^9^1^2"),
        ({"processing_id": "X"}, "MSH^1^11"),
        ({"processing_id": ""}, "MSH^1^11"),
        ({"version": "2.9"}, "MSH^1^12"),
    ],
)
def test_what_is_not_taken_is_unsupported(header, place):
    assert refusal(UnsupportedMessage, adt(**header)).place == place


def test_a_control_id_is_required():
    error = refusal(InvalidIdentity, adt(control_id=""))

    assert (error.place, error.problem) == ("MSH^1^10", problems.REQUIRED)


def test_a_sender_nobody_configured_is_not_permitted():
    assert refusal(problems.SenderNotPermitted, adt(), source=None).place == "MSH^1^3"


def test_a08_from_a_french_profile_is_taken_with_a_warning():
    french = instruction(adt("A08", version="2.5^FRA^2.11"))
    iti_8 = instruction(adt("A08", version="2.3.1"))

    assert [len(stated.records[0].warnings) for stated in (french, iti_8)] == [1, 0]


def test_a_merge_names_both_identifiers_in_full():
    merged = instruction(merge("A1001^^^SITE-A^PI", "A1377"))

    assert isinstance(merged, IdentifiersMerged)
    assert (merged.survivor.value, merged.subsumed.value, merged.domain) == ("A1001", "A1377", KEY_A)
    assert merged.survivor.authority == merged.subsumed.authority == SITE_A


def test_a_merge_may_list_unchanged_identifiers_of_other_domains():
    merged = instruction(
        merge("B1^^^SITE-B~C1^^^SITE-C", "C2^^^SITE-C~S1^^^&1.2.250.1.213.1.4.8&ISO^NH"), "hub"
    )

    assert isinstance(merged, IdentifiersMerged)
    assert (merged.survivor.value, merged.subsumed.value, merged.domain) == ("C1", "C2", KEY_C)


@pytest.mark.parametrize(
    ("text", "source", "place", "problem"),
    [
        (adt("A40", PID), "ris-a", "MRG^1", problems.SEGMENT_MISSING),
        (adt("A40", f"MRG|{A1377}"), "ris-a", "PID^1", problems.SEGMENT_MISSING),
        (adt("A40", PID, f"MRG|{A1377}", f"MRG|{A1377}"), "ris-a", "MRG^2", problems.ONE_PAIR),
        (merge(A1001, ""), "ris-a", "MRG^1^1", problems.REQUIRED),
        (merge(A1001, A1001), "ris-a", "MRG^1^1", problems.SAME_IDENTIFIER),
        (merge(f"{A1377}~{A1001}", A1377), "ris-a", "MRG^1^1", problems.SAME_IDENTIFIER),
        (merge(A1001, f"{A1377}~A2^^^SITE-A"), "ris-a", "MRG^1^1", problems.SEVERAL_SUBSUMED),
        (merge(f"{A1001}~A2^^^SITE-A", A1377), "ris-a", "PID^1^3", problems.SEVERAL_SURVIVORS),
        (merge("B1^^^SITE-B", "C1^^^SITE-C"), "hub", "MRG^1^1^1^4", problems.CROSS_DOMAIN),
        (merge(A1001, "A\x01"), "ris-a", "MRG^1^1", problems.CONTROL_CHARACTER),
    ],
)
def test_a_merge_that_cannot_be_meant_is_refused(text, source, place, problem):
    error = refusal(InvalidIdentity, text, source=source)

    assert (error.place, error.problem) == (place, problem)


def test_a_merge_of_an_unknown_authority_is_refused():
    assert refusal(UnknownAuthority, merge(A1001, "A1^^^NOWHERE")).place == "MRG^1^1^1^4"


def test_a_merge_of_another_sources_identifier_is_refused():
    assert refusal(problems.SenderNotPermitted, merge(A1001, "B1^^^SITE-B")).place == "MRG^1^1^1^4"
