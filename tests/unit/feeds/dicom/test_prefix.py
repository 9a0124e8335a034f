"""Where a header ends, whatever the encoding and however it arrives."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from mpi.feeds.dicom.prefix import (
    MAX_HEADER_BYTES,
    MAX_SEQUENCE_BYTES,
    ORIGINAL_ATTRIBUTES_SEQUENCE,
    STUDY_INSTANCE_UID,
    HeaderPrefix,
    encoding_of,
)
from tests.unit.feeds.dicom import hostile
from tests.unit.feeds.dicom.files import build_header, other_id, raw_element

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEGBaseline8Bit]


PATIENT_ID = 0x00100020


def walk(
    syntax: str, whole: bytes, size: int = 1_000, digest_of: tuple[int, ...] = ()
) -> tuple[bytes, HeaderPrefix]:
    """What is kept of a data set that arrives in fragments of a size."""
    implicit, little = encoding_of(syntax)
    prefix = HeaderPrefix(implicit=implicit, little=little, digest_of=frozenset(digest_of))
    kept = b""
    for start in range(0, max(1, len(whole)), size):
        fragment = whole[start : start + size]
        kept += prefix.feed(fragment, is_last=start + size >= len(whole))
    return kept, prefix


def encoded(syntax: str, dataset: Dataset) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR = syntax == ImplicitVRLittleEndian
    stream.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(stream, dataset)
    return stream.getvalue()


def image() -> Dataset:
    dataset = build_header(
        OtherPatientIDsSequence=[other_id("1", "X"), other_id("2", "Y", "1.2.3")], Rows=8, Columns=8
    )
    dataset.OtherPatientIDsSequence.is_undefined_length = True
    dataset.add_new(0x7FE00010, "OW", b"\x5a" * 100_000)
    return dataset


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("size", [1, 7, 100, 16_384, 1_000_000])
def test_pixels_are_dropped_and_the_header_is_whole(syntax: str, size: int) -> None:
    whole = encoded(syntax, image())

    kept, prefix = walk(syntax, whole, size)

    assert prefix.is_complete
    assert kept == whole[: whole.index(b"2.999.9.1\0", whole.index(b"A1001")) + 10]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("size", [1, 7, 100, 16_384])
@pytest.mark.parametrize("undefined", [False, True])
def test_what_the_identity_was_before_is_kept_and_nothing_between(
    syntax: str, size: int, undefined: bool
) -> None:
    corrected = image()
    corrected.add_new(0x00283010, "SQ", [build_header(), build_header()])
    before = encoded(syntax, corrected)
    corrected.OriginalAttributesSequence = [build_header(PatientID="T1")]
    corrected["OriginalAttributesSequence"].is_undefined_length = undefined
    sequence = Dataset()
    sequence[ORIGINAL_ATTRIBUTES_SEQUENCE] = corrected["OriginalAttributesSequence"]

    kept, _ = walk(syntax, encoded(syntax, corrected), size)

    assert kept == walk(syntax, before, size)[0] + encoded(syntax, sequence)


def test_original_attributes_without_end_cost_the_identity_nothing() -> None:
    identity = hostile.NAME + hostile.IDENTIFIER + hostile.STUDY
    endless = bytes.fromhex("00046105") + b"SQ\0\0\xff\xff\xff\xff" + hostile.ITEM
    noise = b"\x09\0\x10\0UN\0\0\0\xff\0\0" + bytes(0xFF00)

    kept, prefix = walk(ExplicitVRLittleEndian, identity + endless + noise * 40, 65_536)

    assert (kept, prefix.is_complete, prefix.digest) == (identity, True, b"")
    assert len(noise) * 40 > MAX_SEQUENCE_BYTES


def test_the_digest_is_of_the_elements_asked_for() -> None:
    def digest(**elements: object) -> bytes:
        whole = encoded(ExplicitVRLittleEndian, build_header(**elements))
        return walk(ExplicitVRLittleEndian, whole, digest_of=(PATIENT_ID, STUDY_INSTANCE_UID))[1].digest

    assert digest() == digest(PatientName="ROUX^ANNE", SOPInstanceUID="2.999.9.1.2") != b""
    assert digest() != digest(PatientID="A1002")
    assert digest() != digest(StudyInstanceUID="2.999.9.2")
    assert digest(StudyInstanceUID=None) == b""


def test_a_data_set_that_is_cut_has_no_digest() -> None:
    whole = encoded(ExplicitVRLittleEndian, build_header())

    kept, prefix = walk(ExplicitVRLittleEndian, whole[:-3], digest_of=(PATIENT_ID,))

    assert (kept, prefix.digest) == (whole[:-3], b"")


def test_an_unknown_sequence_of_undefined_length_is_implicit_inside() -> None:
    inside = bytes.fromhex("1000200004000000") + b"P002"
    unknown = (
        bytes.fromhex("09001010")
        + b"UN\0\0\xff\xff\xff\xff"
        + hostile.ITEM
        + inside
        + hostile.ITEM_END
        + hostile.SEQUENCE_END
    )
    identity = unknown + hostile.NAME + hostile.IDENTIFIER + hostile.STUDY
    pixels = raw_element(0x7FE0, 0x0010, b"OW", b"pixels")

    kept, prefix = walk(ExplicitVRLittleEndian, identity + pixels)

    assert (kept, prefix.is_complete) == (identity, True)


def test_a_header_that_never_ends_is_cut() -> None:
    endless = bytes.fromhex("09001010") + b"UN\0\0\xfe\xff\xff\x7f"

    kept, prefix = walk(ExplicitVRLittleEndian, endless + b"x" * 65_536 * 200, 65_536)

    assert prefix.is_complete
    assert len(kept) <= MAX_HEADER_BYTES + 65_536


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2_000), st.integers(1, 64), st.sampled_from(SYNTAXES))
def test_any_bytes_are_walked_and_none_before_the_identity_is_lost(
    noise: bytes, size: int, syntax: str
) -> None:
    kept, prefix = walk(syntax, noise, size)

    assert noise.startswith(kept)
    assert prefix.is_complete
