"""
RNIV and INS as one state table: what an identity is, what may happen to it, and what travels.

Two facts make the status: an identity proof was checked, and an INS from INSi is held. Neither is
provisional, the INS alone is retrieved, the proof alone validated, both are qualified. Doubtful or
fictitious overrule both facts. `TRANSITIONS` is the only place that says what follows what. Longer
than most modules, so that the table, what it reads and what it draws stay together.

Whether the traits let an identity bear an INS at all (a full, uninterpreted birth date, a sex) is not
decided here.

Source: RNIV (statuses, attributes, EXI SI 08 and 09); INS guide, ID 24 and 26 (attributes); PAM-FR
2.11, section 4 (A31, A47) and PID-32.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from mpi.identity.ins import (
    INS_NIA_OID,
    INS_OIDS,
    IdentityAttribute,
    IdentityStatus,
    InvalidMatricule,
    parse_matricule,
    status_from_pid_32,
)
from mpi.identity.model import SourceRecord

ATTRIBUTES: Final = (IdentityAttribute.HOMONYM, IdentityAttribute.DOUBTFUL, IdentityAttribute.FICTITIOUS)
"""The RNIV attributes, as they follow the status in PID-32. A suspected namesake (HOMD) is not one yet."""


class Situation(StrEnum):
    """The status, or the attribute that overrules it: the rows and columns of the table."""

    PROVISIONAL = "PROV"
    DOUBTFUL = "DOUT"
    FICTITIOUS = "FICT"
    RETRIEVED = "RECUP"
    VALIDATED = "VALI"
    QUALIFIED = "QUAL"


_OVERRULING: Final = {
    Situation.DOUBTFUL: IdentityAttribute.DOUBTFUL,
    Situation.FICTITIOUS: IdentityAttribute.FICTITIOUS,
}
_HOLDS_INS: Final = frozenset({Situation.RETRIEVED, Situation.QUALIFIED})


@dataclass(frozen=True, slots=True)
class IdentityState:
    """
    The RNIV status of one record, its attributes, and the INS it holds.

    Args:
        ins: matricule with its key; of a retrieved identity too, which must not send it.

    Raises:
        ValueError: naming the rule that is broken.

    Source: RNIV, EXI SI 08 and 09; INS guide, ID 24 and 26 (of the attributes, only doubtful and
    homonym go together).
    """

    status: IdentityStatus = IdentityStatus.PROVISIONAL
    attributes: frozenset[IdentityAttribute] = frozenset()
    ins: str = ""
    ins_oid: str = ""

    def __post_init__(self) -> None:
        overruled = {IdentityAttribute.DOUBTFUL, IdentityAttribute.FICTITIOUS} & self.attributes
        if not self.attributes <= frozenset(ATTRIBUTES):
            raise ValueError("only homonym, doubtful and fictitious are RNIV attributes")
        if IdentityAttribute.FICTITIOUS in self.attributes and len(self.attributes) > 1:
            raise ValueError("fictitious goes with no other attribute")
        if overruled and self.status is not IdentityStatus.PROVISIONAL:
            raise ValueError("doubtful or fictitious is provisional")
        if bool(self.ins) != (self.status in (IdentityStatus.RETRIEVED, IdentityStatus.QUALIFIED)):
            raise ValueError("retrieved and qualified hold an INS, provisional and validated none")
        _check_ins(self.ins, self.ins_oid)

    @property
    def situation(self) -> Situation:
        """Where this state stands in the table."""
        for situation, attribute in _OVERRULING.items():
            if attribute in self.attributes:
                return situation
        return Situation(self.status.value)

    @property
    def usable_ins(self) -> str:
        """The INS that may reference health data and be sent: of a qualified identity only."""
        return self.ins if self.status is IdentityStatus.QUALIFIED else ""


def _check_ins(ins: str, ins_oid: str) -> None:
    if bool(ins) != bool(ins_oid):
        raise ValueError("an INS is a matricule with its OID")
    if ins:
        try:
            exact = parse_matricule(ins).value == ins
        except InvalidMatricule:
            exact = False
        if not exact or ins_oid not in INS_OIDS:
            raise ValueError("an INS is a matricule with its key and one of the INS OIDs")


START: Final = IdentityState()
"""An identity nobody has said anything of yet."""


class EventKind(StrEnum):
    """What may happen to an identity. The first five are statements: a PID-32 that is not empty."""

    STATED_PROVISIONAL = "stated provisional"
    STATED_DOUBTFUL = "stated doubtful"
    STATED_FICTITIOUS = "stated fictitious"
    STATED_VALIDATED = "stated validated"
    STATED_QUALIFIED = "stated qualified"
    INS_OBTAINED = "INS obtained from INSi"
    PROOF_CHECKED = "identity proof checked"
    PROOF_INVALIDATED = "identity proof invalidated"
    INS_WITHDRAWN = "INS withdrawn"
    QUALIFICATION_WITHDRAWN = "qualification withdrawn"
    DOUBT_RAISED = "doubt raised"
    DOUBT_LIFTED = "doubt lifted"
    FICTION_DECLARED = "declared fictitious"
    FICTION_LIFTED = "fictitious lifted"
    HOMONYM_DECLARED = "homonym declared"
    HOMONYM_LIFTED = "homonym lifted"
    NIR_REPLACES_NIA = "NIA becomes NIR"
    INS_CHANGED = "INS changed"


_STATEMENTS: Final = {
    Situation.PROVISIONAL: EventKind.STATED_PROVISIONAL,
    Situation.DOUBTFUL: EventKind.STATED_DOUBTFUL,
    Situation.FICTITIOUS: EventKind.STATED_FICTITIOUS,
    Situation.VALIDATED: EventKind.STATED_VALIDATED,
    Situation.QUALIFIED: EventKind.STATED_QUALIFIED,
}
_GIVES_NIR: Final = frozenset({EventKind.NIR_REPLACES_NIA, EventKind.INS_CHANGED})
_GIVES_INS: Final = _GIVES_NIR | {EventKind.INS_OBTAINED, EventKind.STATED_QUALIFIED}


@dataclass(frozen=True, slots=True)
class Event:
    """
    Something that happened to an identity. For a statement, see `stated`.

    Args:
        ins: the INS that the event brings; only some kinds do, and those always.
        homonym: of a statement, whether it declares a homonym.

    Raises:
        ValueError: an INS missing, out of place, malformed or not permanent where it must be; a
            homonym where it cannot be.
    """

    kind: EventKind
    ins: str = ""
    ins_oid: str = ""
    homonym: bool = False

    def __post_init__(self) -> None:
        _check_ins(self.ins, self.ins_oid)
        if bool(self.ins) != (self.kind in _GIVES_INS):
            raise ValueError("an INS comes with the events that bring one, and only with them")
        if self.kind in _GIVES_NIR and self.ins_oid == INS_NIA_OID:
            raise ValueError("what replaces an INS is a NIR")
        if self.homonym and (
            self.kind not in _STATEMENTS.values() or self.kind is EventKind.STATED_FICTITIOUS
        ):
            raise ValueError(
                "only a statement, and not of a fictitious identity, declares a homonym on the way"
            )


class Refusal(StrEnum):
    """Why an event cannot happen to an identity as it stands."""

    NOT_ASKED = "INSi is not asked about a doubtful or fictitious identity"
    STAYS_PROVISIONAL = "a doubtful or fictitious identity stays provisional"
    EXCLUDE_EACH_OTHER = "doubtful and fictitious exclude each other"
    NO_NAMESAKE = "fictitious and homonym exclude each other"
    NOT_DOUBTFUL = "the identity is not doubtful"
    NOT_FICTITIOUS = "the identity is not fictitious"
    NOT_HOMONYM = "the identity is not a homonym"
    NO_PROOF = "no proof was checked"
    NO_INS = "no INS is held"
    NOT_QUALIFIED = "the identity is not qualified"
    NOT_A_NIA = "the INS held is not a NIA"
    STILL_A_NIA = "a NIA does not change, it becomes a NIR"
    ANOTHER_INS = "another INS is held"


class EventRefused(ValueError):
    """The rules do not let this happen to the identity. The message says which, never the number."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


def _table() -> dict[EventKind, dict[Situation, Situation | Refusal]]:
    prov, dout, fict, recu, vali, qual = Situation
    no = None
    e, r = EventKind, Refusal
    rows: dict[EventKind, tuple[tuple[Situation | None, ...], Refusal | None]] = {
        # before:                   prov  dout  fict  recu  vali  qual   where it is refused
        e.STATED_PROVISIONAL:      ((prov, prov, prov, prov, prov, prov), None),
        e.STATED_DOUBTFUL:         ((dout, dout, dout, dout, dout, dout), None),
        e.STATED_FICTITIOUS:       ((fict, fict, fict, fict, fict, fict), None),
        e.STATED_VALIDATED:        ((vali, vali, vali, vali, vali, vali), None),
        e.STATED_QUALIFIED:        ((qual, qual, qual, qual, qual, qual), None),
        e.INS_OBTAINED:            ((recu, no,   no,   recu, qual, qual), r.NOT_ASKED),
        e.PROOF_CHECKED:           ((vali, no,   no,   qual, vali, qual), r.STAYS_PROVISIONAL),
        e.PROOF_INVALIDATED:       ((no,   no,   no,   no,   prov, recu), r.NO_PROOF),
        e.INS_WITHDRAWN:           ((prov, dout, fict, prov, vali, vali), None),
        e.QUALIFICATION_WITHDRAWN: ((no,   no,   no,   recu, no,   recu), r.NOT_QUALIFIED),
        e.DOUBT_RAISED:            ((dout, dout, no,   dout, dout, dout), r.EXCLUDE_EACH_OTHER),
        e.DOUBT_LIFTED:            ((no,   prov, no,   no,   no,   no),   r.NOT_DOUBTFUL),
        e.FICTION_DECLARED:        ((fict, no,   fict, fict, fict, fict), r.EXCLUDE_EACH_OTHER),
        e.FICTION_LIFTED:          ((no,   no,   prov, no,   no,   no),   r.NOT_FICTITIOUS),
        e.HOMONYM_DECLARED:        ((prov, dout, no,   recu, vali, qual), r.NO_NAMESAKE),
        e.HOMONYM_LIFTED:          ((prov, dout, no,   recu, vali, qual), r.NOT_HOMONYM),
        e.NIR_REPLACES_NIA:        ((no,   no,   no,   recu, no,   qual), r.NO_INS),
        e.INS_CHANGED:             ((no,   no,   no,   recu, no,   qual), r.NO_INS),
    }  # fmt: skip
    table: dict[EventKind, dict[Situation, Situation | Refusal]] = {}
    for kind, (cells, refusal) in rows.items():
        outcomes = [refusal if cell is None else cell for cell in cells]
        table[kind] = {
            before: outcome
            for before, outcome in zip(Situation, outcomes, strict=True)
            if outcome is not None
        }
    return table


TRANSITIONS: Final = _table()
"""
Event -> situation before -> situation after, or why not.

Where the texts are silent: a statement by the source replaces whatever stood; a repeated message or
declaration changes nothing; lifting a doubt restores neither the proof nor the INS; lifting or
invalidating what never was is refused, because somebody has another record in mind.
"""


def apply(state: IdentityState, event: Event) -> IdentityState:
    """
    Let an event happen.

    Raises:
        EventRefused: the table, or what the event needs beside the situation, refuses it.
    """
    after = TRANSITIONS[event.kind][state.situation]
    refusal = after if isinstance(after, Refusal) else _unmet(state, event)
    if refusal is not None:
        raise EventRefused(refusal)
    situation = Situation(after)
    attributes = {_OVERRULING[situation]} if situation in _OVERRULING else set()
    if _homonym(state, event):
        attributes.add(IdentityAttribute.HOMONYM)
    status = IdentityStatus.PROVISIONAL if situation in _OVERRULING else IdentityStatus(situation.value)
    ins, ins_oid = (event.ins, event.ins_oid) if event.ins else (state.ins, state.ins_oid)
    if situation not in _HOLDS_INS:
        ins = ins_oid = ""
    return IdentityState(status, frozenset(attributes), ins, ins_oid)


def _unmet(state: IdentityState, event: Event) -> Refusal | None:
    """What an event needs of the INS held, or of the homonym attribute: both are beside the situation."""
    same = (state.ins, state.ins_oid) == (event.ins, event.ins_oid)
    homonym = IdentityAttribute.HOMONYM in state.attributes
    match event.kind:
        case EventKind.INS_OBTAINED if state.ins and not same:
            return Refusal.ANOTHER_INS
        case EventKind.NIR_REPLACES_NIA if state.ins_oid != INS_NIA_OID and not same:
            return Refusal.NOT_A_NIA
        case EventKind.INS_CHANGED if state.ins_oid == INS_NIA_OID:
            return Refusal.STILL_A_NIA
        case EventKind.FICTION_DECLARED if homonym:
            return Refusal.NO_NAMESAKE
        case EventKind.HOMONYM_LIFTED if not homonym:
            return Refusal.NOT_HOMONYM
        case _:
            return None


def _homonym(state: IdentityState, event: Event) -> bool:
    if event.kind in _STATEMENTS.values():
        return event.homonym
    if event.kind in (EventKind.HOMONYM_DECLARED, EventKind.HOMONYM_LIFTED):
        return event.kind is EventKind.HOMONYM_DECLARED
    return IdentityAttribute.HOMONYM in state.attributes


def codes_of(state: IdentityState) -> tuple[str, ...]:
    """
    Write PID-32: PROV or VALI, then the attributes.

    Qualified is VALI beside `usable_ins`. Retrieved has no code: it travels as PROV without its INS,
    and no reader tells it from provisional.

    Source: PAM-FR 2.11, PID-32.
    """
    trusted = state.status in (IdentityStatus.VALIDATED, IdentityStatus.QUALIFIED)
    status = IdentityStatus.VALIDATED if trusted else IdentityStatus.PROVISIONAL
    return (status.value, *(each.value for each in ATTRIBUTES if each in state.attributes))


def state_from_pid_32(codes: tuple[str, ...], *, ins: str = "", ins_oid: str = "") -> IdentityState:
    """
    Read PID-32 and the INS beside it as the state they describe; nobody is refused for them.

    An INS beside anything but VALI is left out. Fictitious prevails over attributes it excludes.

    Raises:
        ValueError: an INS that is used and is no matricule with its OID.

    Source: PAM-FR 2.11, section 4 (an INS of an identity that is not validated is ignored).
    """
    status, stated_attributes = status_from_pid_32(codes, has_ins=bool(ins))
    attributes = stated_attributes & frozenset(ATTRIBUTES)
    if IdentityAttribute.FICTITIOUS in attributes:
        attributes = frozenset({IdentityAttribute.FICTITIOUS})
    if status is not IdentityStatus.QUALIFIED:
        ins = ins_oid = ""
    return IdentityState(status, attributes, ins, ins_oid)


def stated(codes: tuple[str, ...], *, ins: str = "", ins_oid: str = "") -> Event:
    """
    The event that a message is, by its PID-32 and its INS.

    Raises:
        ValueError: PID-32 is empty, which states nothing; or an INS is malformed.
    """
    if not any(code.strip() for code in codes):
        raise ValueError("an empty PID-32 states nothing")
    state = state_from_pid_32(codes, ins=ins, ins_oid=ins_oid)
    homonym = IdentityAttribute.HOMONYM in state.attributes
    return Event(_STATEMENTS[state.situation], state.ins, state.ins_oid, homonym)


_FR_CORE_2_1: Final = {
    IdentityStatus.PROVISIONAL: "PROV",
    IdentityStatus.RETRIEVED: "PROV",
    IdentityStatus.VALIDATED: "VALI",
    IdentityStatus.QUALIFIED: "VALI",
}
_FR_CORE_2_2: Final = {status: status.value for status in IdentityStatus}


def fr_core_status(status: IdentityStatus, *, four_codes: bool) -> str:
    """
    The `identityStatus` code of a status.

    Args:
        four_codes: FR Core 2.2, where each status has its own; up to 2.1, qualified is VALI with an INS.

    Source: FR Core 2.1 and 2.2, extension fr-core-identity-reliability.
    """
    return (_FR_CORE_2_2 if four_codes else _FR_CORE_2_1)[status]


def status_from_fr_core(code: str, *, has_ins: bool, four_codes: bool) -> IdentityStatus:
    """
    Read an `identityStatus`; like an empty PID-32, a code that is no status is provisional.

    With four codes the code decides, except that nobody is qualified without an INS. Retrieved is the
    sender's word: its INS did not travel, so the receiver holds a provisional identity.
    """
    status = {value: status for status, value in _FR_CORE_2_2.items()}.get(code)
    if not four_codes or status is None:
        return status_from_pid_32((code,), has_ins=has_ins)[0]
    if status is IdentityStatus.QUALIFIED and not has_ins:
        return IdentityStatus.VALIDATED
    return status


@dataclass(frozen=True, slots=True)
class InsStatement:
    """
    What one statement says of the INS of its record.

    Args:
        ins: every (matricule, OID) it states; a NIA and the NIR it became may come together.
        withdrawn: it removes every INS stated before, NIR and NIA alike.
    """

    event_time: datetime
    ins: tuple[tuple[str, str], ...] = ()
    withdrawn: bool = False

    @classmethod
    def of(cls, record: SourceRecord) -> Self:
        """
        What a source record says: a status stated again without the INS withdraws it.

        Source: PAM-FR 2.11, A47; EXI SI 08.
        """
        said = record.demographics
        if said.ins:
            return cls(record.event_time, ((said.ins, said.ins_oid),))
        return cls(record.event_time, withdrawn="ins" in said.deleted or bool(said.identity_codes))


@dataclass(frozen=True, slots=True)
class InsPeriod:
    """
    An INS, and when it was the active one: from `since`, up to and without `until`.

    `withdrawn` tells an INS that was taken back from one that was replaced: the first is history
    for an audit, and never shown as a former INS.
    """

    ins: str
    ins_oid: str
    since: datetime
    until: datetime | None = None
    withdrawn: bool = False


def ins_history(statements: Iterable[InsStatement]) -> tuple[InsPeriod, ...]:
    """
    Fold the statements of one record into the INS it had, oldest first, one at a time.

    The later statement wins, as it does for the record (`golden.current`). Within a statement a NIR is
    preferred to a NIA. An INS that held for no time is left out.

    Args:
        statements: those of patient identity sources, by source name and then in the order of
            recording, which decides at equal times; late ones fall into place.

    Source: PAM-FR 2.11, section 4 (NIA becomes NIR, A47 deletes the INS and its history).
    """
    history: list[InsPeriod] = []
    for statement in sorted(statements, key=lambda each: each.event_time):
        now = statement.event_time
        if statement.withdrawn:
            history = [replace(each, until=each.until or now, withdrawn=True) for each in history]
        if statement.ins:
            _, ins, ins_oid = min((oid == INS_NIA_OID, ins, oid) for ins, oid in statement.ins)
            active = history[-1] if history and history[-1].until is None else None
            if active is not None and (active.ins, active.ins_oid) == (ins, ins_oid):
                continue
            if active is not None:
                history[-1] = replace(active, until=now)
            history.append(InsPeriod(ins, ins_oid, since=now))
    return tuple(each for each in history if each.until != each.since)


def active_ins(statements: Iterable[InsStatement]) -> InsPeriod | None:
    """The one INS a record has after its statements, since when; None when it has none."""
    history = ins_history(statements)
    return history[-1] if history and history[-1].until is None else None


SITUATION_LABELS: Final[Mapping[Situation, str]] = {
    Situation.PROVISIONAL: "provisoire",
    Situation.DOUBTFUL: "provisoire, douteuse",
    Situation.FICTITIOUS: "provisoire, fictive",
    Situation.RETRIEVED: "récupérée",
    Situation.VALIDATED: "validée",
    Situation.QUALIFIED: "qualifiée",
}
EVENT_LABELS: Final[Mapping[EventKind, str]] = {
    EventKind.STATED_PROVISIONAL: "message PROV",
    EventKind.STATED_DOUBTFUL: "message DOUT",
    EventKind.STATED_FICTITIOUS: "message FICT",
    EventKind.STATED_VALIDATED: "message VALI sans INS",
    EventKind.STATED_QUALIFIED: "message VALI avec INS",
    EventKind.INS_OBTAINED: "INS obtenue par INSi",
    EventKind.PROOF_CHECKED: "pièce d’identité contrôlée",
    EventKind.PROOF_INVALIDATED: "contrôle de la pièce invalidé",
    EventKind.INS_WITHDRAWN: "INS supprimée (A47)",
    EventKind.QUALIFICATION_WITHDRAWN: "qualification retirée (A47 PROV)",
    EventKind.DOUBT_RAISED: "doute signalé",
    EventKind.DOUBT_LIFTED: "doute levé",
    EventKind.FICTION_DECLARED: "déclarée fictive",
    EventKind.FICTION_LIFTED: "attribut fictive levé",
    EventKind.HOMONYM_DECLARED: "homonymie déclarée",
    EventKind.HOMONYM_LIFTED: "homonymie levée",
    EventKind.NIR_REPLACES_NIA: "NIA devenu NIR",
    EventKind.INS_CHANGED: "NIR changé",
}


def state_diagram() -> str:
    """
    Draw the table as a mermaid `stateDiagram-v2`, labelled in French.

    A message that leads to one situation from everywhere is a note there. A loop is drawn only for
    an event that never leaves its situation; others that loop only repeat themselves.
    """
    lines = ["stateDiagram-v2"]
    lines += [f'    state "{label}" as {situation.value}' for situation, label in SITUATION_LABELS.items()]
    lines.append(f"    [*] --> {START.situation.value}")
    edges: dict[tuple[Situation, Situation], list[str]] = {}
    notes: dict[Situation, str] = {}
    for kind, row in TRANSITIONS.items():
        moves = {before: after for before, after in row.items() if isinstance(after, Situation)}
        if len(moves) == len(Situation) and len(set(moves.values())) == 1:
            notes[next(iter(moves.values()))] = EVENT_LABELS[kind]
            continue
        only_loops = all(before is after for before, after in moves.items())
        for before, after in moves.items():
            if only_loops or before is not after:
                edges.setdefault((before, after), []).append(EVENT_LABELS[kind])
    for (before, after), labels in edges.items():
        lines.append(f"    {before.value} --> {after.value} : {', '.join(labels)}")
    for situation, label in notes.items():
        lines += [
            f"    note right of {situation.value}",
            f"        depuis tout état, {label}",
            "    end note",
        ]
    return "\n".join(lines) + "\n"
