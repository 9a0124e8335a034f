"""Where a header ends, whatever the encoding and however it arrives."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from mpi.feeds.dicom.prefix import MAX_HEADER_BYTES, HeaderPrefix
from tests.unit.feeds.dicom import hostile
from tests.unit.feeds.dicom.files import build_header, other_id, raw_element

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEGBaseline8Bit]


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
    whole, prefix = encoded(syntax, image()), HeaderPrefix(syntax)
    stream = io.BytesIO(whole)

    while fragment := stream.read(size):
        prefix.feed(fragment)

    assert prefix.is_complete
    assert whole.startswith(prefix.kept)
    identity_ends = whole.index(b"2.999.9.1\0", whole.index(b"A1001")) + 10
    assert identity_ends <= len(prefix.kept) <= identity_ends + 12 + size


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
    rest = hostile.NAME + hostile.IDENTIFIER + hostile.STUDY + raw_element(0x0028, 0x0010, b"US", b"\0\1")
    prefix = HeaderPrefix(ExplicitVRLittleEndian)

    prefix.feed(unknown + rest + b"pixels")

    assert prefix.is_complete
    assert b"2.999.9.1" in prefix.kept


def test_a_header_that_never_ends_is_cut() -> None:
    prefix = HeaderPrefix(ExplicitVRLittleEndian)
    endless = bytes.fromhex("09001010") + b"UN\0\0\xfe\xff\xff\x7f"

    for fragment in [endless] + [b"x" * 65_536] * 200:
        prefix.feed(fragment)

    assert prefix.is_complete
    assert len(prefix.kept) <= MAX_HEADER_BYTES + 65_536


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2_000), st.integers(1, 64), st.sampled_from(SYNTAXES))
def test_any_bytes_are_walked(noise: bytes, size: int, syntax: str) -> None:
    prefix = HeaderPrefix(syntax)

    for start in range(0, len(noise), size):
        prefix.feed(noise[start : start + size])

    assert noise.startswith(prefix.kept)
