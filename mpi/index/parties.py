"""
Who may feed and who may ask: patient identity sources, consumers, and the domains of the federation.

Built once from the configuration; nothing here changes while the service runs.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mpi.errors import NotPermitted, SettingsError
from mpi.identity.domains import Domain, Domains
from mpi.identity.model import AssigningAuthority

UNKNOWN_SOURCE = "unknown"
"""What the journal calls a sender that nobody could tell the source of."""

_FINGERPRINT = re.compile(r"(?:[0-9a-f]{2}:?){31}[0-9a-f]{2}", re.ASCII)


class Quirk(StrEnum):
    """A known way of one sender to leave the standard, which is then read as meant and not warned of."""

    NAME_TYPE_IN_XPN_8 = "name_type_in_xpn_8"
    """The name type stands one component too far."""
    UNTYPED_NAME_IS_BIRTH_NAME = "untyped_name_is_birth_name"
    """A name without a type is the birth name."""
    GENDER_WORDS = "gender_words"
    """PID-8 holds 1 or 2, H for a man, or a French word."""
    DATES_WITH_SEPARATORS = "dates_with_separators"
    """PID-7 is written 1984-02-29, 29/02/1984 or 29.02.1984."""
    NULL_IS_EMPTY = "null_is_empty"
    """`""` is what it writes where it knows nothing: it withdraws nothing but an INS."""
    MISSING_CX_4 = "missing_cx4"
    """An identifier without an authority is its own whatever its type, but for national ones and visits."""
    UNKNOWN_EVENTS = "unknown_events"
    """It sends every event there is: those nobody here reads are kept, acknowledged, and change nothing."""


SHEET = "T02"
"""The trigger of the message that carries a text for people to read (MDM^T02)."""


class Acknowledgement(StrEnum):
    """Which acknowledgements a source gets."""

    ORIGINAL = "original"
    """One, of the application, once the message is applied; MSH-15 and 16 are not looked at."""
    ENHANCED = "enhanced"
    """Those MSH-15 (commit) and MSH-16 (application) ask for; one of the application when they are blank."""


class OnTransient(StrEnum):
    """What a source gets for a message that could not be taken, and may be sent again as it is."""

    CLOSE = "close"
    """No answer: many senders take AR for final, and drop the message."""
    AR207 = "AR207"
    """AR with code 207."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """
    What the certificate of a connected peer says of it; both empty when it showed none.

    Args:
        fingerprint: SHA-256 of the certificate, in lower-case hexadecimal.
    """

    common_name: str = ""
    fingerprint: str = ""

    def is_one_of(self, configured: str) -> bool:
        """Whether a configured common name or SHA-256 fingerprint (with or without colons) names it."""
        text = configured.strip().lower()
        if _FINGERPRINT.fullmatch(text):
            return text.replace(":", "") == self.fingerprint
        return bool(configured) and configured == self.common_name


@dataclass(frozen=True, slots=True)
class PatientIdentitySource:
    """
    A sending application and facility, or a PACS, and the domains it may state identities for.

    Args:
        feeds: keys of its domains. The first is the issuer of identifiers sent without one.
        may_link: keys of the domains whose identifiers it may link with its own (A24, A37, PID-3).
        default_charset: used when MSH-18 is blank, an HL7 table 0211 name.
        aet: DICOM application entity title; empty for HL7 sources.
        certificate: common name or SHA-256 fingerprint of the one certificate that may send as this
            source; empty when any trusted one may.
        sequence_numbers: it numbers its messages in MSH-13, and none may be missing.
        silent_after_seconds: without a message for this long it has to be looked after; 0 for never.
        flood_factor: so many times its usual messages in an hour have to be looked after; 0 for never.
        corrections: host:port that takes requests to correct its records; empty for one that is asked on paper.
        corrections_as: the messages it takes them as: the one that would do it (A31, A40, A47, A24, A37), or T02, a
            sheet in words; without the right one, a request is on paper.
    """

    name: str
    feeds: tuple[str, ...]
    application: str = ""
    facility: str = ""
    aet: str = ""
    default_charset: str = "8859/1"
    may_link: tuple[str, ...] = ()
    certificate: str = ""
    acknowledgement: Acknowledgement = Acknowledgement.ORIGINAL
    on_transient: OnTransient = OnTransient.CLOSE
    quirks: frozenset[Quirk] = frozenset()
    sequence_numbers: bool = False
    silent_after_seconds: float = 0.0
    flood_factor: float = 10.0
    corrections: str = ""
    corrections_as: frozenset[str] = frozenset()

    def takes(self, trigger: str) -> str:
        """The message it takes a request as, of which this one would be the answer; empty when it is on paper."""
        if not self.corrections:
            return ""
        return next((one for one in (trigger, SHEET) if one in self.corrections_as), "")


@dataclass(frozen=True, slots=True)
class Consumer:
    """
    Who may query over MLLP, what it may see, and where it is told of changes.

    Args:
        mllp: `host:port` that ITI-10 goes to; empty for nowhere.
        certificate: as that of a source.
        webhook: address that signed notifications are posted to; empty for nowhere.
    """

    name: str
    application: str
    facility: str
    domains: frozenset[str]
    mllp: str = ""
    certificate: str = ""
    webhook: str = ""


class Directory:
    """
    Every party and domain of the federation.

    Args:
        own: this index's own authority, which issues enterprise identifiers.
        accept_test_ins: take the test and demonstration INS OIDs, and refuse the real ones.
        sharing: agreements: keys of the domains whose sites may know each other's identifiers.
        priorities: domain key -> how urgently the questions of its site are shown, 0 to 9; 0 unless given.

    Raises:
        SettingsError: two sources or two consumers with one name, or with one application and facility.
    """

    def __init__(
        self,
        *,
        own: AssigningAuthority,
        domains: Domains,
        sources: Iterable[PatientIdentitySource] = (),
        consumers: Iterable[Consumer] = (),
        accept_test_ins: bool = False,
        priorities: Mapping[str, int] = {},
        sharing: Iterable[frozenset[str]] = (),
    ) -> None:
        self.own = own
        self.domains = domains
        self.accept_test_ins = accept_test_ins
        self.sources = tuple(sources)
        self.consumers = tuple(consumers)
        self._parties: list[PatientIdentitySource | Consumer] = [*self.sources, *self.consumers]
        self._priorities = dict(priorities)
        self._sharing = tuple(sharing)
        _refuse_twins("sources", [source.name for source in self.sources])
        _refuse_twins("consumers", [consumer.name for consumer in self.consumers])
        _refuse_twins("sources", [(s.application, s.facility) for s in self.sources if s.application])
        _refuse_twins("consumers", [(c.application, c.facility) for c in self.consumers])
        self._source_by_name = {source.name: source for source in self.sources}
        self._source_by_sender = {(s.application, s.facility): s for s in self.sources if s.application}
        self._consumer_by_sender = {(c.application, c.facility): c for c in self.consumers}

    def source(self, name: str) -> PatientIdentitySource:
        """
        The source of that name.

        Raises:
            SettingsError: none is configured.
        """
        try:
            return self._source_by_name[name]
        except KeyError:
            raise SettingsError(f"sources: no source is named {name}") from None

    def sender(self, name: str) -> PatientIdentitySource | None:
        """
        The source that the journal calls so; None of a sender that nobody could tell the source of.

        Raises:
            SettingsError: no source of that name is configured any more.
        """
        return None if name == UNKNOWN_SOURCE else self.source(name)

    def source_of(self, application: str, facility: str) -> PatientIdentitySource | None:
        """The source that sends as this application and facility (MSH-3, MSH-4), if any."""
        return self._source_by_sender.get((application, facility))

    def consumer_of(self, application: str, facility: str) -> Consumer:
        """
        The consumer that queries as this application and facility.

        Raises:
            NotPermitted: none is configured.
        """
        try:
            return self._consumer_by_sender[(application, facility)]
        except KeyError:
            raise NotPermitted("this application and facility may not query") from None

    def proves(self, certificate: ClientCertificate, party: PatientIdentitySource | Consumer | None) -> bool:
        """
        Whether a peer with this certificate may speak as a source or consumer.

        A party that names a certificate speaks with no other, and a certificate that a party names
        speaks for no one else.
        """
        if party is not None and party.certificate:
            return certificate.is_one_of(party.certificate)
        return not any(certificate.is_one_of(other.certificate) for other in self._parties)

    def source_proved_by(self, certificate: ClientCertificate) -> PatientIdentitySource | None:
        """The source that names this certificate, the first if several do."""
        return next((one for one in self.sources if certificate.is_one_of(one.certificate)), None)

    def has_a_place_for(self, certificate: ClientCertificate) -> bool:
        """Whether anybody could speak with this certificate: one is named, or somebody names none."""
        speaking = [one for one in self._parties if one.application]
        return any(not one.certificate or certificate.is_one_of(one.certificate) for one in speaking)

    def fed_by(self, source: PatientIdentitySource, domain: Domain) -> bool:
        """Whether the source may state identities for the domain."""
        return domain.key in source.feeds

    def shared_with(self, domain_keys: frozenset[str]) -> frozenset[str]:
        """
        These domains, and those that an agreement shares with any of them.

        Agreements do not add up: what A shares with B, and B with C, A does not share with C.
        """
        return domain_keys.union(*(agreed for agreed in self._sharing if agreed & domain_keys))

    def asked_about(self, domain_key: str, source: str = "") -> PatientIdentitySource | None:
        """
        Who is asked to correct what a domain says: whoever takes requests, else who feeds it over HL7.

        Args:
            source: who said what has to be taken back, if it is still there.
        """
        if source in self._source_by_name:
            return self._source_by_name[source]
        feeding = [one for one in self.sources if domain_key in one.feeds]
        return min(feeding, key=lambda one: (not one.corrections, not one.application), default=None)

    def priority_of(self, domain_key: str) -> int:
        """How urgently the questions of a domain are shown: 9 first, 0 by default."""
        return self._priorities.get(domain_key, 0)


def sender_name(source: PatientIdentitySource | None) -> str:
    """What the journal calls a sender: what `Directory.sender` reads."""
    return source.name if source is not None else UNKNOWN_SOURCE


def _refuse_twins(what: str, names: list[str] | list[tuple[str, str]]) -> None:
    if len(set(names)) != len(names):
        raise SettingsError(f"{what}: a name, or an application and facility, is declared twice")
