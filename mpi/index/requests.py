"""
What decisions and reports ask of sites, and what in the sites' own messages shows that it is done.

Pure: what is asked, and whether it is done, are functions of facts, statements and what became of the messages
that asked. No decision of a person settles a request, and neither does an acknowledgement.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations

from mpi.identity.model import Demographics, RecordKey
from mpi.identity.tabular import MAX_VALUE_LENGTH, demographics_from_mapping, traits_to_mapping
from mpi.identity.traits import Traits, normalise
from mpi.index import graph
from mpi.index.corrections import Correction, CorrectionKind, CorrectionState, WantedCorrection
from mpi.index.events import NEGATIVE, RETIRING, Fact, FactKind
from mpi.index.ports import Delivery, OutboxRow, StoredRecord, StoredStatement
from mpi.index.reports import REPORTED_TRAITS, Followed, Report, ReportKind

_OF_A_REPORT: Mapping[ReportKind, tuple[CorrectionKind, ...]] = {
    ReportKind.DUPLICATE: (CorrectionKind.MERGE,),
    ReportKind.WRONG_TRAIT: (CorrectionKind.RESTATE,),
    ReportKind.WRONG_INS: (CorrectionKind.WITHDRAW_INS,),
    ReportKind.OVERLAY_SUSPECTED: (CorrectionKind.RESTATE,),
    ReportKind.WRONG_LINK: (CorrectionKind.UNLINK, CorrectionKind.SEPARATE),
    ReportKind.OTHER: (),
}


def state_of(correction: Correction, row: OutboxRow | None, *, at: datetime) -> CorrectionState:
    """
    Where a request stands at an instant.

    Args:
        row: its last message in the outbox; None for one that is handed over on paper.
    """
    if correction.withdrawn_at is not None:
        return CorrectionState.WITHDRAWN
    if correction.settled is not None:
        return CorrectionState(correction.settled.value)
    if row is not None and row.state is Delivery.DEAD:
        return CorrectionState.REFUSED
    if at >= correction.due_at:
        return CorrectionState.OVERDUE
    if row is not None and row.state is Delivery.DELIVERED:
        return CorrectionState.ACKNOWLEDGED
    return CorrectionState.SENT if row is not None and row.attempts else CorrectionState.REQUESTED


# ------------------------------------------------------------------------------ what is wanted


def wanted_by_facts(
    facts: Iterable[Fact], records: Mapping[RecordKey, StoredRecord]
) -> list[WantedCorrection]:
    """
    What standing decisions of people ask of sites. Whether it is done already is for `settle` to say.

    Args:
        facts: those that stand around some records.
        records: the ones they name, by key.
    """
    counting = graph.effective(facts)
    by_pair: dict[tuple[RecordKey, RecordKey], list[Fact]] = {}
    for fact in counting:
        first, second = sorted((fact.left, fact.right))
        by_pair.setdefault((first, second), []).append(fact)
    wanted: list[WantedCorrection] = []
    for (first, second), said in sorted(by_pair.items()):
        if first not in records or second not in records:
            continue
        for fact in said:
            cause = f"fact/{fact.id}"
            if fact.kind is FactKind.SAME:
                if first.domain == second.domain:
                    wanted.append(_merged(records[first], records[second], cause))
                wanted += _taken_back(said, CorrectionKind.LINK, FactKind.SOURCE_UNLINKED, cause)
            elif fact.kind in NEGATIVE:
                wanted += _separated(said, cause)
                wanted += _taken_back(said, CorrectionKind.UNLINK, FactKind.SOURCE_LINKED, cause)
            elif fact.kind is FactKind.DOUBTED or fact.kind is FactKind.SET_ASIDE:
                knows = fact.kind is FactKind.SET_ASIDE  # what the record stands for is what it was before
                wanted.append(_restated(records[first], cause, as_it_is=knows))
    return wanted


def wanted_by_report(
    report: Report,
    facts: Iterable[Fact],
    records: Mapping[RecordKey, StoredRecord],
    *,
    asks: Collection[CorrectionKind] | None = None,
    expected: Mapping[str, str] | None = None,
) -> list[WantedCorrection]:
    """
    What an accepted report asks of sites.

    Args:
        facts: those that stand around the records it is about.
        records: those records, by key.
        asks: what the person who accepts chose; None for what such a report asks by itself.
        expected: what should be true, as named traits, when the person knows.
    """
    counting = graph.effective(facts)
    cause = f"report/{report.id}.{report.version}"
    kinds = default_asks(report) if asks is None else tuple(dict.fromkeys(asks))
    wanted: list[WantedCorrection] = []
    for kind in kinds:
        if kind in _OF_TWO:
            for first, second in combinations(sorted(report.about), 2):
                said = [f for f in counting if {f.left, f.right} == {first, second}]
                if kind is CorrectionKind.MERGE and first.domain == second.domain:
                    wanted.append(_merged(records[first], records[second], cause))
                elif kind is CorrectionKind.SEPARATE:
                    wanted += _separated(said, cause)
                elif kind is CorrectionKind.UNLINK:
                    wanted += _taken_back(said, kind, FactKind.SOURCE_LINKED, cause)
                elif kind is CorrectionKind.LINK:
                    wanted += _taken_back(said, kind, FactKind.SOURCE_UNLINKED, cause)
            continue
        for record in (records[key] for key in report.about):
            before = said_now(record)
            if kind is CorrectionKind.RESTATE:
                traits = tuple(expected or {}) or ((report.trait,) if report.trait else ())
                wanted.append(
                    WantedCorrection(
                        kind, cause, record.key, record.key, "", dict(expected or {}), before, traits
                    )
                )
            elif kind is CorrectionKind.REATTRIBUTE:
                wanted.append(
                    WantedCorrection(
                        kind, cause, record.key, record.key, before=before, study_uid=report.study_uid
                    )
                )
            elif record.demographics.ins:
                wanted.append(
                    WantedCorrection(kind, cause, record.key, record.key, before=before, traits=("ins",))
                )
    return wanted


def default_asks(report: Report) -> tuple[CorrectionKind, ...]:
    """What a report of a kind asks by itself."""
    if report.kind is ReportKind.NOT_MY_PATIENT:
        return (CorrectionKind.REATTRIBUTE if report.study_uid else CorrectionKind.RESTATE,)
    return _OF_A_REPORT[report.kind]


_OF_TWO = frozenset(
    {CorrectionKind.MERGE, CorrectionKind.SEPARATE, CorrectionKind.LINK, CorrectionKind.UNLINK}
)


def _merged(left: StoredRecord, right: StoredRecord, cause: str) -> WantedCorrection:
    """The older identifier stays."""
    older, younger = sorted((left, right), key=graph.seniority)
    return WantedCorrection(CorrectionKind.MERGE, cause, older.key, younger.key, before=said_now(older))


def _separated(said: Sequence[Fact], cause: str) -> list[WantedCorrection]:
    return [
        WantedCorrection(CorrectionKind.SEPARATE, cause, fact.left, fact.right, _source_of(fact))
        for fact in said
        if fact.kind in RETIRING
    ]


def _taken_back(
    said: Sequence[Fact], kind: CorrectionKind, of: FactKind, cause: str
) -> list[WantedCorrection]:
    return [
        WantedCorrection(kind, cause, fact.left, fact.right, _source_of(fact))
        for fact in said
        if fact.kind is of
    ]


def _restated(record: StoredRecord, cause: str, *, as_it_is: bool) -> WantedCorrection:
    before = said_now(record)
    expected = strict_traits(record.demographics) if as_it_is else {}
    return WantedCorrection(
        CorrectionKind.RESTATE, cause, record.key, record.key, "", expected, before, tuple(expected)
    )


def _source_of(fact: Fact) -> str:
    return fact.actor.removeprefix("source:")


def said_now(record: StoredRecord) -> dict[str, str]:
    """What a record says of a person, as a request quotes it: the traits it may be about, the status, the INS."""
    stated = record.demographics
    said = {"identity_status": " ".join(stated.identity_codes), "ins": stated.ins, "ins_oid": stated.ins_oid}
    return {**strict_traits(stated), **{name: value for name, value in said.items() if value}}


def strict_traits(demographics: Demographics) -> dict[str, str]:
    """The traits a request may be about, as they are stated: such that they can be read again, and written."""
    stated = traits_to_mapping(demographics)
    return {name: _legible(str(stated[name])) for name in REPORTED_TRAITS if name in stated}


def _legible(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:MAX_VALUE_LENGTH]


# ------------------------------------------------------------------------------- what is done


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What shows whether a request is done.

    Args:
        facts: those that stand around its records, those that retired them in turn included.
        records: as they stand, by key.
        stated: what the feeds of the site stated of its records since it was asked, and what took effect.
        refiled_by: the message that told of the exam under another identifier since; 0 when none did.
    """

    facts: Sequence[Fact] = ()
    records: Mapping[RecordKey, StoredRecord] = field(default_factory=dict)
    stated: Sequence[StoredStatement] = ()
    refiled_by: int = 0


def settle(wanted: WantedCorrection, evidence: Evidence) -> tuple[Followed, str] | None:
    """
    What the site's own messages show of a request, and the message that shows it; None while they show nothing.

    No decision of a person settles a request: only what a source asserted or stated is looked at.
    """
    match wanted.kind:
        case CorrectionKind.MERGE:
            return _if_retired_alike(wanted, evidence.facts)
        case CorrectionKind.LINK:
            return _if_said(wanted, evidence.facts, FactKind.SOURCE_LINKED)
        case CorrectionKind.UNLINK:
            return _if_said(wanted, evidence.facts, FactKind.SOURCE_UNLINKED)
        case CorrectionKind.SEPARATE:
            again = [item for item in evidence.stated if item.statement.key[:2] == wanted.right[:2]]
            return _by(again[-1].message_id) if again else None
        case CorrectionKind.REATTRIBUTE:
            moved = [f for f in evidence.facts if f.kind is FactKind.MOVED and f.right == wanted.left]
            by = evidence.refiled_by or max((f.message_id or 0 for f in moved), default=0)
            return _by(by) if by else None
        case CorrectionKind.RESTATE | CorrectionKind.WITHDRAW_INS:
            record = evidence.records.get(wanted.left)
            if record is None or not evidence.stated:
                return None
            how = _how_stated(wanted, record.demographics)
            return (how, f"message/{evidence.stated[-1].message_id}") if how is not None else None


def _by(message_id: int) -> tuple[Followed, str]:
    return Followed.DONE, f"message/{message_id}"


def _if_retired_alike(wanted: WantedCorrection, facts: Sequence[Fact]) -> tuple[Followed, str] | None:
    """Both identifiers lead to one, by what the site said."""
    into = {fact.right: fact for fact in facts if fact.kind in RETIRING}
    ends, passed = [], []
    for key in (wanted.left, wanted.right):
        seen = {key}
        while (fact := into.get(key)) is not None and fact.left not in seen:
            passed.append(fact.message_id or 0)
            key = fact.left
            seen.add(key)
        ends.append(key)
    return _by(max(passed)) if ends[0] == ends[1] and passed else None


def _if_said(wanted: WantedCorrection, facts: Sequence[Fact], kind: FactKind) -> tuple[Followed, str] | None:
    """The source that was asked has said so last."""
    pair = {wanted.left, wanted.right}
    said = [
        fact
        for fact in graph.effective(facts)
        if fact.kind is kind and {fact.left, fact.right} == pair and _source_of(fact) == wanted.source
    ]
    return _by(said[-1].message_id or 0) if said else None


def _how_stated(wanted: WantedCorrection, now: Demographics) -> Followed | None:
    """Whether what the site says now is what it was asked, something else that is new, or what it always said."""
    if wanted.kind is CorrectionKind.WITHDRAW_INS:
        return Followed.DONE if now.ins != wanted.before.get("ins") else None
    stated = strict_traits(now)
    changed = [name for name in wanted.traits or REPORTED_TRAITS if _differ(name, wanted.before, stated)]
    if not wanted.expected:
        return Followed.DONE if changed else None
    if not any(
        _differ(name, wanted.expected, stated, exactly=not _differ(name, wanted.expected, wanted.before))
        for name in wanted.expected
    ):
        return Followed.DONE
    return Followed.OTHERWISE if changed else None


def _differ(name: str, left: Mapping[str, str], right: Mapping[str, str], *, exactly: bool = False) -> bool:
    """
    Whether two statements of a trait differ, as traits are compared.

    Args:
        exactly: letter for letter: for a request to mend what comparing does not see, such as an accent.
    """
    if exactly:
        return left.get(name, "") != right.get(name, "")
    return _normal(name, left) != _normal(name, right)


def _normal(name: str, stated: Mapping[str, str]) -> object:
    if name not in stated:
        return None
    traits: Traits = normalise(demographics_from_mapping({name: stated[name]}))
    return {
        "birth_name": traits.birth_name,
        "used_name": traits.used_name,
        "given_names": traits.given_names,
        "birth_date": traits.birth_date,
        "sex": traits.sex,
        "birth_place": (traits.birth_place_code, traits.birth_place),
    }[name]
