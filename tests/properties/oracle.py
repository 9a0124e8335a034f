"""
A second reading of the specification: who is whom, folded from nothing, naively, by other code.

It takes what happened, in order: the messages that were received, what people decided, took back
and erased. It knows no store, no component and no earlier result. Of the engine it uses what
judges a pair (`score`, `changes_person`, blocking keys) and the values messages are made of.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Any

from mpi.identity.ins import NEVER_ANSWERED, IdentityAttribute, IdentityStatus
from mpi.identity.model import Demographics, NameUse, PersonName, RecordKey, SourceRecord, Witness
from mpi.identity.traits import Traits, normalise
from mpi.index.events import FactKind as Kind
from mpi.index.events import IdentifiersLinked, IdentifiersMerged, IdentityStated, Instruction, PatientMoved
from mpi.index.graph import LinkPolicy
from mpi.matching import continuity, online
from mpi.matching.blocking import blocking_keys
from mpi.matching.model import MatchModel

MODEL = MatchModel.default()
NOBODY = Demographics()
EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
HOLD_TOGETHER = (Kind.SAME, Kind.MERGED, Kind.RENAMED, Kind.SOURCE_LINKED)  # in order of precedence
TELL_APART = (Kind.DIFFERENT, Kind.HOMONYMS)
RETIRE = (Kind.MERGED, Kind.RENAMED)
CLOSE = (Kind.RECYCLED, Kind.ERASED)
LINK_WORDS = (Kind.SOURCE_LINKED, Kind.SOURCE_UNLINKED)
ON_STATEMENTS = (Kind.CONTINUED, Kind.SET_ASIDE, Kind.RECYCLED)


@lru_cache(maxsize=100_000)
def weigh(left: Traits, right: Traits) -> online.ScoredPair:
    return online.score(MODEL, left, right)


@lru_cache(maxsize=100_000)
def somebody_else(before: Demographics, after: Demographics) -> bool:
    return continuity.changes_person(MODEL, normalise(before), normalise(after)) is not None


keys_of = lru_cache(maxsize=100_000)(lambda traits: frozenset(blocking_keys(traits)))
traits_of = lru_cache(maxsize=100_000)(normalise)


# ------------------------------------------------------------------------------ what happened


@dataclass(frozen=True)
class Delivered:
    """A message that could be read, and the numbers its statements were given."""

    instruction: Instruction
    statements: tuple[int, ...] = ()


@dataclass(frozen=True)
class Claim:
    """An assertion that counts, by a person or a source."""

    kind: Kind
    left: RecordKey
    right: RecordKey
    actor: str
    since: datetime
    about: int | None = None
    number: int = 0

    @property
    def same_as(self) -> tuple[object, ...]:
        return self.kind, self.left, self.right, self.actor, self.about, self.since


@dataclass(frozen=True)
class Decided:
    claim: Claim


@dataclass(frozen=True)
class Withdrawn:
    claim: Claim


Happened = Delivered | Decided | Withdrawn


# ------------------------------------------------------------------------------ one identifier


def last_words(statements: Sequence[tuple[int, SourceRecord]]) -> tuple[Demographics, dict[str, datetime]]:
    """Of each field, what the last statement that speaks of it says; and since when."""

    def in_turn(name: str) -> list[SourceRecord]:
        """A movement weighs as a feed does, but on strict traits; a header less than both."""
        weight = {Witness.HEADER: 0, Witness.MOVEMENT: 1, Witness.FEED: 2 if name in STRICT else 1}
        turn = sorted(statements, key=lambda s: (weight[s[1].witness], s[1].event_time, s[1].source, s[0]))
        return [item for _, item in turn]

    values: dict[str, Any] = {}
    since: dict[str, datetime] = {}
    whole = dict.fromkeys(("address", "postal_code", "city"), ("address", "postal_code", "city", "country"))
    whole |= {
        "country": whole["city"],
        "ins": ("ins", "identity_codes"),
        "ins_oid": ("ins_oid", "identity_codes"),
    }
    for name in Demographics.__dataclass_fields__:
        if name in ("names", "deleted"):
            continue
        for item in reversed(in_turn(name)):
            stated = item.demographics
            value = getattr(stated, name)
            if value not in (None, "", ()):
                values[name], since[name] = value, item.event_time
                break
            if name in stated.deleted or any(
                getattr(stated, other) not in ("", ()) for other in whole.get(name, ())
            ):
                break
    names = []
    for use, slot in SLOTS.items():
        ordered = in_turn(slot)
        gone = [at for at, s in enumerate(ordered) if s.demographics.deleted & {slot, "names"}]
        told = [
            (name, item.event_time)
            for item in ordered[gone[-1] if gone else 0 :]
            for name in item.demographics.names
            if name.use is use
        ]
        if told:
            names.append(_name([name for name, _ in told]))
            since[slot] = told[-1][1]
    return Demographics(names=tuple(names), **values), since


SLOTS = {
    NameUse.BIRTH: "birth_name",
    NameUse.USED: "used_name",
    NameUse.PSEUDONYM: "pseudonym",
    NameUse.UNSPECIFIED: "name",
}


STRICT = frozenset(
    [
        "birth_name",
        "name",
        "birth_date",
        "birth_date_interpreted",
        "sex",
        "birth_place_code",
        "birth_place",
        "ins",
        "ins_oid",
        "identity_codes",
        "mother_birth_name",
        "birth_order",
        "multiple_birth",
    ]
)


def _name(told: Sequence[PersonName]) -> PersonName:
    given = next((n for n in reversed(told) if n.given or n.given_list), told[0])
    family = next((n.family for n in reversed(told) if n.family), "")
    return replace(told[-1], family=family, given=given.given, given_list=given.given_list)


@dataclass
class Epoch:
    accepted: list[tuple[int, SourceRecord]] = field(default_factory=list)
    held: list[tuple[int, SourceRecord]] = field(default_factory=list)
    put_right: list[tuple[int, SourceRecord]] = field(default_factory=list)
    known: Demographics = NOBODY
    begins: datetime = EARLIEST


def judged(statements: dict[int, SourceRecord], claims: Iterable[Claim]) -> dict[int, Epoch]:
    """The epochs of one identifier: every statement is judged before it takes effect."""
    claims = sorted(claims, key=lambda claim: claim.number)
    decided = {claim.about: claim for claim in claims if claim.kind in ON_STATEMENTS}
    erased = [(claim.about or 0, claim.left.epoch) for claim in claims if claim.kind is Kind.ERASED]
    floor = {n: max((e + 1 for last, e in erased if last < n), default=0) for n in statements}
    epochs = {0: Epoch()}
    for number in sorted(_in_turn(statements), key=lambda n: floor[n]):
        item, decision, low = statements[number], decided.get(number), floor[number]
        epochs.setdefault(low, Epoch())
        if decision is not None and decision.kind is Kind.RECYCLED:
            at = max(low, decision.left.epoch + 1)
            while any(at == gone for _, gone in erased):
                at += 1
            epochs.setdefault(at, Epoch(begins=item.event_time))
        else:
            at = max(
                n for n, one in epochs.items() if n == low or (n > low and one.begins <= item.event_time)
            )
        if decision is None or decision.kind is not Kind.SET_ASIDE:
            _judge(epochs[at], number, item, decided=decision is not None)
    return epochs


def _judge(epoch: Epoch, number: int, item: SourceRecord, *, decided: bool) -> None:
    known = epoch.known
    believed = _followed_by(known, replace(item, witness=Witness.FEED))
    before = replace(known, ins="", ins_oid="") if known.ins in item.replaces_ins else known
    if not decided and believed != known and somebody_else(before, believed):
        epoch.held.append((number, item))
        return
    epoch.accepted.append((number, item))
    epoch.known = _followed_by(known, item)
    right = [
        held
        for held in epoch.held
        if held[1].source == item.source
        and held[1].event_time <= item.event_time
        and item.witness in (Witness.FEED, held[1].witness)
    ]
    epoch.put_right += right
    epoch.held = [held for held in epoch.held if held not in right]


def _followed_by(known: Demographics, item: SourceRecord) -> Demographics:
    """What is known, with one more statement that comes last."""
    if known == NOBODY:
        return last_words([(0, item)])[0]
    before = replace(item, witness=Witness.FEED, demographics=known)
    return last_words([(0, before), (1, replace(item, event_time=LATEST))])[0]


def _in_turn(statements: dict[int, SourceRecord]) -> Iterator[int]:
    """Feeds, movements, headers; each source in its order; of them, the one whose next is the earliest."""
    for witness in (Witness.FEED, Witness.MOVEMENT, Witness.HEADER):
        waiting = [n for n in sorted(statements) if statements[n].witness is witness]
        while waiting:
            heads = {statements[n].source: n for n in reversed(waiting)}
            chosen = min(heads.values(), key=lambda n: (statements[n].event_time, statements[n].source))
            waiting.remove(chosen)
            yield chosen


# ------------------------------------------------------------------------------ everything


@dataclass(frozen=True)
class Person:
    """One source record as it stands."""

    demographics: Demographics = NOBODY
    since: dict[str, datetime] = field(default_factory=dict)
    first: datetime | None = None
    held_since: datetime | None = None
    protection: frozenset[IdentityAttribute] = frozenset()

    @property
    def traits(self) -> Traits:
        """Of the statements that count; but a protection counts at once, though its statement is held."""
        found = traits_of(self.demographics)
        return replace(found, attributes=found.attributes | self.protection) if self.protection else found

    @property
    def is_protected(self) -> bool:
        return bool(self.traits.attributes & NEVER_ANSWERED)


@dataclass(frozen=True)
class Expected:
    """
    What the registry must say.

    Args:
        head: the record whose own enterprise identifier its set bears.
        answers: by identifier, the others to name; None when it is not to be answered.
        refused: the messages that could not be applied, by their place in what happened.
    """

    sets: frozenset[frozenset[RecordKey]]
    head: dict[RecordKey, RecordKey]
    golden: dict[RecordKey, dict[str, Any] | None]
    retired: frozenset[RecordKey]
    held: frozenset[RecordKey]
    answers: dict[tuple[str, str], frozenset[tuple[str, str]] | None]
    refused: frozenset[int]


class Reading:
    """What is known after some of what happened: statements and claims, and nothing derived."""

    def __init__(self) -> None:
        self.statements: dict[tuple[str, str], dict[int, SourceRecord]] = {}
        self.claims: list[Claim] = []
        self.taken_back: list[Claim] = []
        self.heard_of: set[RecordKey] = set()

    def epochs(self, key: RecordKey) -> dict[int, Epoch]:
        about = [c for c in self.claims if key[:2] in (c.left[:2], c.right[:2])]
        return judged(self.statements.get(key[:2], {}), about)

    def present(self, key: RecordKey) -> RecordKey:
        """The record an identifier names: of its first epoch that is not closed."""
        closed = {claim.left for claim in self.claims if claim.kind in CLOSE}
        return next(at for at in (RecordKey(*key[:2], n) for n in range(len(closed) + 1)) if at not in closed)

    def take(self, what: Happened) -> bool:
        """Whether it could be done."""
        match what:
            case Decided(claim):
                self.claims.append(claim)
                if claim.kind is Kind.ERASED:
                    self._erase(claim)
                self._hear(claim.left)
                return True
            case Withdrawn(claim):
                self.taken_back += [c for c in self.claims if c.same_as == claim.same_as]
                self.claims = [c for c in self.claims if c.same_as != claim.same_as]
                if claim.kind in ON_STATEMENTS:
                    self._hear(claim.left)
                return True
            case Delivered(IdentityStated() as stated, numbers):
                for number, one in zip(numbers, stated.records, strict=True):
                    self.statements.setdefault(one.key[:2], {})[number] = one
                    self._hear(one.key)
                keys = [self.present(key) for key in (*(r.key for r in stated.records), *stated.elsewhere)]
                first = stated.records[0]
                for pair in pairwise(keys):
                    self._source_says(
                        Kind.SOURCE_LINKED, *pair, first.source, first.event_time, expressly=False
                    )
                return True
            case Delivered(IdentifiersMerged() as merged, _):
                return self._merge(merged)
            case Delivered(IdentifiersLinked() as said, _):
                left, right = self.present(said.left), self.present(said.right)
                kind = Kind.SOURCE_LINKED if said.linked else Kind.SOURCE_UNLINKED
                if left != right:
                    self._source_says(kind, left, right, said.source, said.event_time, expressly=True)
                return left != right
            case Delivered(PatientMoved() as moved, _):
                return self.present(moved.to) != self.present(moved.origin)
        return True

    def _hear(self, key: RecordKey) -> None:
        """An identifier is known with every epoch that was ever stated."""
        self.heard_of |= {RecordKey(*key[:2], number) for number in (0, *self.epochs(key))}

    def _erase(self, claim: Claim) -> None:
        said = self.statements.get(claim.left[:2], {})
        epochs = judged(said, [c for c in self.claims if c.left[:2] == claim.left[:2] and c is not claim])
        others = {
            number
            for at, epoch in epochs.items()
            if at != claim.left.epoch
            for number, _ in (*epoch.accepted, *epoch.held, *epoch.put_right)
        }
        for number in said.keys() - others:
            del said[number]

    def _source_says(
        self, kind: Kind, left: RecordKey, right: RecordKey, source: str, at: datetime, *, expressly: bool
    ) -> None:
        """What it says again counts from its latest date, when it says so in a message of its own."""
        left, right = sorted((left, right))
        claim = Claim(kind, left, right, f"source:{source}", at)
        of_it = (claim.left, claim.right, claim.actor)
        if any((c.kind, c.left, c.right, c.actor) == (kind, *of_it) for c in self.taken_back):
            return  # a person had the last word
        said = [c for c in self.claims if c.kind in LINK_WORDS and (c.left, c.right, c.actor) == of_it]
        last = max(reversed(said), key=lambda c: c.since, default=None)
        if last is None or last.kind is not kind or (expressly and at > last.since):
            self.claims.append(claim)

    def _merge(self, merged: IdentifiersMerged) -> bool:
        kept = self.present(RecordKey(merged.domain, merged.survivor.value))
        gone = self.present(RecordKey(merged.domain, merged.subsumed.value))
        into = {c.right: c.left for c in self.claims if c.kind in RETIRE}
        if kept == gone:
            return False
        if merged.renamed and gone not in into:
            back = [c for c in self.claims if (c.kind, c.left, c.right) == (Kind.RENAMED, gone, kept)]
            if back and not self._is_fed(gone, merged.source):  # it got its former identifier again
                self.claims = [c for c in self.claims if c not in back]
                return True
            if self._is_fed(kept, merged.source):
                return not self._is_stated(gone)  # its site says so already
            if kept in into:
                return False
        chain = [kept]
        while chain[-1] in into:
            chain.append(into[chain[-1]])
        if gone in chain or into.get(gone, kept) != kept:
            return False
        if gone not in into:
            kind = Kind.RENAMED if merged.renamed else Kind.MERGED
            if any((c.kind, c.left, c.right) == (kind, kept, gone) for c in self.taken_back):
                return False
            self.claims.append(Claim(kind, kept, gone, f"source:{merged.source}", merged.event_time))
        self.heard_of |= {kept, gone}
        return True

    def _is_fed(self, key: RecordKey, source: str) -> bool:
        said = self.statements.get(key[:2], {}).values()
        return self._is_stated(key) and any(one.source == source for one in said)

    def _is_stated(self, key: RecordKey) -> bool:
        return bool(self.epochs(key).get(key.epoch, Epoch()).accepted)


def expected(history: Sequence[Happened], policy: LinkPolicy) -> Expected:
    """Fold everything that happened into what the registry must hold and answer."""
    reading = Reading()
    refused = frozenset(at for at, what in enumerate(history) if not reading.take(what))
    people = {}
    for key in reading.heard_of:
        epoch = reading.epochs(key).get(key.epoch, Epoch())
        since = min((item.event_time for _, item in epoch.held), default=None)
        people[key] = Person(held_since=since)
        if epoch.accepted:
            first = min(item.event_time for _, item in epoch.accepted)
            codes = {code for _, item in epoch.held for code in item.demographics.identity_codes}
            people[key] = Person(*last_words(epoch.accepted), first, since, NEVER_ANSWERED & codes)
    retired = {c.right for c in reading.claims if c.kind in RETIRE or c.kind in CLOSE}
    retired |= {key for key in people if key.epoch and people[key].first is None}  # emptied again
    sets = partition(people, reading.claims, retired, policy)
    head = {
        key: min(members, key=lambda k: (people[k].first or LATEST, k)) for members in sets for key in members
    }
    return Expected(
        frozenset(sets),
        head,
        {head[next(iter(members))]: golden(members, people) for members in sets},
        frozenset(retired),
        frozenset(key for key in people if people[key].held_since is not None),
        {
            key[:2]: answer(named, next(s for s in sets if named in s), people, retired)
            if named in people
            else None
            for key in people
            for named in (reading.present(key),)
        },
        refused,
    )


def partition(
    people: dict[RecordKey, Person], claims: Sequence[Claim], retired: set[RecordKey], policy: LinkPolicy
) -> list[frozenset[RecordKey]]:
    """People first, then sources, then weights, the strongest first; nothing that stands is contradicted."""
    erased = {claim.left for claim in claims if claim.kind is Kind.ERASED}
    claims = [claim for claim in claims if not {claim.left, claim.right} & erased]
    words: dict[tuple[str, frozenset[RecordKey]], Claim] = {}
    for claim in claims:  # of what one source says of a pair, the last word
        if claim.kind in (*LINK_WORDS, *RETIRE):
            about = claim.actor, frozenset((claim.left, claim.right))
            last = words.get(about, claim)
            words[about] = max(last, claim, key=lambda c: (c.since, c.kind is Kind.SOURCE_UNLINKED))
    count = [c for c in claims if c.kind not in LINK_WORDS or c in words.values()]
    apart = {frozenset((c.left, c.right)) for c in count if c.kind in TELL_APART}
    unlinked = {frozenset((c.left, c.right)) for c in count if c.kind is Kind.SOURCE_UNLINKED}
    doubted = {c.left for c in count if c.kind is Kind.DOUBTED}
    pairs = {
        frozenset(pair): weigh(*(people[k].traits for k in pair))
        for pair in combinations(sorted(people), 2)
        if all(people[k].first is not None for k in pair)
        and keys_of(people[pair[0]].traits) & keys_of(people[pair[1]].traits)
    }
    links = sorted(
        (pair for pair in pairs if pairs[pair].decision == "link"),
        key=lambda p: (-pairs[p].weight_bits, *sorted(p)),
    )
    ambiguous: set[RecordKey] = set()
    asserted: dict[RecordKey, frozenset[RecordKey]] = {}

    def too_late(one: RecordKey, other: RecordKey) -> bool:
        since = people[one].held_since
        return since is not None and (people[other].first or LATEST) >= since

    def impossible(left: frozenset[RecordKey], right: frozenset[RecordKey]) -> bool:
        numbers = {people[k].traits.qualified_ins for k in left | right} - {""}
        return len(numbers) > 1 or any(frozenset((a, b)) in apart for a in left for b in right)

    def objection(link: frozenset[RecordKey], left: frozenset[RecordKey], right: frozenset[RecordKey]) -> str:
        one, other = sorted(link)
        if link & doubted or too_late(one, other) or too_late(other, one):
            return "look first"
        if link & ambiguous:
            return "look first"
        if impossible(left, right):
            return "two people"
        if (
            len({asserted[key] for key in left | right}) > policy.max_set_size
        ):  # what was asserted counts once
            return "look first"
        across = [frozenset((a, b)) for a in left for b in right]
        if any(pair in unlinked for pair in across):
            return "two people"
        for pair in across:
            if len({k.domain for k in pair}) == 1 and not pair & retired:
                strong = pair in pairs and pairs[pair].decision != "non_link"
                if (
                    policy.same_domain != "link"
                    or not strong
                    or pairs[pair].weight_bits < policy.same_domain_bits
                ):
                    return "two people"
        if any(weigh(*(people[k].traits for k in pair)).contradicts for pair in across):
            return "two people"
        bridges = [pairs[pair].weight_bits for pair in across if pair in links]
        if len(left) > 1 and len(right) > 1 and len(bridges) == 1 and bridges[0] < policy.bridge_bits:
            return "look first"
        return ""

    while True:
        set_of = {key: frozenset((key,)) for key in people}

        def join(left: frozenset[RecordKey], right: frozenset[RecordKey]) -> None:
            set_of.update(dict.fromkeys(left | right, left | right))  # noqa: B023 - called in this round only

        for kind in HOLD_TOGETHER:
            for claim in sorted(
                (c for c in count if c.kind is kind), key=lambda c: sorted((c.left, c.right))
            ):
                if claim.left in people and claim.right in people:
                    left, right = set_of[claim.left], set_of[claim.right]
                    forbidden = kind is not Kind.SAME and frozenset((claim.left, claim.right)) in unlinked
                    if kind is Kind.RENAMED:  # the new identifier turns out to be somebody else's
                        one, other = people[claim.left], people[claim.right]
                        forbidden |= weigh(one.traits, other.traits).contradicts
                    if left != right and not forbidden and not impossible(left, right):
                        join(left, right)
        asserted = dict(set_of)
        told_apart = []
        for link in links:
            left, right = (set_of[key] for key in sorted(link))
            if left == right:
                continue
            why = objection(link, left, right)
            if not why:
                join(left, right)
            elif why == "two people":
                told_apart.append(link)
        found = set()
        for link in told_apart:
            for key in link:
                joined = [
                    pairs[p].weight_bits for p in links if key in p and len({set_of[k] for k in p}) == 1
                ]
                close = joined and max(joined) - pairs[link].weight_bits < policy.ambiguity_margin_bits
                if close and len(asserted[key]) == 1 and link not in apart:
                    found.add(key)
        if found <= ambiguous:
            return list(set(set_of.values()))
        ambiguous |= found


RANK = [
    IdentityStatus.PROVISIONAL,
    IdentityStatus.RETRIEVED,
    IdentityStatus.VALIDATED,
    IdentityStatus.QUALIFIED,
]


def golden(members: frozenset[RecordKey], people: dict[RecordKey, Person]) -> dict[str, Any] | None:
    """Each field from the best identity, then the latest event, then the first key; None: not to be answered."""
    shown = sorted(key for key in members if not people[key].is_protected)
    if all(people[key].first is None for key in shown):
        return None
    best: dict[str, tuple[Any, RecordKey, datetime]] = {}
    for key in sorted(shown, reverse=True):
        person = people[key]
        for name, since in person.since.items():
            use = next((use for use, slot in SLOTS.items() if slot == name), None)
            value = next((n for n in person.demographics.names if n.use is use), None) if use else None
            value = value if use else getattr(person.demographics, name)
            qualified = person.traits.status is IdentityStatus.QUALIFIED
            if name in ("identity_codes", "birth_date_interpreted") or (
                name.startswith("ins") and not qualified
            ):
                continue
            before = best.get(name)
            rank = RANK.index(person.traits.status), since
            if before is None or rank >= (RANK.index(people[before[1]].traits.status), before[2]):
                best[name] = value, key, since
    return best


def answer(
    asked: RecordKey, members: frozenset[RecordKey], people: dict[RecordKey, Person], retired: set[RecordKey]
) -> frozenset[tuple[str, str]] | None:
    """The other identifiers of the person somebody asks about."""
    nobody = all(people[key].first is None for key in members)
    if nobody or people[asked].is_protected or (asked in retired and people[asked].first is None):
        return None
    shown = {key for key in members if not people[key].is_protected and key not in retired}
    return frozenset(key[:2] for key in shown if key[:2] != asked[:2])
