"""Hostile DICOM: bombs written byte by byte, and headers with their bytes broken at random."""

import random
import struct
import zlib
from collections.abc import Iterator

from tests.unit.feeds.dicom.files import raw_element, raw_file

NAME = raw_element(0x0010, 0x0010, b"PN", b"DUVIVIER^LOU")
IDENTIFIER = raw_element(0x0010, 0x0020, b"LO", b"A1001")
STUDY = raw_element(0x0020, 0x000D, b"UI", b"2.999.9.1")
SEQUENCE = bytes.fromhex("10000210") + b"SQ\0\0\xff\xff\xff\xff"
ITEM, ITEM_END = bytes.fromhex("feff00e0ffffffff"), bytes.fromhex("feff0de000000000")
SEQUENCE_END = bytes.fromhex("feffdde000000000")


def nested(depth: int) -> bytes:
    """A file whose other identifiers are sequences within sequences."""
    opening, closing = SEQUENCE + ITEM, ITEM_END + SEQUENCE_END
    return raw_file(NAME, IDENTIFIER, opening * depth + closing * depth, STUDY)


def nested_elsewhere(depth: int) -> bytes:
    """The same in an element nobody asked for, before the identity."""
    private = bytes.fromhex("09001010") + b"SQ\0\0\xff\xff\xff\xff"
    opening, closing = private + ITEM, ITEM_END + SEQUENCE_END
    return raw_file(opening * depth + closing * depth, NAME, IDENTIFIER, STUDY)


def deflated(size: int) -> bytes:
    """A deflated data set that grows a thousandfold."""
    syntax = raw_element(0x0002, 0x0010, b"UI", b"1.2.840.10008.1.2.1.99\0")
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = compressor.compress(NAME + IDENTIFIER + b"\0" * size) + compressor.flush()
    return b"\0" * 128 + b"DICM" + syntax + body


def claims_length(length: int, vr: bytes = b"UN") -> bytes:
    """An element before the identity that claims to be longer than the file."""
    head = bytes.fromhex("09001010") + vr + b"\0\0" + struct.pack("<I", length)
    return raw_file(head + b"x" * 64, NAME, IDENTIFIER, STUDY)


def many_elements(count: int) -> bytes:
    """Very many small elements before the identity."""
    tiny = [raw_element(0x0009, 0x1000 + number, b"LO", b"") for number in range(min(count, 0xE000))]
    return raw_file(*tiny, *tiny[: max(0, count - len(tiny))], NAME, IDENTIFIER, STUDY)


def many_items(count: int) -> bytes:
    """Very many items in a sequence nobody asked for."""
    private = bytes.fromhex("09001010") + b"SQ\0\0\xff\xff\xff\xff"
    return raw_file(private + (ITEM + ITEM_END) * count + SEQUENCE_END, NAME, IDENTIFIER, STUDY)


def mutations(whole: bytes, count: int, seed: int) -> Iterator[bytes]:
    """The same mutated files for the same seed: bits, bytes, lengths, cuts, repeats and splices."""
    chance = random.Random(seed)
    for _ in range(count):
        broken = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 3, 8))):
            _mutate(broken, chance)
        yield bytes(broken)


def _mutate(broken: bytearray, chance: random.Random) -> None:
    if len(broken) < 8:
        return
    at = chance.randrange(128 if chance.random() < 0.95 and len(broken) > 136 else 0, len(broken))
    match chance.randrange(8):
        case 0:
            broken[at] ^= 1 << chance.randrange(8)
        case 1:
            broken[at] = chance.randrange(256)
        case 2:
            broken[at : at + 4] = chance.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\1\0")
            )
        case 3:
            broken[at : at + 2] = chance.choice((b"SQ", b"UN", b"OB", b"PN", b"UT", b"\0\0", b"ZZ"))
        case 4:
            del broken[at:]
        case 5:
            del broken[at : at + chance.randrange(1, 32)]
        case 6:
            start = chance.randrange(len(broken))
            broken[at:at] = broken[start : start + chance.randrange(1, 256)]
        case 7:
            broken[at:at] = chance.choice((ITEM, ITEM_END, SEQUENCE_END, SEQUENCE, b"\x1b$B", b"\\" * 64))
