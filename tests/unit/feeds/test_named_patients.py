"""Whose messages wait is told before a message is read, by the place of identifiers alone: over every feed."""

from datetime import UTC, datetime

import pytest
from pydicom.dataset import Dataset

from mpi.errors import MpiError
from mpi.feeds.dicom.messages import message_of
from mpi.feeds.fhir.messages import messages_of_bundle
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.feeds.tabular import RowReader, open_table
from mpi.index.events import IdentifiersMerged
from tests.fakes import MemoryStore
from tests.federation import World, directory
from tests.integration.running import a28
from tests.unit.feeds.dicom.files import build_directory, build_header, other_id
from tests.unit.feeds.fhir.resources import SYSTEM_A, identifier, patient, subsumed

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)


def hl7(message):
    world = World(MemoryStore())
    return Hl7Handler(world.registry, world.parties, world.clock).prepare(message)


def fhir(resource):
    parties = directory()
    (message,) = messages_of_bundle(resource, "M", parties.source("ris-a"), parties, received=NOW)
    return message


def dicom(header):
    parties = build_directory()
    return message_of(header, parties.source("pacs-a"), parties)


def row(tmp_path, identifier):
    path = tmp_path / "site-a.csv"
    path.write_text(f"record_id,birth_name,sex\n{identifier},CHANTEREAU,F\n", encoding="utf-8")
    parties = directory()
    (message,) = RowReader(open_table(path), parties.source("ris-a"), parties, event_time=NOW).messages()
    return message


def values(message):
    """The identifiers that a message turns out to be about."""
    try:
        stated = message.read()
    except MpiError:
        return set()
    if isinstance(stated, IdentifiersMerged):
        return {stated.survivor.value, stated.subsumed.value}
    return {record.key.value for record in stated.records} | {key.value for key in stated.formerly}


def corrected():
    """A header whose archive gave it another Patient ID (IHE PIR), and that has a second one."""
    header = build_header(OtherPatientIDsSequence=[other_id("B7", "SITE-B")])
    before, change = Dataset(), Dataset()
    before.PatientID = "A0"
    change.ModifiedAttributesSequence = [before]
    header.OriginalAttributesSequence = [change]
    return header


def replaced_by_reference():
    link = {"type": "replaced-by", "other": {"reference": f"Patient?identifier={SYSTEM_A}|A1001"}}
    return subsumed(link=[link])


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (lambda _: hl7(a28("A", "A1001", "M")), {"A1001"}),
        (lambda _: fhir(patient(identifier("A1001"), identifier("A1002"))), {"A1001", "A1002"}),
        (lambda _: fhir(subsumed()), {"A1377", "A1001"}),
        (lambda _: fhir(replaced_by_reference()), {"A1377", "A1001"}),
        (lambda _: dicom(build_header()), {"A1001"}),
        (lambda _: dicom(corrected()), {"A1001", "A0", "B7"}),
        (lambda folder: row(folder, " A1001 "), {"A1001"}),
    ],
    ids=["ADT", "Patient", "merge", "merge by reference", "header", "corrected header", "row"],
)
def test_whom_a_message_is_about_is_told_before_it_is_read(tmp_path, message, named):
    found = message(tmp_path)

    assert found.envelope.patients == named
    assert values(found) <= named
    assert values(found)


@pytest.mark.parametrize(
    "message",
    [
        lambda _: fhir(
            {"resourceType": "Patient", "identifier": [None, {"value": 7}, {"value": " "}], "link": ["x"]}
        ),
        lambda _: fhir({"resourceType": "Patient", "identifier": {"value": "A1"}, "link": [{"other": []}]}),
        lambda _: dicom(build_header(PatientID=None)),
        lambda folder: row(folder, "A" * 2_000),
        lambda folder: row(folder, ""),
    ],
    ids=["a list of anything", "no list", "no Patient ID", "too long", "empty"],
)
def test_what_is_no_identifier_names_nobody_and_stops_nothing(tmp_path, message):
    found = message(tmp_path)

    assert found.envelope.patients == frozenset()
    assert values(found) == set()
