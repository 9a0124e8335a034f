import codecs

import pytest
from pydicom.charset import python_encoding

from mpi.errors import UnreadableMessage
from mpi.feeds.dicom.charset import CharacterSets

ELODIE = "DUBŒUF^ÉLODIE"


@pytest.mark.parametrize(
    ("declaration", "raw", "text", "problem"),
    [
        pytest.param("ISO_IR 100", "ROUX^ZOÉ".encode("latin_1"), "ROUX^ZOÉ", "", id="latin-1, declared"),
        pytest.param("ISO_IR 192", ELODIE.encode(), ELODIE, "", id="utf-8, declared"),
        pytest.param("ISO_IR 203", "DUBŒUF".encode("iso8859_15"), "DUBŒUF", "", id="latin-9, declared"),
        pytest.param("", b"ROUX^ZOE", "ROUX^ZOE", "", id="ascii, nothing declared"),
        pytest.param(
            "ISO_IR 100", ELODIE.encode(), ELODIE, "UTF-8 bytes", id="utf-8 under a latin-1 declaration"
        ),
        pytest.param("", ELODIE.encode(), ELODIE, "UTF-8 bytes", id="utf-8, nothing declared"),
        pytest.param("", "ZOÉ".encode("latin_1"), "ZOÉ", "8-bit bytes", id="latin-1, nothing declared"),
        pytest.param("ISO_IR 6", "ZOÉ".encode("latin_1"), "ZOÉ", "8-bit bytes", id="latin-1 under ascii"),
        pytest.param(
            "ISO_IR 100", "DUBŒUF".encode("cp1252"), "DUBŒUF", "Windows-1252", id="cp1252 under latin-1"
        ),
        pytest.param(
            "ISO_IR 192", "ZOÉ".encode("latin_1"), "ZOÉ", "not of the declared", id="latin-1 under utf-8"
        ),
        pytest.param("\\ISO 2022 IR 100", b"ZO\x1b-A\xc9", "ZOÉ", "", id="code extension"),
        pytest.param(
            "\\ISO 2022 IR 100", b"ZO\xc9", "ZOÉ", "", id="code extension declared, escape left out"
        ),
        pytest.param("", b"ZO\x1b-A\xc9", "ZO\x1b-AÉ", "escape sequence", id="code extension, not declared"),
    ],
)
def test_text_of_bytes(declaration: str, raw: bytes, text: str, problem: str) -> None:
    found, why = CharacterSets.parse(declaration).decode(raw, person_name=True)

    assert text == found
    assert bool(problem) == bool(why)
    assert problem in why


@pytest.mark.parametrize(
    ("declaration", "codec", "problem"),
    [
        ("ISO IR 100", "latin_1", "misspelt"),
        ("iso-ir_192", "UTF8", "misspelt"),
        ("UTF-8", "utf8", "not a DICOM term"),
        ("KLINGON 1", "latin_1", "unknown character set"),
    ],
)
def test_a_wrong_declaration_is_read_and_said(declaration: str, codec: str, problem: str) -> None:
    sets = CharacterSets.parse(declaration)

    assert (codec,) == sets.codecs
    assert problem in sets.problem


def test_a_declaration_that_is_not_text_is_unreadable() -> None:
    with pytest.raises(UnreadableMessage) as caught:
        CharacterSets.parse("ISO_IR 1\xff0")

    assert caught.value.place == "(0008,0005)"


def test_python_knows_every_codec_of_the_dicom_table() -> None:
    for term in python_encoding:
        assert all(codecs.lookup(codec) for codec in CharacterSets.parse(term).codecs)
