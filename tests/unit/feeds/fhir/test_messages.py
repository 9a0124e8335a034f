"""Files of Patients: one resource, NDJSON, and the bundles of ITI-93."""

import json
from datetime import UTC, datetime

import pytest

from mpi.feeds.fhir.codec import to_xml
from mpi.feeds.fhir.messages import looks_like_fhir, messages_of_file, read_message
from mpi.index.events import MessageState
from tests.fakes import MemoryStore
from tests.federation import World
from tests.unit.feeds.fhir.resources import SYSTEM_A, identifier, patient, subsumed

WRITTEN = datetime(2026, 3, 2, 9, tzinfo=UTC)
FEED = "urn:ihe:iti:pmir:2019:patient-feed"


@pytest.fixture
def world():
    return World(MemoryStore())


def hand_in(world, path, source="ris-a"):
    party = world.parties.source(source) if source else None
    messages = messages_of_file(path, party, world.parties, received=WRITTEN)
    return [message.hand_to(world.registry) for message in messages]


def states(receipts):
    return [receipt.state for receipt in receipts]


def entry(resource, method="PUT", url="Patient", **more):
    return {"resource": resource, "request": {"method": method, "url": url}, **more}


def history(*entries):
    return {"resourceType": "Bundle", "type": "history", "entry": list(entries)}


def feed_message(*entries, event=FEED):
    header = {"resource": {"resourceType": "MessageHeader", "eventUri": event}}
    return {"resourceType": "Bundle", "type": "message", "entry": [header, {"resource": history(*entries)}]}


def written(tmp_path, *documents, indent=None):
    path = tmp_path / "patients.ndjson"
    path.write_text("\n".join(json.dumps(each, indent=indent) for each in documents), encoding="utf-8")
    return path


def test_each_line_is_a_message_and_a_second_run_changes_nothing(world, tmp_path):
    path = written(tmp_path, *(patient(identifier(f"A{n}"), birthDate=f"19{n}-03-01") for n in (50, 60, 70)))

    assert states(hand_in(world, path)) == [MessageState.APPLIED] * 3
    assert states(hand_in(world, path)) == [MessageState.DUPLICATE] * 3
    assert world.record("A", "A60").traits.birth_name == "CHANTEREAU"


def test_one_resource_may_be_spread_over_lines(world, tmp_path):
    assert states(hand_in(world, written(tmp_path, patient(), indent=2))) == [MessageState.APPLIED]


def test_a_line_that_is_wrong_is_told_by_its_number(world, tmp_path):
    path = written(tmp_path, patient(), patient(gender="ZQX"), {"resourceType": "Observation"})
    with path.open("a") as file:
        file.write("\nnot json\n")

    receipts = hand_in(world, path)

    expected = ["applied", "quarantined", "refused", "quarantined"]
    assert states(receipts) == expected
    places = [getattr(receipt.error, "place", "") for receipt in receipts]
    assert places == ["", "line 2: Patient.gender", "line 3: resourceType", "line 4"]
    assert not any("ZQX" in str(receipt.error) for receipt in receipts)


def test_a_message_of_the_patient_feed_creates_revises_and_merges(world, tmp_path):
    survivor = {"fullUrl": "urn:uuid:1"}
    gone = patient(
        identifier("A1377"),
        active=False,
        link=[{"type": "replaced-by", "other": {"reference": "urn:uuid:1"}}],
    )
    path = written(
        tmp_path,
        feed_message(
            entry(patient(), "POST", **survivor),
            entry(patient(identifier("A1377")), url=f"Patient?identifier={SYSTEM_A}|A1377"),
            entry(gone),
        ),
    )

    assert states(hand_in(world, path)) == [MessageState.APPLIED] * 3
    assert world.together(("A", "A1001"), ("A", "A1377"))
    (kept,) = [m for m in world.registry.messages() if m.place == "" and b"replaced-by" in m.envelope.raw]
    assert read_message(kept.envelope, world.parties).survivor.value == "A1001"


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (feed_message(entry(patient(), "DELETE")), "Bundle.entry[1]: Bundle.entry[0].request.method"),
        (feed_message(event="urn:other"), "Bundle.entry[0].resource.eventUri"),
        (history(entry({"resourceType": "Observation"})), "Bundle.entry[0]: resourceType"),
    ],
)
def test_what_the_feed_does_not_take_is_refused_and_counted(world, tmp_path, document, place):
    receipts = hand_in(world, written(tmp_path, document))

    refused = [receipt for receipt in receipts if receipt.state is MessageState.REFUSED]
    assert [receipt.error.place for receipt in refused] == [place]


@pytest.mark.parametrize(
    "document",
    [
        {"resourceType": "Bundle", "type": "collection", "entry": 7},
        {"resourceType": "Bundle", "type": "collection", "entry": [7, {"resource": "ZQX"}]},
        {"resourceType": ["ZQX"]},
        {"resourceType": "Patient", "identifier": {"a": 1}, "meta": 7, "extension": [7], "link": 3},
    ],
)
def test_a_document_of_another_shape_is_kept_and_told(world, tmp_path, document):
    receipts = hand_in(world, written(tmp_path, document))

    assert receipts
    assert all(receipt.error is not None for receipt in receipts)
    assert not any("internal error" in str(receipt.error) for receipt in receipts)


def test_a_collection_is_read_entry_by_entry(world, tmp_path):
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"resource": patient()},
            {"resource": patient(identifier("A1377"))},
            {"resource": subsumed()},
        ],
    }

    assert states(hand_in(world, written(tmp_path, bundle))) == [MessageState.APPLIED] * 3


def test_a_file_of_no_source_is_kept_and_says_what_it_needs(world, tmp_path):
    (receipt,) = hand_in(world, written(tmp_path, patient()), source=None)

    assert receipt.state is MessageState.QUARANTINED
    assert "--source" in receipt.error.problem


@pytest.mark.parametrize(("head", "is_json"), [(b'{"a"', True), (b"\xef\xbb\xbf {", True), (b"MSH|", False)])
def test_json_is_known_by_how_it_begins(head, is_json):
    assert looks_like_fhir(head) is is_json


def test_a_file_in_xml_says_what_it_says_in_json(world, tmp_path):
    people = [patient(identifier("A1")), patient(identifier("A2"))]
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": each} for each in people],
    }
    (tmp_path / "people.xml").write_bytes(b"\xef\xbb\xbf" + to_xml(bundle))
    (tmp_path / "broken.xml").write_bytes(b"<!DOCTYPE x><Patient/>")
    source, parties = world.parties.source("ris-a"), world.parties
    in_xml, in_json = (
        [message.read() for message in messages_of_file(path, source, parties, received=WRITTEN)]
        for path in (tmp_path / "people.xml", written(tmp_path, bundle))
    )

    assert [each.records[0] for each in in_xml] == [each.records[0] for each in in_json]
    assert len(in_xml) == 2
    assert looks_like_fhir((tmp_path / "people.xml").read_bytes()[:64])
    (receipt,) = hand_in(world, tmp_path / "broken.xml")
    assert (receipt.state, receipt.error.problem) == (
        MessageState.QUARANTINED,
        "a document type is not taken",
    )
