"""A small federation in tests: three sites, a registry over any store, and what can be said of its state."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mpi.errors import UnknownIdentifier
from mpi.identity.domains import Domains
from mpi.identity.model import (
    AssigningAuthority,
    Demographics,
    NameUse,
    PartialDate,
    PatientIdentifier,
    PersonName,
    RecordKey,
    SourceRecord,
    Witness,
)
from mpi.index import graph
from mpi.index.decisions import TwoPersonRule
from mpi.index.derivation import nodes_of
from mpi.index.events import (
    Envelope,
    Fact,
    FactKind,
    IdentifiersLinked,
    IdentifiersMerged,
    IdentityStated,
    Instruction,
    MessageState,
    PatientMoved,
    Protocol,
    Receipt,
)
from mpi.index.graph import LinkPolicy
from mpi.index.parties import Consumer, Directory, PatientIdentitySource
from mpi.index.ports import Store, StoredRecord
from mpi.index.reception import InboxLimits
from mpi.index.registry import Registry
from mpi.index.review import LIVE_STATES, Verdict
from mpi.matching.model import MatchModel
from mpi.matching.online import score

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
SITES = ("A", "B", "C")
OWN = AssigningAuthority("MPI", "2.999.1", "ISO")


def authority(site: str) -> AssigningAuthority:
    return AssigningAuthority(f"SITE-{site}", f"2.999.1.{ord(site) - ord('A') + 1}", "ISO")


def key(site: str, value: str) -> RecordKey:
    return RecordKey(authority(site).universal_id, value)


def identifier(site: str, value: str) -> PatientIdentifier:
    return PatientIdentifier(value, authority(site), "PI")


def directory(**overrides: Any) -> Directory:
    return Directory(
        **{
            "own": OWN,
            "domains": Domains(authority(site) for site in SITES),
            "sources": [
                PatientIdentitySource(
                    f"ris-{site.lower()}",
                    (authority(site).universal_id,),
                    application=f"RIS_{site}",
                    facility=f"SITE_{site}",
                )
                for site in SITES
            ]
            + [
                PatientIdentitySource(
                    f"pacs-{site.lower()}", (authority(site).universal_id,), aet=f"PACS_{site}"
                )
                for site in SITES
            ],
            "consumers": [
                Consumer(
                    "portal",
                    "PORTAL",
                    "FED",
                    frozenset(authority(site).universal_id for site in SITES),
                    "127.0.0.1:1",
                )
            ],
            "accept_test_ins": True,
            **overrides,
        }
    )


def person(
    family: str = "CHANTEREAU",
    given: str = "LOUISE",
    born: str = "1984-02-29",
    sex: str = "F",
    *,
    used: str = "",
    **more: Any,
) -> Demographics:
    names = [PersonName(family, given, use=NameUse.BIRTH)]
    if used:
        names.append(PersonName(used, given, use=NameUse.USED))
    more.setdefault("birth_place_code", "87085")
    return Demographics(
        names=tuple(names), birth_date=PartialDate.parse(born) if born else None, sex=sex, **more
    )


@dataclass
class Clock:
    """Ticks one second at each reading."""

    at: datetime = START

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@dataclass(frozen=True)
class ReadAs:
    """`reception.Reader` that reads one thing in whatever was kept."""

    instruction: Instruction

    def read(self, envelope: Envelope) -> Instruction:
        return self.instruction

    def reply(self, envelope: Envelope, receipt: Receipt) -> bytes:
        return receipt.state.encode()


@dataclass
class World:
    """A registry over a store, and the few verbs tests need."""

    store: Store
    parties: Directory = field(default_factory=directory)
    policy: LinkPolicy = field(default_factory=LinkPolicy)
    rule: TwoPersonRule = field(default_factory=TwoPersonRule)
    model: MatchModel = field(default_factory=MatchModel.default)
    clock: Clock = field(default_factory=Clock)
    inbox: InboxLimits = field(default_factory=InboxLimits)
    _sent: int = 0

    def __post_init__(self) -> None:
        self.registry = Registry(
            self.store, self.parties, self.model, self.clock, self.policy, self.rule, inbox=self.inbox
        )

    def send(
        self, instruction: Instruction, *, source: str, control_id: str = "", content: str = ""
    ) -> Receipt:
        self._sent += 1
        control_id = control_id or f"M{self._sent}"
        envelope = Envelope(
            Protocol.HL7V2, source, source.upper(), "F", control_id, content or control_id, b"raw", "ADT^A28"
        )
        return self.registry.receive(envelope, lambda: instruction, lambda receipt: receipt.state.encode())

    def state(
        self,
        site: str,
        value: str,
        who: Demographics,
        *,
        minute: int = 0,
        source: str = "",
        witness: Witness = Witness.FEED,
        **more: Any,
    ) -> Receipt:
        source = source or f"ris-{site.lower()}"
        record = statement(site, value, who, minute=minute, source=source, witness=witness)
        return self.send(IdentityStated((record,)), source=source, **more)

    def merge(self, site: str, survivor: str, subsumed: str, *, minute: int = 0, **more: Any) -> Receipt:
        return self.send(merge(site, survivor, subsumed, minute=minute), source=f"ris-{site.lower()}", **more)

    def rename(self, site: str, new: str, old: str, *, minute: int = 0, **more: Any) -> Receipt:
        renamed = replace(merge(site, new, old, minute=minute), renamed=True)
        return self.send(renamed, source=f"ris-{site.lower()}", **more)

    def link(
        self,
        left: tuple[str, str],
        right: tuple[str, str],
        *,
        linked: bool = True,
        minute: int = 0,
        source: str = "",
    ) -> Receipt:
        """A24, or A37 when not linked; by the source of the left one unless another is named."""
        source = source or f"ris-{left[0].lower()}"
        at = START + timedelta(minutes=minute)
        return self.send(IdentifiersLinked(key(*left), key(*right), linked, at, source), source=source)

    def move(self, site: str, to: str, origin: str, *, minute: int = 0) -> Receipt:
        at = START + timedelta(minutes=minute)
        source = f"ris-{site.lower()}"
        return self.send(PatientMoved(key(site, to), key(site, origin), at, source), source=source)

    def record(self, site: str, value: str, epoch: int = 0) -> StoredRecord:
        with self.store.read() as uow:
            found = uow.records.by_key(key(site, value)._replace(epoch=epoch))
        assert found is not None
        return found

    def facts_of(self, kind: FactKind) -> list[Fact]:
        """Those that stand."""
        return [fact for fact in self.registry.facts(limit=10_000) if fact.kind is kind and fact.stands]

    def euid(self, site: str, value: str) -> str:
        return self.registry.euid_of(key(site, value))

    def together(self, *records: tuple[str, str]) -> bool:
        return len({self.euid(site, value) for site, value in records}) == 1

    def elsewhere(self, site: str, value: str) -> set[tuple[str, str]]:
        found = self.registry.cross_reference(
            key(site, value),
            targets=None,
            visible=frozenset(authority(s).universal_id for s in SITES),
            actor="test",
        )
        return {(i.authority.namespace.removeprefix("SITE-"), i.value) for i in found.identifiers}

    def tasks(self) -> list[Any]:
        return self.registry.tasks(limit=10_000)

    def decide(self, task_id: int, verdict: Verdict, reviewer: str = "anne") -> Any:
        task = self.registry.review(task_id, actor="test").task
        return self.registry.decide(task_id, verdict, reviewer=reviewer, version=task.version)

    # ------------------------------------------------------------- the whole state, as values

    def partition(self) -> frozenset[frozenset[RecordKey]]:
        sets: dict[str, set[RecordKey]] = {}
        with self.store.read() as uow:
            records = uow.records.by_ids(uow.records.all_ids())
            for record_id, euid in uow.memberships.current(list(records)).items():
                sets.setdefault(euid, set()).add(records[record_id].key)
        return frozenset(frozenset(members) for members in sets.values())

    def euids(self) -> dict[RecordKey, str]:
        with self.store.read() as uow:
            records = uow.records.by_ids(uow.records.all_ids())
            return {records[i].key: euid for i, euid in uow.memberships.current(list(records)).items()}

    def open_questions(self) -> frozenset[tuple[str, frozenset[RecordKey], str]]:
        with self.store.read() as uow:
            tasks = uow.reviews.page(states=LIVE_STATES, limit=10_000)
            records = uow.records.by_ids({i for t in tasks for i in (t.key.left_id, t.key.right_id)})
        return frozenset(
            (str(t.kind), frozenset((records[t.key.left_id].key, records[t.key.right_id].key)), t.reason)
            for t in tasks
        )

    def golden_records(self) -> dict[str, Any]:
        """By enterprise identifier; None for who is not to be answered."""
        visible = frozenset(authority(site).universal_id for site in SITES)
        found: dict[str, Any] = {}
        for euid in sorted(set(self.euids().values())):
            try:
                golden = self.registry.enterprise_record(euid, visible=visible, actor="test").golden
            except UnknownIdentifier:
                found[euid] = None
            else:
                found[euid] = {name: (item.value, item.source, item.since) for name, item in golden.items()}
        return found

    def snapshot(self) -> dict[str, Any]:
        """Everything that must be the same when the same facts stand."""
        return {
            "sets": self.partition(),
            "euids": self.euids(),
            "tasks": self.open_questions(),
            "golden": self.golden_records(),
        }

    def from_scratch(self) -> frozenset[frozenset[RecordKey]]:
        """The partition of everything, derived at once."""
        with self.store.read() as uow:
            records = uow.records.by_ids(uow.records.all_ids())
            edges = uow.edges.touching(list(records))
            facts = uow.facts.standing([record.key for record in records.values()])
        derived = graph.partition(
            list(nodes_of(records.values(), facts).values()),
            edges,
            facts,
            policy=self.registry.policy,
            contradicts=lambda a, b: score(self.model, records[a].traits, records[b].traits).contradicts,
        )
        return frozenset(frozenset(records[i].key for i in members) for members in derived.sets)


def statement(
    site: str,
    value: str,
    who: Demographics,
    *,
    minute: int = 0,
    source: str = "",
    witness: Witness = Witness.FEED,
) -> SourceRecord:
    return SourceRecord(
        identifier(site, value),
        authority(site).universal_id,
        who,
        START + timedelta(minutes=minute),
        source or f"ris-{site.lower()}",
        witness=witness,
    )


def merge(site: str, survivor: str, subsumed: str, *, minute: int = 0) -> IdentifiersMerged:
    return IdentifiersMerged(
        identifier(site, survivor),
        identifier(site, subsumed),
        authority(site).universal_id,
        START + timedelta(minutes=minute),
        f"ris-{site.lower()}",
    )


def conserved(counts: dict[str, dict[MessageState, int]], received: int) -> bool:
    return sum(sum(by_state.values()) for by_state in counts.values()) == received


def shuffled_keeping_each_order(draw_index: Iterable[int], sequences: list[list[Any]]) -> list[Any]:
    """Interleave sequences, each in its own order; draw_index chooses which goes next."""
    waiting = [list(sequence) for sequence in sequences if sequence]
    out = []
    for index in draw_index:
        if not waiting:
            break
        chosen = waiting[index % len(waiting)]
        out.append(chosen.pop(0))
        if not chosen:
            waiting.remove(chosen)
    for sequence in waiting:
        out += sequence
    return out
