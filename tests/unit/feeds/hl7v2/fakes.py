"""A registry in memory, a small federation, and messages for it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from mpi.errors import (
    ControlIdReused,
    FeedError,
    LinkConflict,
    NotPermitted,
    RegistryError,
    StoreError,
    UnknownIdentifier,
    UnsupportedMessage,
)
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.feeds.hl7v2.query_answer import QueryPolicy
from mpi.identity.domains import Domains
from mpi.identity.model import AssigningAuthority, PatientIdentifier, RecordKey, SourceRecord
from mpi.index.events import (
    Envelope,
    IdentifiersMerged,
    IdentityStated,
    Instruction,
    MessageState,
    Receipt,
)
from mpi.index.parties import Consumer, Directory, PatientIdentitySource
from mpi.index.search import Found, Search, SearchAnswer

NOW = datetime(2026, 3, 2, 9, 15, 1, tzinfo=UTC)
SITE_A = AssigningAuthority("SITE-A", "2.999.1.1", "ISO")
SITE_B = AssigningAuthority("SITE-B", "2.999.1.2", "ISO")
SITE_C = AssigningAuthority("SITE-C", "2.999.1.3", "ISO")
SITE_D = AssigningAuthority("SITE-D", "2.999.1.4", "ISO")
KEY_A, KEY_B, KEY_C, KEY_D = "2.999.1.1", "2.999.1.2", "2.999.1.3", "2.999.1.4"


def federation(*, accept_test_ins: bool = True, **ris_a: Any) -> Directory:
    """
    Four sites; RIS_A and GAM_A feed A, HUB feeds B and C; VIEWER_B sees A, B and C, not D.

    GAM_A may link A with B and C.

    Args:
        ris_a: what is particular about RIS_A.
    """
    return Directory(
        own=AssigningAuthority("MPI", "2.999.1", "ISO"),
        domains=Domains([SITE_A, SITE_B, SITE_C, SITE_D]),
        sources=[
            PatientIdentitySource("ris-a", (KEY_A,), "RIS_A", "SITE_A", **ris_a),
            PatientIdentitySource(
                "gam-a",
                (KEY_A,),
                "GAM_A",
                "SITE_A",
                default_charset="8859/15",
                may_link=(KEY_B, KEY_C),
            ),
            PatientIdentitySource("hub", (KEY_B, KEY_C), "HUB", "SITE_B"),
        ],
        consumers=[Consumer("viewer-b", "VIEWER_B", "SITE_B", frozenset({KEY_A, KEY_B, KEY_C}))],
        accept_test_ins=accept_test_ins,
    )


class FakeRegistry:
    """Journals, de-duplicates and applies like the real one, to dictionaries."""

    def __init__(self) -> None:
        self.journal: list[tuple[Envelope, Receipt]] = []
        self.records: dict[RecordKey, list[SourceRecord]] = {}
        self.merged: dict[RecordKey, RecordKey] = {}
        self.applied: list[Instruction] = []
        self.refusals: list[tuple[str, str, str]] = []
        self.retired: set[RecordKey] = set()
        self.people: list[Found] = []
        self.too_broad = False
        self.searches: list[tuple[Search, frozenset[str], str, int, datetime | None]] = []
        self.traces: list[Mapping[str, Any] | None] = []
        self.linked: list[set[RecordKey]] = []
        self.asked: list[tuple[RecordKey, frozenset[str] | None, frozenset[str], str]] = []
        self.broken = False
        self.directory = federation()

    def receive(
        self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes]
    ) -> Receipt:
        """Take one message as the registry does; StoreError when broken."""
        if self.broken:
            raise StoreError("the outcome of the commit is unknown")
        prior = next(
            ((e, r) for e, r in self.journal if envelope.dedupe_key and e.dedupe_key == envelope.dedupe_key),
            None,
        )
        number = len(self.journal) + 1
        if prior is not None and prior[0].content_hash == envelope.content_hash:
            receipt = Receipt(MessageState.DUPLICATE, number, reply=prior[1].reply)
        else:
            try:
                if prior is not None:
                    raise ControlIdReused("control id", "already used for another message")
                self._apply(read())
                receipt = Receipt(MessageState.APPLIED, number)
            except UnsupportedMessage as error:
                receipt = Receipt(MessageState.REFUSED, number, error=error)
            except (FeedError, RegistryError, NotPermitted) as error:
                receipt = Receipt(MessageState.QUARANTINED, number, error=error)
            receipt = replace(receipt, reply=reply(receipt))
        self.journal.append((envelope, receipt))
        return receipt

    def _apply(self, instruction: Instruction) -> None:
        if isinstance(instruction, IdentityStated):
            for record in instruction.records:
                self.records.setdefault(record.key, []).append(record)
        elif isinstance(instruction, IdentifiersMerged):
            survivor = RecordKey(instruction.domain, instruction.survivor.value)
            subsumed = RecordKey(instruction.domain, instruction.subsumed.value)
            if self.survivor(survivor) == subsumed:
                raise LinkConflict("the survivor was itself merged into the identifier to retire")
            self.merged[subsumed] = survivor
        self.applied.append(instruction)

    def survivor(self, key: RecordKey) -> RecordKey:
        """Follow the merges of a record."""
        while key in self.merged:
            key = self.merged[key]
        return key

    def record_refusal(
        self, *, actor: str, kind: str, place: str, trace: Mapping[str, Any] | None = None
    ) -> None:
        """Keep what would be audited."""
        self.refusals.append((actor, kind, place))
        self.traces.append(trace)

    def search(
        self,
        wanted: Search,
        *,
        visible: frozenset[str],
        actor: str,
        most: int,
        as_of: datetime | None = None,
        trace: Mapping[str, Any] | None = None,
    ) -> SearchAnswer:
        """Answer everybody in `people`, or those of them that are asked for by their own identifier."""
        if self.broken:
            raise StoreError("no database")
        self.searches.append((wanted, visible, actor, most, as_of))
        self.traces.append(trace)
        if self.too_broad:
            return SearchAnswer((), too_broad=True)
        asked = wanted.persons
        return SearchAnswer(tuple(one for one in self.people if not asked or one.person.id in asked))

    def cross_reference(
        self,
        key: RecordKey,
        *,
        targets: frozenset[str] | None,
        visible: frozenset[str],
        actor: str,
        follow_retired: bool = True,
        trace: Mapping[str, Any] | None = None,
    ) -> SimpleNamespace:
        """Answer from `linked`."""
        if self.broken:
            raise StoreError("no database")
        self.asked.append((key, targets, visible, actor))
        self.traces.append(trace)
        together = next((group for group in self.linked if key in group), None)
        if (together is None and key not in self.records) or (key in self.retired and not follow_retired):
            raise UnknownIdentifier("cross_reference")
        wanted = visible if targets is None else visible & targets
        return SimpleNamespace(
            identifiers=tuple(
                PatientIdentifier(other.value, self.directory.domains.by_key(other.domain).authority)
                for other in sorted((together or set()) - {key})
                if other.domain in wanted
            )
        )


class Feed:
    """A handler over a fake registry, and what came out of it."""

    def __init__(
        self,
        *,
        accept_test_ins: bool = True,
        queries: QueryPolicy | None = None,
        directory: Directory | None = None,
        **ris_a: Any,
    ) -> None:
        self.registry = FakeRegistry()
        self.now = NOW
        directory = directory or federation(accept_test_ins=accept_test_ins, **ris_a)
        self.handler = Hl7Handler(self.registry, directory, lambda: self.now, queries)

    def send(self, message: bytes | str) -> "Reply":
        """Send one message (text goes in the 8859/15 or UTF-8 it declares, ASCII otherwise)."""
        return Reply(self.handler.handle(message if isinstance(message, bytes) else message.encode("ascii")))

    @property
    def state(self) -> MessageState:
        """What became of the last message."""
        return self.registry.journal[-1][1].state

    def latest(self, domain: str, value: str) -> SourceRecord:
        """The last statement about a record."""
        return self.registry.records[RecordKey(domain, value)][-1]


class Reply:
    """A reply, for assertions."""

    def __init__(self, raw: bytes, encoding: str = "latin-1") -> None:
        self.raw = raw
        self.text = raw.decode(encoding)
        self.lines = self.text.split("\r")

    def segments(self, name: str) -> list[list[str]]:
        """Fields of the segments of that name, by the standard's numbers but for MSH."""
        return [line.split("|") for line in self.lines if line.startswith(name)]

    def first(self, name: str, field: int) -> str | None:
        """A field of the first such segment, None when there is no such segment."""
        found = self.segments(name)
        if not found:
            return None
        return found[0][field] if field < len(found[0]) else ""

    @property
    def msa_1(self) -> str | None:
        """AA, AE or AR."""
        return self.first("MSA", 1)

    @property
    def err_2(self) -> str | None:
        """The location of the first error."""
        return self.first("ERR", 2)

    @property
    def err_3(self) -> str | None:
        """The code of the first error, without its text."""
        code = self.first("ERR", 3)
        return code.split("^")[0] if code else code


STRUCTURES = {
    "A02": "ADT_A02",
    "A03": "ADT_A03",
    "A06": "ADT_A06",
    "A07": "ADT_A06",
    "A09": "ADT_A09",
    "A10": "ADT_A09",
    "A11": "ADT_A09",
    "A12": "ADT_A09",
    "A14": "ADT_A05",
    "A15": "ADT_A15",
    "A16": "ADT_A16",
    "A21": "ADT_A21",
    "A22": "ADT_A21",
    "A24": "ADT_A24",
    "A25": "ADT_A21",
    "A26": "ADT_A21",
    "A27": "ADT_A21",
    "A28": "ADT_A05",
    "A31": "ADT_A05",
    "A32": "ADT_A21",
    "A33": "ADT_A21",
    "A37": "ADT_A37",
    "A38": "ADT_A38",
    "A40": "ADT_A39",
    "A43": "ADT_A43",
    "A44": "ADT_A43",
    "A45": "ADT_A43",
    "A47": "ADT_A30",
    "A49": "ADT_A30",
    "A50": "ADT_A50",
    "A52": "ADT_A52",
    "A53": "ADT_A52",
    "A54": "ADT_A54",
    "A55": "ADT_A52",
}
"""MSH-9.3, where it is not ADT_A01."""
PID = "PID|||A1001^^^SITE-A&2.999.1.1&ISO^PI||CHANTEREAU^LOUISE^^^^^L||19840229|F"


def adt(
    event: str = "A28",
    *segments: str,
    control_id: str = "F-0001",
    version: str = "2.5",
    charset: str = "",
    application: str = "RIS_A",
    facility: str = "SITE_A",
    message_type: str = "ADT",
    processing_id: str = "P",
    evn: str = "EVN||20260302101500",
) -> str:
    """An ADT message of RIS_A; a usual PID unless segments are given."""
    structure = STRUCTURES.get(event, "ADT_A01")
    msh = (
        f"MSH|^~\\&|{application}|{facility}|MPI|FED|20260302101500+0100||{message_type}^{event}^{structure}|"
        f"{control_id}|{processing_id}|{version}|||||FRA|{charset}"
    )
    return "\r".join((msh, evn, *(segments or (PID,)), ""))


def merge(survivor: str, subsumed: str, *, control_id: str = "F-0040", **header: str) -> str:
    """An A40 of RIS_A, from two CX."""
    return adt("A40", f"PID|||{survivor}", f"MRG|{subsumed}", control_id=control_id, **header)


def change(new: str, old: str, *, control_id: str = "F-0047", **header: str) -> str:
    """An A47 of RIS_A, from PID-3 and MRG-1."""
    return adt("A47", f"PID|||{new}", f"MRG|{old}", control_id=control_id, **header)


def link(left: str, right: str, *, event: str = "A24", control_id: str = "F-0024", **header: str) -> str:
    """An A24 or A37 of RIS_A, from two PID-3."""
    return adt(event, f"PID|||{left}", f"PID|||{right}", control_id=control_id, **header)


def query(
    who: str = "B77^^^SITE-B&2.999.1.2&ISO",
    targets: str = "",
    *,
    control_id: str = "Q-0001",
    event: str = "Q23",
    qpd: Iterable[str] | None = None,
    application: str = "VIEWER_B",
    charset: str = "UNICODE UTF-8",
    version: str = "2.5",
) -> str:
    """A cross-reference query of VIEWER_B."""
    fields = ["QPD", "IHE PIX Query", "QT-0001", who, targets] if qpd is None else list(qpd)
    msh = (
        f"MSH|^~\\&|{application}|SITE_B|MPI|FED|20260302102000||QBP^{event}^QBP_Q21|{control_id}|P|"
        f"{version}|||||FRA|{charset}"
    )
    return "\r".join((msh, "|".join(fields).rstrip("|"), "RCP|I", ""))


def search(
    *criteria: str,
    domains: str = "",
    control_id: str = "P-0001",
    tag: str = "PT-0001",
    rcp: str = "RCP|I",
    dsc: str = "",
    name: str = "IHE PDQ Query",
    application: str = "VIEWER_B",
    charset: str = "UNICODE UTF-8",
) -> str:
    """A demographics query of VIEWER_B."""
    msh = f"MSH|^~\\&|{application}|SITE_B|MPI|FED|20260302104000||QBP^Q22^QBP_Q21|{control_id}|P|2.5|||||FRA|{charset}"
    qpd = f"QPD|{name}|{tag}|{'~'.join(criteria)}|||||{domains}".rstrip("|")
    return "\r".join((msh, qpd, *([rcp] if rcp else []), *([f"DSC|{dsc}"] if dsc else []), ""))


def cancellation(tag: str = "PT-0001", name: str = "IHE PDQ Query", *, application: str = "VIEWER_B") -> str:
    """Cancel a demographics query of VIEWER_B."""
    msh = f"MSH|^~\\&|{application}|SITE_B|MPI|FED|20260302104100||QCN^J01^QCN_J01|P-0003|P|2.5"
    return "\r".join((msh, f"QID|{tag}|{name}", ""))
