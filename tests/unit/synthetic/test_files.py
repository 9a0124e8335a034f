"""What a federation writes: HL7 in its character set, readable DICOM, tables that agree with the truth."""

import csv
from pathlib import Path

import pydicom
import pytest
from mpi_synthetic import EventKind, Federation, generate, render, write
from mpi_synthetic.charsets import CODECS, representable
from mpi_synthetic.headers import header
from mpi_synthetic.sites import Feed
from mpi_synthetic.truth import TRUTH
from mpi_synthetic.writing import COLUMNS

from mpi.identity.ins import INS_NIA_OID

SAMPLE = Path(__file__).parents[3] / "datasets" / "synthetic" / "sample"

TRIGGERS = {
    EventKind.CREATE: ("A28", "A04"),
    EventKind.UPDATE: ("A31", "A08"),
    EventKind.MERGE: ("A40",),
}


@pytest.fixture(scope="module")
def federation() -> Federation:
    return generate(600, 5, 11)


def messages(federation: Federation):
    for event in federation.events:
        if event.kind is not EventKind.HEADER:
            site = federation.site(event.record.site)
            text = render(event, site).decode(CODECS[site.charset])
            yield event, site, {line[:3]: line.split("|") for line in text.rstrip("\r").split("\r")}


def test_every_message_has_the_segments_of_its_profile(federation):
    seen = set()
    for event, site, found in messages(federation):
        seen.add((site.feed, event.kind))
        if event.kind is EventKind.MERGE:
            assert list(found) == ["MSH", "EVN", "PID", "MRG"]
        else:
            assert list(found)[:4] == ["MSH", "EVN", "PID", "PV1"]
            assert list(found)[4:] in ([], ["ZFD"] if site.feed is Feed.PAM_FR else [])

    assert seen == {(f, k) for f in (Feed.PAM_FR, Feed.ITI_8) for k in list(EventKind)[:3]}


def test_msh_names_the_peers_the_version_and_the_character_set(federation):
    control_ids = set()
    for event, site, found in messages(federation):
        msh = found["MSH"]
        control_ids.add(msh[9])

        assert msh[1:6] == ["^~\\&", f"RIS_{site.letter}", f"SITE_{site.letter}", "MPI", "FED"]
        assert msh[8].split("^")[0] == "ADT"
        assert msh[10] == "P"
        assert msh[11] == ("2.5^FRA^2.11" if site.feed is Feed.PAM_FR else "2.3.1")
        assert msh[17] == site.charset
        assert msh[8].split("^")[1] in TRIGGERS[event.kind]

    assert len(control_ids) == sum(event.kind is not EventKind.HEADER for event in federation.events)


def test_pid_states_the_record(federation):
    for event, site, found in messages(federation):
        pid, stated = found["PID"], event.record.demographics
        authority = f"{site.namespace}&{site.authority.universal_id}&ISO"

        assert pid[3].split("~")[0] == f"{event.record.local_id}^^^{authority}^PI"
        assert pid[8] == stated.sex
        assert all(name.split("^")[6] in "LD" for name in pid[5].split("~"))
        if site.feed is Feed.PAM_FR:
            assert pid[32]
        if stated.ins and event.kind is not EventKind.MERGE:
            nia = stated.ins_oid == INS_NIA_OID
            issuer = "NIA&1.2.250.1.213.1.4.9" if nia else "NIR&1.2.250.1.213.1.4.10"
            assert f"{stated.ins}^^^ASIP-SANTE-INS-{issuer}&ISO^INS" in pid[3].split("~")
            assert pid[32] == "VALI"
            assert f"^BDL^^{stated.birth_place_code}" in pid[11]


def test_an_interpreted_birth_date_is_said_in_zfd_and_bears_no_ins():
    interpreted = [
        (found, event)
        for event, site, found in messages(generate(2500, 2, 3))
        if event.record.demographics.birth_date_interpreted and event.kind is EventKind.CREATE
    ]

    assert interpreted
    for found, event in interpreted:
        assert found["ZFD"][4] == "Y"
        assert not event.record.demographics.ins


def test_a_header_site_sends_no_message(federation):
    event = next(event for event in federation.events if event.kind is EventKind.HEADER)

    with pytest.raises(ValueError, match="no HL7"):
        render(event, federation.site(event.record.site))


def test_a_death_is_said_in_pid_29_and_30():
    said = [
        (found["PID"], event.record.death_date)
        for event, site, found in messages(generate(1500, 2, 3))
        if event.record.death_date and event.kind is EventKind.UPDATE
    ]

    assert said
    assert all((pid[29], pid[30]) == (f"{died:%Y%m%d}", "Y") for pid, died in said)


def test_letters_a_character_set_lacks_are_spelt_out():
    assert representable("LEBŒUF ÉLOÏSE", "8859/1") == "LEBOEUF ÉLOÏSE"
    assert representable("LEBŒUF", "8859/15") == "LEBŒUF"


def test_written_files_agree_with_the_federation(tmp_path, federation):
    write(federation, tmp_path)

    with (tmp_path / "records.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        records = {row["record_id"]: row for row in reader}
    with (tmp_path / "truth.csv").open(encoding="utf-8", newline="") as file:
        told = csv.DictReader(file)
        truth = {row["record_id"]: row for row in told}
    assert tuple(reader.fieldnames or ()) == COLUMNS
    assert tuple(told.fieldnames or ()) == TRUTH
    assert list(records) == list(truth) == [record.record_id for record in federation.records]
    for record in federation.records:
        row = records[record.record_id]
        assert (row["domain"], row["local_id"]) == (record.site, record.local_id)
        assert row["birth_name"]
        assert row["ins"] == ("" if record.demographics.ins_oid == INS_NIA_OID else record.demographics.ins)
        assert truth[record.record_id]["person_id"] == record.person_id
    events = [event for event in federation.events if event.kind is not EventKind.HEADER]
    sent = b"".join(path.read_bytes() for path in (tmp_path / "messages").iterdir())
    assert sent.count(b"MSH|") == len(events)


def test_dicom_headers_read_back(tmp_path, federation):
    headers = [event for event in federation.events if event.kind is EventKind.HEADER]
    issuers = set()
    for event in headers[:150]:
        site = federation.site(event.record.site)
        header(event, site).save_as(tmp_path / "one.dcm", enforce_file_format=True)
        read = pydicom.dcmread(tmp_path / "one.dcm")
        name = event.record.demographics.names[0]
        issuers.add(read.get("IssuerOfPatientID"))

        assert str(read.PatientName) == representable(f"{name.family}^{name.given}", site.header_charset)
        assert read.PatientID == event.record.local_id
        assert read.StudyInstanceUID.startswith("2.999.7.")
        assert read.StudyInstanceUID.is_valid
        assert all((read.AccessionNumber, read.Modality, read.StudyDate, read.InstitutionName))
        assert "PixelData" not in read

    assert {None, "SITE-D"} <= issuers


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_committed_sample_is_what_the_generator_writes(tmp_path):
    write(generate(50), tmp_path)
    written, committed = files(tmp_path), files(SAMPLE)

    assert written.keys() == committed.keys()
    assert [path for path, content in written.items() if content != committed[path]] == []
