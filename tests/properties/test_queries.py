"""Any query, whole or damaged, gets exactly one well-formed answer, and nobody is named beside an error."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from mpi.feeds.hl7v2 import er7
from mpi.feeds.hl7v2.criteria import AUTHORITY, TEXTS
from mpi.identity.model import NameUse, PersonName, RecordKey
from mpi.index.search import Why
from tests.properties.hl7_grammar import damaged
from tests.unit.feeds.hl7v2.fakes import KEY_A, KEY_B, Feed, cancellation, query, search
from tests.unit.feeds.hl7v2.people import found, person

CX = ("B77^^^SITE-B&2.999.1.2&ISO", "B77^^^SITE-B", "B77^^^&2.999.1.2", "X^^^NOWHERE", "B9^^^SITE-D", "", '""', "^^^",
      "B77", "\\F\\^^^SITE-B", "^^^SITE-A&2.999.1.1&ISO", "é^^^SITE-B", "\x00^^^SITE-B")  # fmt: skip
PATHS = tuple(
    ".".join(map(str, path)) for path in [*TEXTS, *AUTHORITY, (3,), (3, 1), (7,), (8,), (13,), (18,), (99,)]
)
VALUES = ("", "A*", "CHA*", "*", "1984", "19840230", "F", "X", "SITE-A", "2.999.1.1", "ISO", "A&B&C", "\\S\\", '""',
          "A1^^^SITE-A", "é", "Œ", "\x01", "Z" * 300)  # fmt: skip
RCPS = ("RCP|I", "RCP|I|1^RD", "RCP|I|2", "RCP|D", "RCP|I|x^RD", "", "RCP")
CHARSETS = (
    ("", "latin-1"),
    ("8859/1", "latin-1"),
    ("UNICODE UTF-8", "utf-8"),
    ("8859/15", "utf-8"),
    ("ASCII", "ascii"),
)


def message(chance: random.Random, pointers: list[str]) -> bytes:
    """One query of any of the three kinds, right or wrong."""
    pick = chance.choice
    charset, codec = pick(CHARSETS)
    match chance.randrange(4):
        case 0:
            targets = "~".join(pick(CX) for _ in range(chance.randint(0, 3)))
            text = query(pick(CX), targets, charset=charset, control_id=pick(("Q1", "Q2", "")))
        case 1:
            text = cancellation(pick(("T1", "T2", "")), pick(("IHE PDQ Query", "")))
        case _:
            criteria = [f"@PID.{pick(PATHS)}^{pick(VALUES)}" for _ in range(chance.randint(0, 3))]
            domains = "~".join(pick(CX) for _ in range(chance.randint(0, 2)))
            dsc = pick((*pointers[-2:], "", "", "", "x-1|I", "|F"))
            tag = pick(("T1", "T1", "T2", ""))
            text = search(*criteria, domains=domains, tag=tag, rcp=pick(RCPS), dsc=dsc, charset=charset)
    if chance.random() < 0.1:
        text = text.replace("|^~\\&", "#*~\\&", 1).translate(str.maketrans("|^", "#*"))
    return text.encode(codec, errors="replace")


def crowd() -> Feed:
    feed = Feed()
    feed.registry.linked = [{RecordKey(KEY_B, "B77"), RecordKey(KEY_A, "É|1"), RecordKey(KEY_A, "A1")}]
    name = PersonName("ŒUVRARD^|~", "LOÏC\r", use=NameUse.BIRTH)
    feed.registry.people = [
        found(person(n, f"A:A{n}", birth_name=name), 0.5, given=Why.ONE_LETTER) for n in range(1, 4)
    ]
    return feed


def in_ascii(acknowledgement: bytes) -> bytes:
    """An acknowledgement repeats MSH as it came, even where that is what could not be read."""
    header, rest = acknowledgement.decode("ascii", errors="replace").replace("\ufffd", "?").split("\r", 1)
    return "\r".join(("|".join(header.split("|")[:17]), rest)).encode()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_every_query_gets_one_answer(seed):
    chance = random.Random(seed)
    feed = crowd()
    pointers: list[str] = []
    for _ in range(6):
        sent = message(chance, pointers)
        frame = damaged(sent, chance) if chance.random() < 0.5 else sent
        raw = feed.handler.handle(frame)
        if not raw:
            header = er7.read_header(frame)
            assert header.value(9, 1).strip().upper() == "ACK"
            continue
        is_response = b"|RSP^" in raw.split(b"\r", 1)[0]
        reply = er7.read(raw if is_response else in_ascii(raw))
        lines = raw.split(b"\r")
        names = [line[:3] for line in lines[:-1]]
        msa_1 = reply.segment("MSA").value(1)
        assert lines[-1] == b""
        assert names[:2] == [b"MSH", b"MSA"]
        assert names.count(b"MSH") == names.count(b"MSA") == 1
        assert msa_1 in ("AA", "AE", "AR")
        if is_response and frame is sent:
            assert all("Windows-1252" in warning for warning in reply.warnings)
        errors = [err.value(4) for err in reply.segments("ERR")]
        if msa_1 != "AA":
            assert "E" in errors
            assert not reply.segments("PID")
            assert reply.segment("DSC") is None
        else:
            assert "E" not in errors
        qak = reply.segment("QAK")
        assert is_response == (qak is not None) == (reply.segment("QPD") is not None)
        if qak is not None:
            assert qak.value(2) in (("OK", "NF") if msa_1 == "AA" else ("AE",))
            if qak.value(4):
                assert int(qak.value(5)) == len(reply.segments("PID"))
        if (dsc := reply.segment("DSC")) is not None:
            assert int(qak.value(6)) > 0
            pointers.append(dsc.value(1))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_echoed_is_what_was_sent(seed):
    chance = random.Random(seed)
    feed = crowd()
    sent = message(chance, [])
    raw = feed.handler.handle(sent)
    asked = [line for line in sent.split(b"\r") if line.startswith(b"QPD|")]
    if asked and b"\rQPD|" in raw:
        codec = "utf-8" if b"UNICODE UTF-8" in raw.split(b"\r")[0] else "latin-1"
        sent_codec = er7.read(sent).codec
        assert asked[0].decode(sent_codec) in raw.decode(codec).split("\r")
