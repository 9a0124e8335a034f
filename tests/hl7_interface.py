"""
The code -> the tables and examples of docs/hl7-interface.md.

    python -m tests.hl7_interface

Each stands between two markers that name it; what is between them is replaced. What is read of a message and what is
tolerated is found out by sending many; the examples are sent to an index. `tests/conformance/test_hl7_interface.py`
says when the document has fallen behind the code.
"""

import ast
import inspect
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from unittest.mock import patch

import structlog

from mpi.feeds import national
from mpi.feeds.hl7v2 import (
    ack,
    adt,
    changes,
    criteria,
    er7,
    identifiers,
    minimised,
    notification,
    person_segments,
    pid,
    problems,
    profiles,
    query,
)
from mpi.identity.model import PatientIdentifier
from mpi.index.parties import Acknowledgement, Quirk
from mpi.settings import MllpSettings, QuerySettings
from tests.conformance.hl7v2.test_queries_over_the_index import Federation
from tests.fakes import MemoryStore
from tests.properties import hl7_grammar
from tests.unit.feeds.hl7v2.fakes import NOW, SITE_A, SITE_B, Feed, Reply, cancellation, search
from tests.unit.feeds.hl7v2.fakes import adt as adt_of
from tests.unit.feeds.hl7v2.fakes import query as pix

DOCUMENT = Path(__file__).parents[1] / "docs" / "hl7-interface.md"
MESSAGES = 1_200
"""How many messages are sent to find out what is read of them."""

_PLACED = re.compile(r"(?:[A-Z][A-Z0-9]{2}|…)(?:\^\d+)+: |…: ")
_EFFECTS = {
    profiles.Effect.STATEMENT: "statement",
    profiles.Effect.MOVEMENT: "movement",
    profiles.Effect.CHANGE: "change of identifiers",
    profiles.Effect.NOTHING: "kept, no effect",
}
_FIELDS = {
    "MSH-3": "sending application", "MSH-4": "sending facility", "MSH-5": "receiving application (echoed)",
    "MSH-6": "receiving facility (echoed)", "MSH-7": "time, where EVN has none", "MSH-9": "message type and event",
    "MSH-10": "control id", "MSH-11": "processing id: P, T or D", "MSH-12": "version and country",
    "MSH-13": "sequence number, of a source with `sequence_numbers`",
    "MSH-15": "accept acknowledgement, of an `enhanced` source",
    "MSH-16": "application acknowledgement, of an `enhanced` source", "MSH-17": "country (echoed)",
    "MSH-18": "character set", "EVN-2": "time recorded", "EVN-6": "time it became true",
    "PID-3": "identifiers", "PID-5": "names: XPN-1 to XPN-5, XPN-7", "PID-6": "mother's birth name",
    "PID-7": "birth date, as far as it is known", "PID-8": "sex",
    "PID-11": "home (H, or no type) and birth place (BDL, with its code in XAD-9)",
    "PID-13": "telephone, mail", "PID-14": "telephone, mail", "PID-23": "birth place, as a text",
    "PID-24": "multiple birth", "PID-25": "birth order", "PID-32": "identity status and attributes",
    "MRG-1": "the identifier that is retired, or changes", "PV1-2": "patient class: E is an emergency",
    "ZBE-4": "CANCEL takes a movement back", "ZBE-6": "the movement a Z99 is about",
    "ZFD-4": "the birth date is interpreted", "QPD-1": "which query", "QPD-2": "query tag",
    "QPD-3": "who: an identifier, or criteria", "QPD-4": "ITI-9: domains wanted", "QPD-8": "ITI-21: domains wanted",
    "RCP-1": "I, or nothing", "RCP-2": "people to a page (`n^RD`)", "DSC-1": "pointer of the page",
    "DSC-2": "I, L or nothing", "QID-1": "query tag", "QID-2": "which query",
}  # fmt: skip
_PID = {
    3: "identifiers, those of a domain together, fully qualified",
    5: "names: L, D, U in this order, the given names at birth in XPN-3; S only where there is no other",
    6: "mother's birth name (M)",
    7: "birth date, as far as it is known",
    8: "sex",
    11: "home (H); birth place (BDL), its code in XAD-9",
    13: "telephones in XTN-1 and XTN-12, mail addresses in XTN-4",
    24: "multiple birth: Y or N",
    25: "birth order",
    32: "`DOUT`, of an identity that somebody reported, or that its site calls doubtful",
}


# ---------------------------------------------------------------------------------------- what is taken


def events() -> Iterator[list[str]]:
    yield ["event", "MSH-9.3", "before 2.5", "2.5, 2.5.1"]
    for event in sorted(profiles.EVENTS):
        effects = []
        for version in ("2.3.1", "2.5"):
            msh = er7.read_header(adt_of(event, version=version).encode())
            effects.append(_EFFECTS[profiles.effect_of(msh)])
        structures = sorted(profiles._STRUCTURES.get(event, ()))
        yield [f"`ADT^{event}`", ", ".join(structures), *effects]


def queries() -> Iterator[list[str]]:
    yield ["message", "answered with", "transaction"]
    answers = {
        query.PIX: ("RSP^K23^RSP_K23", "ITI-9"),
        query.PDQ: ("RSP^K22^RSP_K21", "ITI-21"),
        query.CANCEL: ("ACK^J01^ACK", "ITI-21, cancel"),
    }
    for kind, of_kind in query.EVENTS.items():
        for event in sorted(of_kind, reverse=True):
            yield [f"`{kind}^{event}`", f"`{answers[event][0]}`", answers[event][1]]


def versions() -> Iterator[list[str]]:
    yield ["MSH-12, first component"]
    yield [", ".join(f"`{version}`" if version else "blank" for version in sorted(profiles.VERSIONS))]


@cache
def _read() -> frozenset[str]:
    """The fields that are looked at, found by sending messages."""
    chance = random.Random(1)
    read: set[str] = set()
    look = er7.Segment.field

    def field(segment: er7.Segment, number: int) -> str:
        read.add(f"{segment.name}-{number}")
        return look(segment, number)

    configured = {
        "sequence_numbers": True,
        "acknowledgement": Acknowledgement.ENHANCED,
        "quirks": frozenset(Quirk),
    }
    with patch.object(er7.Segment, "field", field), structlog.testing.capture_logs():
        for number in range(MESSAGES):
            if number % 40 == 0:
                feed = Feed(**configured) if number % 80 else Feed()
            feed.handler.handle(hl7_grammar.message(chance))
        for text in (
            adt_of("Z99", "PID|||A1^^^SITE-A||ROUX^ANNE", "ZBE|1|20260302||INSERT|N|A01", "ZFD||||Y"),
            pix(),
            search("@PID.8^F", rcp="RCP|I|1^RD", dsc="x|I"),
            cancellation(),
        ):
            feed.handler.handle(text.encode())
    return frozenset(read) - {f"{name}-{n}" for name, numbers in minimised.FIELDS.items() for n in numbers}


def fields() -> Iterator[list[str]]:
    yield ["field", "what"]
    order = list(_FIELDS)
    for name in sorted(_read(), key=order.index):  # ValueError: a field is read that nobody described
        yield [name, _FIELDS[name]]


def tolerated() -> Iterator[list[str]]:
    """Every warning a reader of messages may give: what is passed to `warn`, and texts that begin with a place."""
    yield ["warning"]
    found: set[str] = set()
    for module in (adt, changes, er7, identifiers, national, pid, profiles):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", getattr(node.func, "id", "")) == "warn"
            ):
                found.add(_text(node.args[1]))
            elif isinstance(node, ast.Constant | ast.JoinedStr) and _PLACED.match(text := _text(node)):
                found.add(text.partition(": ")[2])
    for text in sorted(found - {"", "…"}):
        yield [text.replace("|", "\\|")]


def _text(node: ast.expr) -> str:
    """A text of the source; what is put into it shows as an ellipsis."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(value) if isinstance(value, ast.Constant) else "…" for value in values)
        case ast.Attribute(value=ast.Name(id="problems"), attr=name):
            return str(getattr(problems, name))
        case _:
            return ""


def dropped() -> Iterator[list[str]]:
    yield ["never kept, not even in the journal"]
    for name, numbers in minimised.FIELDS.items():
        yield [", ".join(f"{name}-{number}" for number in numbers)]
    yield [", ".join(minimised.SEGMENTS) + " (whole segments)"]


def charsets() -> Iterator[list[str]]:
    yield ["MSH-18", "read as"]
    names = defaultdict(list)
    for name, codec in er7._CODECS.items():
        names[codec].append(f"`{name}`")
    for codec, spellings in names.items():
        yield [", ".join(spellings), codec]


def limits() -> Iterator[list[str]]:
    yield ["limit", "value"]
    yield ["segments in a message", f"{er7.MAX_SEGMENTS:,}"]
    yield ["repetitions of a field", f"{er7.MAX_REPETITIONS}"]
    yield ["characters in a component", "256"]
    yield ["choices in one criterion of QPD-3", f"{criteria.MAX_CHOICES}"]
    for name, field in MllpSettings.model_fields.items():
        if isinstance(field.default, int | float) and not isinstance(field.default, bool) and name != "port":
            yield [f"`mllp.{name}`", f"{field.default:,g}" if field.default < 1e6 else f"{field.default:,}"]
    for name, field in QuerySettings.model_fields.items():
        yield [f"`queries.{name}`", str(field.default).removesuffix(".0")]


def quirks() -> Iterator[list[str]]:
    yield ["`sources.quirks`", "what is then read as meant"]
    texts = dict(re.findall(r'= "(\w+)"\n    """(.*?)"""', inspect.getsource(Quirk), re.S))
    for quirk in Quirk:
        yield [f"`{quirk}`", " ".join(texts[quirk].split()).replace("|", "\\|")]


# ------------------------------------------------------------------------------------ what is answered


def errors() -> Iterator[list[str]]:
    yield ["error", "MSA-1", "code"]
    for kind, answer in ack.ANSWERS.items():
        if answer is None:
            yield [
                f"`{kind.__name__}`",
                "none: the connection is closed, or AR 207 (`sources.on_transient`)",
                "",
            ]
        else:
            yield [f"`{kind.__name__}`", answer.msa_1, str(answer.code)]
    for place, code in ack._UNSUPPORTED.items():
        yield [f"`UnsupportedMessage` at `{place}`", "AR", str(code)]


def codes() -> Iterator[list[str]]:
    yield ["ERR-3", "text", "problems (ERR-8)"]
    for code, text in problems.TABLE_0357.items():
        found = [problem for problem, its in problems.CODES.items() if its == code]
        yield [str(code), text, "; ".join(f"{p} (AR)" if p in problems.REJECTED else p for p in found)]


def searched() -> Iterator[list[str]]:
    yield ["QPD-3", "what is looked for", "wildcard"]
    for what, paths, wildcard in (
        ("an identifier, with its authority", [criteria.ID_NUMBER], "yes"),
        ("its authority, whole or in parts; alone, any identifier of it", sorted(criteria.AUTHORITY), ""),
        ("an identifier as a whole CX", [criteria.IDENTIFIER], "yes"),
        *(
            (part.replace("_", " "), [path for path, its in criteria.TEXTS.items() if its == part], "yes")
            for part in dict.fromkeys(criteria.TEXTS.values())
        ),
        ("birth date: a day, a month or a year", sorted(criteria.BIRTH), ""),
        ("sex: M, F, U (O, A, N as U)", [criteria.SEX], ""),
        ("telephone or mail", sorted(criteria.TELECOM), ""),
        ("account: nobody, with a warning; accounts are not kept", sorted(criteria.ACCOUNT), ""),
    ):
        yield [", ".join(f"`@PID.{'.'.join(map(str, path))}`" for path in paths), what, wildcard]


def person() -> Iterator[list[str]]:
    yield ["field", "what"]
    for number in person_segments.FIELDS:
        yield [f"PID-{number}", _PID[number]]


# -------------------------------------------------------------------------------------------- examples


@cache
def _index() -> Federation:
    index = Federation(MemoryStore())
    home = "|||12 RUE DES LILAS^^LIMOGES^^87000^FRA^H"
    for site, value in (("A", "A1001"), ("A", "A1377"), ("B", "B77"), ("C", "C5")):
        index.state(site, value, "CHANTEREAU^LOUISE^^^^^L||19840229|F" + home)
    for number, given in enumerate(("ZELIE", "OCTAVE", "SIDONIE")):
        index.state("A", f"A20{number}", f"MOUSSAOUI^{given}^^^^^L||19{51 + number * 9}0714|F")
    index.state("B", "B78", "OEUVRARD^THEO^THEO^^^^L||19510714|M")
    return index


def _shown(message: str) -> list[str]:
    """A message a line a segment; time, control id and pointer of ours made the same each time."""
    lines = []
    for line in message.rstrip("\r").split("\r"):
        fields = line.split("|")
        if fields[0] == "MSH" and fields[2] == "MPI":
            fields[6], fields[9] = "20260302102001+0100", "0123456789abcdef0123"
        lines.append(re.sub(r"[0-9a-f]{32}-", "c0ffee00c0ffee00c0ffee00c0ffee00-", "|".join(fields)))
    return lines


def _exchange(*messages: str) -> str:
    index = _index()
    text = []
    pointer = ""
    with structlog.testing.capture_logs():
        for message in messages:
            sent = message.replace("POINTER", pointer)
            reply = Reply(index.handler.handle(sent.encode()), "utf-8")
            pointer = reply.first("DSC", 1) or pointer
            text += ["```", *_shown(sent), "```", "```", *_shown(reply.text), "```", ""]
    return "\n".join(text)


def pix_examples() -> str:
    b77, a = "B77^^^SITE-B&2.999.1.2&ISO", "^^^SITE-A&2.999.1.1&ISO"
    cases = {
        "Known, with corresponding identifiers": pix(b77, "^^^SITE-C&2.999.1.3&ISO"),
        "Known, none in the domains asked for": pix("B78^^^SITE-B&2.999.1.2&ISO", a),
        "Unknown identifier": pix("B999^^^SITE-B&2.999.1.2&ISO", a),
        "Unknown domain of QPD-3": pix("B77^^^NOWHERE&2.999.9&ISO", a),
        "Unknown domain in QPD-4": pix(b77, f"{a}~^^^NOWHERE"),
        "Several identifiers in one domain": pix(b77),
    }
    return "\n".join(
        f"{number}. {title}\n\n{_exchange(message)}"
        for number, (title, message) in enumerate(cases.items(), start=1)
    )


def pdq_examples() -> str:
    louise = ("@PID.5.1.1^CHANTEREAU", "@PID.7^19840229", "@PID.8^F")
    page = {"rcp": "RCP|I|2^RD", "tag": "PT-0002"}
    return _exchange(
        search(*louise, domains="^^^SITE-A&2.999.1.1&ISO~^^^SITE-B&2.999.1.2&ISO"),
        search("@PID.5.1.1^MOUS*", control_id="P-0002", **page),
        search("@PID.5.1.1^MOUS*", control_id="P-0003", dsc="POINTER|I", **page),
        cancellation("PT-0002"),
        search("@PID.5.1.1^MOUS*", control_id="P-0004", dsc="POINTER|I", **page),
        search("@PID.3.1^A1001", control_id="P-0005"),
    )


def notification_example() -> str:
    identifiers = [
        PatientIdentifier(value, authority, "PI") for value, authority in (("A1001", SITE_A), ("B77", SITE_B))
    ]
    parties = notification.Parties("MPI", "FED", "PACS_B", "SITE_B")
    raw = notification.update_notification(identifiers, parties=parties, control_id="N-0001", at=NOW)
    return "\n".join(["```", *raw.decode().rstrip("\r").split("\r"), "```", ""])


# ------------------------------------------------------------------------------------------- the document


def _drawn(rows: Callable[[], Iterator[list[str]]]) -> Callable[[], str]:
    def draw() -> str:
        header, *body = rows()
        lines = [header, ["---"] * len(header), *body]
        return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)

    return draw


BLOCKS: Mapping[str, Callable[[], str]] = {
    **{
        rows.__name__: _drawn(rows)
        for rows in (
            events, queries, versions, fields, tolerated, dropped, charsets, limits, quirks, errors, codes, searched,
            person,
        )
    },
    "pix examples": pix_examples,
    "pdq examples": pdq_examples,
    "notification example": notification_example,
}  # fmt: skip


def with_blocks(text: str) -> str:
    """
    The document with its tables and examples as the code makes them today.

    Raises:
        ValueError: the document has no place for one of them, or several.
    """
    for name, draw in BLOCKS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end: {name} -->\n"
        block = f"{begin}{draw()}{end}"
        text, places = re.subn(
            f"{re.escape(begin)}.*?{re.escape(end)}", lambda _, b=block: b, text, flags=re.S
        )
        if places != 1:
            raise ValueError(f"{DOCUMENT.name}: {places} places for {name}")
    return text


def main() -> None:
    DOCUMENT.write_text(with_blocks(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
