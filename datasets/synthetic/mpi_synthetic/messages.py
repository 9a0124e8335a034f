"""
Events as HL7 v2 messages, in the bytes that the site's information system would send.

Source: IHE ITI-8 (HL7 v2.3.1) for A04, A08 and A40; PAM-FR 2.11 (ITI-30, HL7 v2.5) for A28, A31 and A40.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from mpi.identity.ins import INS_NIA_OID
from mpi.identity.model import AssigningAuthority, Demographics, NameUse, PersonName

from .charsets import CODECS, representable
from .events import Event, EventKind, StatedRecord
from .sites import Feed, Site

PARIS_IN_WINTER = timezone(timedelta(hours=1))
"""No event falls in summer time."""
INS_NAMESPACE = "ASIP-SANTE-INS-NIR"
NIA_NAMESPACE = "ASIP-SANTE-INS-NIA"
_TYPES = {
    (Feed.PAM_FR, EventKind.CREATE): ("A28", "ADT_A05"),
    (Feed.PAM_FR, EventKind.UPDATE): ("A31", "ADT_A05"),
    (Feed.PAM_FR, EventKind.MERGE): ("A40", "ADT_A39"),
    (Feed.ITI_8, EventKind.CREATE): ("A04", "ADT_A01"),
    (Feed.ITI_8, EventKind.UPDATE): ("A08", "ADT_A01"),
    (Feed.ITI_8, EventKind.MERGE): ("A40", "ADT_A39"),
}
_ESCAPES = str.maketrans({"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"})


def render(event: Event, site: Site) -> bytes:
    """
    Write an event of a site as one HL7 message, each segment ended by a carriage return.

    Raises:
        ValueError: a header, or a site that sends no HL7.
    """
    if (site.feed, event.kind) not in _TYPES:
        raise ValueError(f"{site.namespace} sends no HL7 for {event.kind}")
    trigger, structure = _TYPES[site.feed, event.kind]
    segments = [_msh(event, site, f"ADT^{trigger}^{structure}"), _evn(event, site, trigger)]
    if event.kind is EventKind.MERGE:
        subsumed = _cx(event.subsumed, site.authority, "PI")
        segments += [_pid(event.record, site, short=True), _segment("MRG", {1: subsumed})]
    else:
        segments += [_pid(event.record, site), _segment("PV1", {2: "N" if site.feed is Feed.PAM_FR else "O"})]
        if site.feed is Feed.PAM_FR and (zfd := _zfd(event)):
            segments.append(zfd)
    text = "".join(f"{segment}\r" for segment in segments)
    return representable(text, site.charset).encode(CODECS[site.charset])


def _msh(event: Event, site: Site, message_type: str) -> str:
    french = site.feed is Feed.PAM_FR
    fields = {
        2: site.application,  # MSH-1 is the separator itself: every later field is one place nearer.
        3: site.facility,
        4: "MPI",
        5: "FED",
        6: f"{_local(_sent(event))}+0100",
        8: message_type,
        9: f"{site.letter}-{event.number:06d}",
        10: "P",
        11: "2.5^FRA^2.11" if french else "2.3.1",
        16: "FRA",
        17: site.charset,
    }
    if french:
        fields |= {18: "FR", 20: "2.11^IHE_FRANCE-2.11-PAM"}
    return _segment("MSH", {1: "^~\\&", **fields})


def _evn(event: Event, site: Site, trigger: str) -> str:
    if site.feed is Feed.PAM_FR:
        return _segment("EVN", {2: _local(_sent(event)), 6: _local(event.event_time)})
    return _segment("EVN", {1: trigger, 2: _local(event.event_time)})


def _pid(record: StatedRecord, site: Site, *, short: bool = False) -> str:
    """
    Write who this is. A merge says it shortly: it carries no change of traits.

    PID-32 travels even in v2.3.1 when there is one: without it nobody may use the INS beside it.
    """
    stated = record.demographics
    french = site.feed is Feed.PAM_FR
    identifiers = [_cx(record.local_id, site.authority, "PI")]
    if stated.ins:
        namespace = NIA_NAMESPACE if stated.ins_oid == INS_NIA_OID else INS_NAMESPACE
        identifiers.append(_cx(stated.ins, AssigningAuthority(namespace, stated.ins_oid, "ISO"), "INS"))
    fields = {
        1: "1" if french else "",
        3: "~".join(identifiers[:1] if short else identifiers),
        5: "~".join(_xpn(name) for name in stated.names if not short or name.use is NameUse.BIRTH),
        7: str(stated.birth_date).replace("-", "") if stated.birth_date else "",
        8: stated.sex,
        32: "~".join(stated.identity_codes),
    }
    if not short:
        fields |= {
            6: _escape(stated.mother_birth_name),
            11: "~".join(_addresses(stated)),
            13: "~".join(_telecoms(stated, french=french)),
            23: _escape(stated.birth_place),
            24: "Y" if stated.multiple_birth else "",
            25: str(stated.birth_order or ""),
        }
        if record.death_date:
            fields |= {29: record.death_date.strftime("%Y%m%d"), 30: "Y"}
        if french:
            fields |= {30: fields.get(30, "N"), 33: _local(record.event_time)}
    return _segment("PID", fields)


def _zfd(event: Event) -> str:
    """Say that the birth date was completed, or that the traits come from the national INS service."""
    stated = event.record.demographics
    if stated.birth_date_interpreted:
        return _segment("ZFD", {4: "Y", 5: "SM"})
    if stated.ins:
        return _segment("ZFD", {4: "N", 5: "INSI", 6: _local(event.event_time), 7: "CN"})
    return ""


def _cx(value: str, authority: AssigningAuthority, type_code: str) -> str:
    issuer = "&".join(
        _escape(part) for part in (authority.namespace, authority.universal_id, authority.universal_id_type)
    )
    return f"{_escape(value)}^^^{issuer}^{type_code}"


def _xpn(name: PersonName) -> str:
    return _components(name.family, name.given, name.given_list, "", name.prefix, "", name.use.value)


def _addresses(stated: Demographics) -> Iterable[str]:
    if stated.address:
        yield _components(stated.address, "", stated.city, "", stated.postal_code, stated.country, "H")
    if stated.birth_place_code:
        country = "" if stated.birth_place_code.startswith("99") else "FRA"
        yield _components("", "", "", "", "", country, "BDL", "", stated.birth_place_code)


def _telecoms(stated: Demographics, *, french: bool) -> Iterable[str]:
    """Write numbers where each version wants them: XTN-12 in France, XTN-1 in v2.3.1."""
    for number in stated.phones:
        kind = "CP" if number.startswith(("06", "07")) else "PH"
        if french:
            yield _components("", "PRN", kind, *[""] * 8, number)
        else:
            yield _components(number, "PRN", kind)
    for email in stated.emails:
        yield _components("", "NET", "Internet", email)


def _components(*values: str) -> str:
    return "^".join(_escape(value) for value in values).rstrip("^")


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)


def _segment(name: str, fields: dict[int, str]) -> str:
    last = max((position for position, value in fields.items() if value), default=0)
    return "|".join([name, *(fields.get(position, "") for position in range(1, last + 1))])


def _sent(event: Event) -> datetime:
    return event.event_time + timedelta(seconds=5)


def _local(moment: datetime) -> str:
    return moment.astimezone(PARIS_IN_WINTER).strftime("%Y%m%d%H%M%S")
