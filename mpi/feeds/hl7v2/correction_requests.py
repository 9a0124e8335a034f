"""
Requests to a site as HL7 v2: the message that would make the correction, suggested; or its sheet in words.

A suggested message is the one the site is asked to send, as PAM-FR writes it, with this index as its sender: what
a site does with it is its own affair, which is why each source says what it takes (`sources.corrections_as`). It is
made of what was fixed with the request, so it is the same bytes however often it is sent.

Source: PAM-FR 2.11 (A31, A40, A47, A24, A37; PID-5, PID-11, PID-32); HL7 v2.5 chapter 3, chapter 9 (MDM^T02, TXA).
"""

from collections.abc import Mapping
from datetime import datetime
from textwrap import wrap
from typing import Final

from mpi.feeds.hl7v2.er7 import NULL, escape
from mpi.feeds.hl7v2.notification import Parties
from mpi.feeds.hl7v2.times import PARIS
from mpi.identity.domains import Domains
from mpi.identity.ins import INS_NIA_OID, INS_NIR_OID
from mpi.identity.model import Demographics, NameUse, RecordKey
from mpi.identity.rniv import START, Event, EventKind, IdentityState, apply, codes_of, state_from_pid_32
from mpi.identity.tabular import demographics_from_mapping
from mpi.index.corrections import Correction, CorrectionKind, CorrectionState
from mpi.index.parties import SHEET
from mpi.index.requests import strict_traits
from mpi.index.sheets import write_sheet

STRUCTURES: Final[Mapping[str, str]] = {
    "A31": "ADT^A31^ADT_A05",
    "A40": "ADT^A40^ADT_A39",
    "A47": "ADT^A47^ADT_A30",
    "A24": "ADT^A24^ADT_A24",
    "A37": "ADT^A37^ADT_A37",
    SHEET: "MDM^T02^MDM_T02",
}
_VERSION: Final = "2.5^FRA^2.11"
_PROFILE: Final = "2.11^IHE_FRANCE-2.11-PAM"
_NO_NAME: Final = "^^^^^^U"
"""PID-5 where the message is about identifiers alone: required, and of no type."""
_BIRTH_PLACE: Final = "BDL"
_LINE: Final = 100


def write_request(
    correction: Correction,
    trigger: str,
    *,
    domains: Domains,
    parties: Parties,
    control_id: str,
    at: datetime,
    state: CorrectionState = CorrectionState.REQUESTED,
) -> bytes:
    """
    The message that asks a site.

    Args:
        trigger: the event that would make the correction, or T02 for its sheet.
        at: when the request was made, or taken back.
        state: WITHDRAWN on a sheet that takes a request back.
    """
    instant = at.astimezone(PARIS).strftime("%Y%m%d%H%M%S")
    header = _header(STRUCTURES[trigger], parties, control_id, instant, is_french=trigger != SHEET)
    left, right = (_cx(key, domains) for key in (correction.wanted.left, correction.wanted.right))
    match trigger:
        case "A40":
            segments = [_pid(left, correction.wanted.before), f"MRG|{right}"]
        case "A31":
            said = {**correction.wanted.before, **correction.wanted.expected}
            segments = [_pid(left, said, restated=_is_new(correction)), "PV1||N"]
        case "A47":
            segments = _ins_withdrawn(left, correction.wanted.before)
        case "A24" | "A37":
            segments = [f"PID|{place}||{cx}||{_NO_NAME}" for place, cx in enumerate((left, right), start=1)]
        case _:
            segments = _sheet(correction, state, domains, left, control_id, instant)
    return "\r".join((header, f"EVN||{instant}", *segments, "")).encode()


def _header(message_type: str, parties: Parties, control_id: str, instant: str, *, is_french: bool) -> str:
    named = "|".join(
        map(
            escape,
            (
                parties.sending_application,
                parties.sending_facility,
                parties.receiving_application,
                parties.receiving_facility,
            ),
        )
    )
    version, profile = (_VERSION, f"||{_PROFILE}") if is_french else ("2.5", "")
    fields = f"{instant}||{message_type}|{escape(control_id)}|P|{version}|||||FRA|UNICODE UTF-8|FR{profile}"
    return f"MSH|^~\\&|{named}|{fields}"


def _is_new(correction: Correction) -> bool:
    """Whether what is expected is not what the site said before: a check of it is then no check of that."""
    wanted = correction.wanted
    before = strict_traits(demographics_from_mapping(_readable(wanted.before)))
    return any(before.get(name) != value for name, value in wanted.expected.items()) or not wanted.expected


def _readable(said: Mapping[str, str]) -> dict[str, str]:
    """Named traits without what travels beside them."""
    return {name: value for name, value in said.items() if name not in ("identity_status", "ins", "ins_oid")}


def _state(said: Mapping[str, str]) -> IdentityState:
    codes = tuple(said.get("identity_status", "").split())
    return state_from_pid_32(codes, ins=said.get("ins", ""), ins_oid=said.get("ins_oid", ""))


def _pid(cx: str, said: Mapping[str, str], *, restated: bool = False, more: str = "", codes: str = "") -> str:
    """
    PID of one record.

    Args:
        said: its traits, status and INS, by name.
        restated: traits change: what was checked and qualified before has to be again.
        more: a further repetition of PID-3, instead of the INS.
        codes: PID-32, instead of what follows from the status.
    """
    state = START if restated else _state(said)
    who = demographics_from_mapping(_readable(said))
    if state.usable_ins and not more:
        more = _ins_cx(state.ins, state.ins_oid)
    fields = {
        1: "1",
        3: f"{cx}~{more}" if more else cx,
        5: _names(who) or _NO_NAME,
        7: str(who.birth_date).replace("-", "") if who.birth_date else "",
        8: who.sex,
        11: _birth_place(who),
        32: codes or "~".join(codes_of(state)),
    }
    return "|".join(["PID", *(fields.get(number, "") for number in range(1, 33))]).rstrip("|")


def _ins_withdrawn(cx: str, before: Mapping[str, str]) -> list[str]:
    """An A47 that takes the INS back: the record as it is, the INS emptied, its status without it."""
    state = apply(_state(before), Event(EventKind.INS_WITHDRAWN))
    oid = before.get("ins_oid", INS_NIR_OID)
    emptied = _ins_cx(NULL, oid)
    return [
        _pid(cx, before, more=emptied, codes="~".join(codes_of(state))),
        f"MRG|{_ins_cx(before.get('ins', ''), oid)}",
    ]


def _sheet(
    correction: Correction, state: CorrectionState, domains: Domains, cx: str, control_id: str, instant: str
) -> list[str]:
    """The sheet in both languages, a line a repetition; short lines, for readers that cut long ones."""
    texts = [write_sheet(correction, state, domains, language) for language in ("fr", "en")]
    sentences = "\n".join(texts).splitlines()
    lines = [escape(line) for text in sentences for line in wrap(text, _LINE) or [""]]
    txa = {1: "1", 2: "CN", 3: "TX", 4: instant, 12: escape(control_id), 17: "LA", 19: "AV"}
    return [
        f"PID|1||{cx}||{_NO_NAME}",
        "PV1||N",
        "|".join(["TXA", *(txa.get(number, "") for number in range(1, 20))]),
        f"OBX|1|TX|CORRECTION^{_kind_in_words(correction.kind)}^99MPI||{'~'.join(lines)}||||||F",
    ]


def _kind_in_words(kind: CorrectionKind) -> str:
    return kind.value.replace("_", " ")


def _cx(key: RecordKey, domains: Domains) -> str:
    authority = domains.by_key(key.domain).authority
    hd = "&".join(map(escape, (authority.namespace, authority.universal_id, authority.universal_id_type)))
    return f"{escape(key.value)}^^^{hd}^PI"


def _ins_cx(value: str, oid: str) -> str:
    namespace = "ASIP-SANTE-INS-NIA" if oid == INS_NIA_OID else "ASIP-SANTE-INS-NIR"
    return f"{value}^^^{namespace}&{oid}&ISO^INS"


def _names(who: Demographics) -> str:
    written = []
    for name in who.names:
        if name.use is NameUse.BIRTH:
            written.append(f"{escape(name.family)}^{escape(name.given)}^{escape(name.given_list)}^^^^L")
        elif name.use is NameUse.USED:
            written.append(f"{escape(name.family)}^{escape(name.given)}^^^^^D")
    return "~".join(written)


def _birth_place(who: Demographics) -> str:
    if who.birth_place_code:
        return f"^^^^^^{_BIRTH_PLACE}^^{who.birth_place_code}"
    return f"^^{escape(who.birth_place)}^^^^{_BIRTH_PLACE}" if who.birth_place else ""
