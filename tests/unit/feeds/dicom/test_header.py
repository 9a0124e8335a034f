import random
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from mpi.errors import FeedError, UnreadableMessage, UnsupportedMessage
from mpi.feeds.dicom import header as header_module
from mpi.feeds.dicom.header import (
    HEADER_TAGS,
    PATIENT_ID,
    PATIENT_NAME,
    HeaderText,
    header_from_json,
    read_header,
)
from tests.unit.feeds.dicom.files import build_header, other_id, qualifiers, raw_element, raw_file, write_file

PIXEL_BYTES = 512 * 512 * 2


def with_pixels(dataset: Dataset) -> Dataset:
    dataset.Rows = dataset.Columns = 512
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.add_new(0x7FE00010, "OW", b"\1" * PIXEL_BYTES)
    return dataset


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_header_of_each_uncompressed_syntax(tmp_path: Path, syntax: str) -> None:
    path = write_file(tmp_path / "a.dcm", build_header(PatientName="ROUX^ZOÉ"), syntax)

    text = HeaderText(read_header(path))

    assert text.first(PATIENT_NAME) == "ROUX^ZOÉ"
    assert text.first(PATIENT_ID) == "A1001"


def test_a_file_cut_inside_the_pixels_reads_like_a_whole_one(tmp_path: Path) -> None:
    whole = write_file(tmp_path / "a.dcm", with_pixels(build_header())).read_bytes()
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(whole[: -PIXEL_BYTES + 10])

    assert HeaderText(read_header(cut)).to_json() == HeaderText(read_header(whole)).to_json()


def test_pixels_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_module, "MAX_READ_BYTES", 4096)
    path = write_file(tmp_path / "a.dcm", with_pixels(build_header()))

    assert HeaderText(read_header(path)).first(PATIENT_ID) == "A1001"


def test_only_the_wanted_elements_are_kept() -> None:
    path = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(path, str)

    kept = read_header(Path(path)).keys()

    assert set(kept) <= HEADER_TAGS
    assert 0x00102160 not in HEADER_TAGS  # ethnic group


@pytest.mark.parametrize("length", [0, 3, 131])
def test_a_file_cut_before_its_prefix_is_no_dicom_file(tmp_path: Path, length: int) -> None:
    whole = write_file(tmp_path / "a.dcm", build_header()).read_bytes()

    with pytest.raises(UnreadableMessage, match="file: not a DICOM file"):
        read_header(whole[:length])


@pytest.mark.parametrize("length", [132, 140, 143, 144, 150, 200])
def test_a_file_cut_before_its_data_set_is_truncated(tmp_path: Path, length: int) -> None:
    whole = write_file(tmp_path / "a.dcm", build_header()).read_bytes()

    with pytest.raises(UnreadableMessage, match="truncated"):
        read_header(whole[:length])


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_file_cut_inside_an_identifier_is_truncated(tmp_path: Path, kept: int) -> None:
    whole = write_file(tmp_path / "a.dcm", build_header()).read_bytes()

    with pytest.raises(UnreadableMessage) as caught:
        read_header(whole[: whole.index(b"A1001") + kept])

    assert (caught.value.place, caught.value.problem) == ("(0010,0020)", "truncated")


def test_a_data_set_without_preamble_is_read(tmp_path: Path) -> None:
    whole = write_file(tmp_path / "a.dcm", build_header()).read_bytes()

    assert HeaderText(read_header(whole[132:])).first(PATIENT_ID) == "A1001"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"README\n" * 40,
        b"%PDF-1.7" + b"\0" * 400,
        b"\x89PNG\r\n\x1a\n" + b"\0" * 400,
        b"PK\3\4" + b"\0" * 400,
    ],
)
def test_what_is_not_dicom_is_unreadable(content: bytes) -> None:
    with pytest.raises(UnreadableMessage, match="file: not a DICOM file"):
        read_header(content)


def test_what_cannot_be_opened_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMessage, match="file: cannot be opened"):
        read_header(tmp_path / "missing.dcm")
    with pytest.raises(UnreadableMessage, match="file: not a regular file"):
        read_header(tmp_path)


def test_deflated_files_are_refused_before_they_are_inflated() -> None:
    path = get_testdata_file("image_dfl.dcm", download=False)
    assert isinstance(path, str)

    with pytest.raises(UnsupportedMessage) as caught:
        read_header(Path(path))

    assert caught.value.place == "(0002,0010)"


def nested(depth: int) -> bytes:
    """A sequence (0008,1140) in a sequence in a sequence, of undefined lengths."""
    start = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return start * depth + end * depth


def test_endless_nesting_is_unreadable() -> None:
    with pytest.raises(
        UnreadableMessage, match=r"nested too deeply|broken data set"
    ):  # whichever limit is met first
        read_header(raw_file(nested(2000)))


def test_too_many_elements_are_unreadable() -> None:
    many = b"".join(
        raw_element(0x0009, number, b"LO", b"") for number in range(header_module.MAX_ELEMENTS + 1)
    )

    with pytest.raises(UnreadableMessage, match="elements"):
        read_header(raw_file(many))


def test_a_length_field_that_lies_costs_nothing() -> None:
    name = b"\x10\0\x10\0UN\0\0" + (0xFFFFFFF0).to_bytes(4, "little") + b"ROUX"

    with pytest.raises(UnreadableMessage) as caught:
        read_header(raw_file(name))

    assert caught.value.place == "(0010,0010)"


def test_a_hundred_other_identifiers_are_unreadable(tmp_path: Path) -> None:
    dataset = build_header(OtherPatientIDsSequence=[other_id(str(number), "SITE-B") for number in range(100)])

    with pytest.raises(UnreadableMessage) as caught:
        read_header(write_file(tmp_path / "a.dcm", dataset))

    assert caught.value.place == "(0010,1002)"


def test_a_character_set_that_is_not_text_is_unreadable() -> None:
    with pytest.raises(UnreadableMessage) as caught:
        read_header(raw_file(raw_element(0x0008, 0x0005, b"CS", b"ISO_IR \xff\xfe\xfd")))

    assert caught.value.place == "(0008,0005)"


def test_pydicom_warnings_become_words_of_ours_without_values(caplog: pytest.LogCaptureFixture) -> None:
    implicit_inside_explicit = (
        b"\x08\0\x16\0" + (26).to_bytes(4, "little") + b"1.2.840.10008.5.1.4.1.1.2\0"
        b"\x10\0\x10\0" + (6).to_bytes(4, "little") + b"ZQX^A "
    )

    found = read_header(raw_file(implicit_inside_explicit))

    assert HeaderText(found).first(PATIENT_NAME) == "ZQX^A"
    assert found.reading_warnings == ("file: encoded otherwise than its transfer syntax says",)
    assert "ZQX" not in caplog.text


def test_dicom_json_reads_back_as_the_same_header(tmp_path: Path) -> None:
    dataset = build_header(
        SpecificCharacterSet="ISO_IR 100",
        PatientName="ROUX^ZOÉ",
        PatientTelephoneNumbers=["0612131415", "0467000001"],
        OtherPatientIDsSequence=[other_id("B7", "SITE-B", "2.999.1.2")],
        IssuerOfPatientIDQualifiersSequence=qualifiers("2.999.1.1"),
    )
    elements = HeaderText(read_header(write_file(tmp_path / "a.dcm", dataset))).to_json()

    assert HeaderText(header_from_json(elements)).to_json() == elements
    assert HeaderText(Dataset.from_json(elements)).to_json() == elements
    assert elements["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "ROUX^ZOÉ"}]}
    assert elements["00080005"]["Value"] == ["ISO_IR 192"]


def test_damaged_files_raise_feed_errors_and_nothing_else(tmp_path: Path) -> None:
    rng = random.Random(20260302)
    dataset = build_header(
        OtherPatientIDsSequence=[other_id("B7", "SITE-B", "2.999.1.2")],
        IssuerOfPatientIDQualifiersSequence=qualifiers("2.999.1.1"),
    )
    originals = [
        write_file(tmp_path / f"{index}.dcm", dataset, syntax).read_bytes()
        for index, syntax in enumerate([ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
    ]
    for _ in range(1500):
        damaged = bytearray(rng.choice(originals))
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(128, len(damaged))] = rng.randrange(256)
        if rng.random() < 0.3:
            del damaged[rng.randrange(132, len(damaged)) :]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with suppress(FeedError):
                HeaderText(read_header(bytes(damaged))).to_json()


def test_text_equals_what_pydicom_decodes(tmp_path: Path) -> None:
    path = write_file(
        tmp_path / "a.dcm", build_header(SpecificCharacterSet="ISO_IR 100", PatientName="ROUX^ZOÉ")
    )

    assert HeaderText(read_header(path)).first(PATIENT_NAME) == str(dcmread(path).PatientName)


@pytest.mark.parametrize(
    "elements",
    [
        [],
        "header",
        {"00100010": "ROUX^ANNE"},
        {"00100010": {"vr": "PN", "Value": "ROUX^ANNE"}},
        {"00100020": {"vr": "LO", "Value": [["A1"]]}},
        {"00101002": {"vr": "SQ", "Value": ["A1"]}},
        {"00101002": {"vr": "SQ", "Value": [{}] * 100}},
        {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "X" * 20_000}]}},
    ],
)
def test_what_is_not_dicom_json_is_unreadable(elements: object) -> None:
    with pytest.raises(UnreadableMessage):
        header_from_json(elements)


def test_a_web_answer_is_a_header_too() -> None:
    answer = {
        "00100010": {"vr": "PN", "Value": [{"Ideographic": "山田^太郎"}]},
        "00100020": {"vr": "LO", "Value": ["A1"]},
        "00100021": {"vr": "LO"},
        "00102160": {"vr": "SH", "Value": ["never read"]},
    }

    text = HeaderText(header_from_json(answer))

    assert (text.first(PATIENT_NAME), text.first(PATIENT_ID)) == ("=山田^太郎", "A1")
    assert "00102160" not in text.to_json()
