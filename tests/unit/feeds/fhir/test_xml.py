"""The one reader of XML: the classic payloads do nothing, and everything has a bound."""

import re
from pathlib import Path

import pytest

from mpi.errors import UnreadableMessage
from mpi.feeds.fhir import xml

ROOT = Path(__file__).parents[4]
OPEN = '<Patient xmlns="http://hl7.org/fhir">'
CLOSE = "</Patient>"


def doctype(subset, body="", system=""):
    return f"<!DOCTYPE Patient {system} [{subset}]>{OPEN}{body}{CLOSE}"


MANY_ATTRIBUTES = " ".join(f'a{n}="x"' for n in range(9))
BOMB = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
CLASSIC = {
    "external entity, file": doctype('<!ENTITY x SYSTEM "file:///etc/passwd">', "&x;"),
    "external entity, http": doctype('<!ENTITY x SYSTEM "http://127.0.0.1:1/x">', "&x;"),
    "external entity, public": doctype('<!ENTITY x PUBLIC "-//x//" "http://127.0.0.1:1/x">', "&x;"),
    "parameter entity": doctype('<!ENTITY % x SYSTEM "http://127.0.0.1:1/x"> %x;'),
    "external document type": f'<!DOCTYPE Patient SYSTEM "http://127.0.0.1:1/x.dtd">{OPEN}{CLOSE}',
    "public document type": f'<!DOCTYPE Patient PUBLIC "-//x//" "http://127.0.0.1:1/x.dtd">{OPEN}{CLOSE}',
    "empty document type": f"<!DOCTYPE Patient>{OPEN}{CLOSE}",
    "billion laughs": doctype(f'<!ENTITY l0 "ha">{BOMB}', '<id value="&l9;"/>'),
    "quadratic blow-up": doctype(f'<!ENTITY a "{"a" * 10_000}">', f'<id value="{"&a;" * 1_000}"/>'),
    "recursive entity": doctype('<!ENTITY a "&b;"><!ENTITY b "&a;">', "&a;"),
    "attribute default": doctype('<!ATTLIST Patient id CDATA "x">'),
    "entity nobody declared": f'{OPEN}<id value="&x;"/>{CLOSE}',
    "XInclude": f'<Patient xmlns="http://hl7.org/fhir" xmlns:xi="http://www.w3.org/2001/XInclude">'
    f'<xi:include href="file:///etc/passwd" parse="text"/>{CLOSE}',
    "stylesheet in the document": '<x:stylesheet xmlns:x="http://www.w3.org/1999/XSL/Transform" version="1.0"/>',
    "schema location": f"{OPEN}<a xmlns='urn:x'/>{CLOSE}",
    "text outside attributes": f"{OPEN}<id>text</id>{CLOSE}",
    "CDATA": f"{OPEN}<![CDATA[text]]>{CLOSE}",
    "another namespace": '<Patient xmlns="urn:other"/>',
    "no namespace": "<Patient/>",
    "two roots": f"{OPEN}{CLOSE}{OPEN}{CLOSE}",
    "cut short": OPEN,
    "nothing": "",
    "not XML": "MSH|^~\\&|",
    "XHTML alone": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>',
}


@pytest.mark.parametrize("payload", CLASSIC)
def test_the_classic_payloads_are_refused(payload, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))

    with pytest.raises(UnreadableMessage) as caught:
        xml.parse(CLASSIC[payload].encode())

    assert "passwd" not in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        f"{OPEN}{'<contact>' * 70}{'</contact>' * 70}{CLOSE}",
        f"{OPEN}{'<name/>' * 50_001}{CLOSE}",
        f"{OPEN}<a {MANY_ATTRIBUTES}/>{CLOSE}",
        f"{OPEN}<text><div xmlns='http://www.w3.org/1999/xhtml'>{'<b>' * 70}{'</b>' * 70}</div></text>{CLOSE}",
        f"{OPEN}<id value='{'x' * xml.MAX_BYTES}'/>{CLOSE}",
    ],
    ids=["depth", "elements", "attributes", "depth of a narrative", "size"],
)
def test_everything_has_a_bound(document):
    with pytest.raises(UnreadableMessage, match="too"):
        xml.parse(document.encode())


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-32"])
def test_another_encoding_is_refused_whatever_it_declares(encoding):
    document = f'<?xml version="1.0" encoding="{encoding}"?>{OPEN}<id value="é"/>{CLOSE}'

    with pytest.raises(UnreadableMessage):
        xml.parse(document.encode(encoding))


def test_comments_instructions_and_narratives_are_passed_over():
    document = (
        '<?xml version="1.0"?><!-- c --><?x-style href="file:///etc/passwd"?>'
        f'{OPEN}<text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><b>Louise</b></div></text>'
        f'<!-- c --><id value="a"/>{CLOSE}'
    )
    root = xml.parse(document.encode())

    assert [child.name for child in root.children] == ["text", "id"]
    assert [child.name for child in root.children[0].children] == ["status"]


def test_nothing_else_in_the_project_parses_xml():
    parser = re.compile(
        r"\s*(?:from|import)\s+"
        r"(?:xml\.(?!sax\.saxutils)|xml\s*$|xml import|lxml|defusedxml|xmltodict|pyexpat|bs4|html5lib)"
    )
    users = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mpi").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if parser.match(line)
    }

    assert users == {"mpi/feeds/fhir/xml.py"}
