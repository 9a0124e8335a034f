"""
Settings: one frozen class, from `mpi.toml` and `MPI_*` environment variables (the variable wins).

Built by entry points only (`cli`, `create_app`), and passed down. Thresholds and weights are not
settings: they belong to the match model.
"""

import ipaddress
import json
import os
import re
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from mpi.errors import SettingsError, UnknownAuthority
from mpi.identity.domains import Domains
from mpi.identity.model import AssigningAuthority
from mpi.index.parties import (
    Acknowledgement,
    Consumer,
    Directory,
    OnTransient,
    PatientIdentitySource,
    Quirk,
)

_PREFIX = "MPI_"
_NESTING = "__"
_DELIMITERS = frozenset("^&|~\\")
_OID = re.compile(r"(?:[01]\.(?:0|[1-3]?[1-9]|[123]0)|2\.(?:0|[1-9]\d*))(?:\.(?:0|[1-9]\d*))*", re.ASCII)
_WEB_ADDRESS = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?", re.ASCII)
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/]+):(\d{1,5})", re.ASCII)


def _transmissible(text: str) -> str:
    """A component of an HL7 identifier: what would not come back as it was sent is refused."""
    if not text or text != text.strip() or not text.isprintable() or _DELIMITERS & set(text):
        raise PydanticCustomError(
            "transmissible",
            "must not be empty, begin or end with a space, or hold ^ & | ~ \\ or a control character",
        )
    return text


def _oid(text: str) -> str:
    """An object identifier in dotted digits (ISO/IEC 8824-1)."""
    if not _OID.fullmatch(text):
        raise PydanticCustomError("oid", "must be an OID: dotted numbers, such as 2.999.1")
    return text


def _address(text: str) -> str:
    """`host:port`, or nothing."""
    found = _ADDRESS.fullmatch(text)
    if text and not (found and 1 <= int(found[1]) <= 65535):
        raise PydanticCustomError("address", "must be host:port, such as 127.0.0.1:2600")
    return text


def _ae_title(text: str) -> str:
    """An application entity title (PS3.5 6.2): at most 16 characters; spaces around them mean nothing."""
    title = text.strip(" ")
    if not 1 <= len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise PydanticCustomError("ae_title", "must be 1 to 16 printable ASCII characters without \\")
    return title


def _web_address(text: str) -> str:
    """An http or https address, or nothing."""
    if text and not _WEB_ADDRESS.fullmatch(text):
        raise PydanticCustomError("web_address", "must be an http or https address")
    return text


def _webhook(text: str) -> str:
    """An https address, or one of this machine, or nothing."""
    parts = urlsplit(_web_address(text))
    if parts.username is not None or (parts.scheme == "http" and not is_loopback(parts.hostname or "")):
        raise PydanticCustomError("webhook", "must be an https address; http to this machine only")
    return text


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, as far as its name tells."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


Transmissible = Annotated[str, AfterValidator(_transmissible)]
Oid = Annotated[str, AfterValidator(_oid)]
Address = Annotated[str, AfterValidator(_address)]
AeTitle = Annotated[str, AfterValidator(_ae_title)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
WebhookAddress = Annotated[str, AfterValidator(_webhook)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(_Section):
    url: str = Field(
        "sqlite:///var/mpi.db", description="SQLite file or postgresql+psycopg:// address of the store"
    )


class ListenSettings(_Section):
    host: str = Field("127.0.0.1", description="Address to listen on; loopback unless you mean otherwise")
    port: int = Field(ge=0, le=65535, description="TCP port; 0 takes a free one")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it, as far as the address tells."""
        return is_loopback(self.host)


class HttpSettings(ListenSettings):
    port: int = Field(
        8080, ge=0, le=65535, description="TCP port of REST, FHIR and health; 0 takes a free one"
    )
    idempotency_hours: float = Field(
        24.0, gt=0, le=720, description="How long the answer to a write with an Idempotency-Key is kept"
    )


class TlsSettings(_Section):
    certificate: Path = Field(
        description="Certificate the listener shows, in PEM, intermediate ones after it"
    )
    key: Path = Field(description="Its private key, in PEM, without a pass phrase")
    ca: Path | None = Field(
        None, description="Certificates trusted to be, or to issue, those of senders (trust store, PEM)"
    )
    require_client_certificate: bool = Field(
        True, description="Refuse a sender that shows no trusted certificate (ITI-19)"
    )


class ClientTlsSettings(_Section):
    ca: Path = Field(description="Certificates trusted to be, or to issue, those of the addressee (PEM)")
    certificate: Path | None = Field(None, description="Certificate shown to it, in PEM")
    key: Path | None = Field(None, description="Its private key, in PEM, without a pass phrase")
    check_hostname: bool = Field(
        False, description="The addressee's certificate must name its host (ITI-19 asks for none)"
    )


class MllpSettings(ListenSettings):
    port: int = Field(2575, ge=0, le=65535, description="TCP port of the HL7 v2 listener; 0 takes a free one")
    max_message_bytes: int = Field(1_048_576, ge=1024, description="Largest frame taken, in bytes")
    frame_timeout_seconds: float = Field(
        30.0, gt=0, description="A frame must be complete this long after its start"
    )
    idle_timeout_seconds: float = Field(
        3600.0, gt=0, description="A silent connection is closed after this long"
    )
    max_connections: int = Field(256, ge=1, description="Connections open at once; further ones are closed")
    max_messages_in_work: int = Field(
        64, ge=1, description="Messages handed to the index at once; further senders are not read meanwhile"
    )
    wait_timeout_seconds: float = Field(
        10.0, gt=0, description="A message that could not be handed over for this long is refused"
    )
    drain_timeout_seconds: float = Field(
        10.0, gt=0, description="How long messages in work have to be answered when the service stops"
    )
    handshake_timeout_seconds: float = Field(
        5.0, gt=0, description="A TLS handshake must be complete this long after the connection"
    )
    allow_plain: bool = Field(
        False, description="Listen without TLS on an address that is not loopback; on a closed network only"
    )
    tls: TlsSettings | None = Field(None, description="TLS of the listener; plain MLLP without")


class DicomSettings(ListenSettings):
    port: int = Field(
        11112, ge=0, le=65535, description="TCP port of the C-STORE provider; 0 takes a free one"
    )
    ae_title: AeTitle = Field(
        "MPI", description="Application entity title: peers call it, and know it as theirs"
    )
    max_associations: int = Field(
        10, ge=1, description="Associations open at once; further ones are rejected"
    )
    readers: int = Field(2, ge=1, le=64, description="Child processes that read headers")
    idle_timeout_seconds: float = Field(
        60.0, gt=0, description="A silent association is aborted after this long"
    )
    message_timeout_seconds: float = Field(
        30.0, gt=0, description="To negotiate an association, and between the parts of a message"
    )
    drain_timeout_seconds: float = Field(
        10.0, gt=0, description="How long objects at work have to be answered when the service stops"
    )
    allow_plain: bool = Field(
        False, description="Listen without TLS on an address that is not loopback; on a closed network only"
    )
    tls: TlsSettings | None = Field(None, description="TLS of the listener; plain DICOM without")


class FindSettings(_Section):
    host: str = Field(min_length=1, description="Host of the archive's C-FIND provider")
    port: int = Field(ge=1, le=65535, description="Its TCP port")
    aet: AeTitle = Field(description="Its application entity title")
    charset: str = Field(
        "ISO_IR 192",
        description="Character set of our questions (0008,0005); ISO_IR 100 for a site without UTF-8",
    )
    tls: ClientTlsSettings | None = Field(None, description="TLS to it; plain DICOM without")


class HarvestSettings(_Section):
    since: date = Field(description="First day whose studies are asked for")
    lookback_days: int = Field(
        3, ge=1, description="Days, today included, that are asked for again: images arrive late"
    )
    every_seconds: float = Field(900.0, gt=0, description="From the end of one harvest to the next")
    requests_per_second: float = Field(2.0, gt=0, description="Never more requests than this")
    allow_plain: bool = Field(
        False, description="Ask without TLS at an address that is not loopback; on a closed network only"
    )


class AuthoritySettings(_Section):
    namespace: Transmissible = Field("MPI", description="Namespace (CX-4.1) of enterprise identifiers")
    oid: Oid = Field("2.999.1", description="OID (CX-4.2) of enterprise identifiers")


class DomainSettings(_Section):
    type: Transmissible = Field("ISO", description="CX-4.3: ISO, DNS, UUID, L, M or N")
    namespace: Transmissible = Field(description="CX-4.1, and IssuerOfPatientID in DICOM")
    oid: Transmissible = Field(description="CX-4.2; CX-4.3 is ISO unless `type` says otherwise")
    priority: int = Field(
        0, ge=0, le=9, description="How urgently the questions of its site are shown; 9 comes first"
    )

    @field_validator("oid")
    @classmethod
    def _is_of_its_type(cls, oid: str, info: ValidationInfo) -> str:
        return _oid(oid) if info.data.get("type") == "ISO" else oid  # `type` is declared, and read, first


class SourceSettings(_Section):
    name: str = Field(description="Name of the source in this index's own words")
    application: str = Field("", description="MSH-3 of what it sends")
    facility: str = Field("", description="MSH-4 of what it sends")
    aet: str = Field("", description="DICOM application entity title, for PACS and modalities")
    qido: WebAddress = Field(
        "", description="DICOMweb address of its archive, harvested when `harvest` is set"
    )
    qido_tls: ClientTlsSettings | None = Field(
        None, description="Whom to trust there, and what to show; what the machine trusts without"
    )
    find: FindSettings | None = Field(
        None, description="C-FIND provider of its archive, harvested when `harvest` is set"
    )
    harvest: HarvestSettings | None = Field(
        None, description="What of its archive is asked for, and how often; nothing without"
    )
    feeds: list[str] = Field(
        min_length=1, description="Namespaces of the domains it may state identities for"
    )
    may_link: list[str] = Field(
        [], description="Namespaces of further domains whose identifiers it may link with its own"
    )
    default_charset: str = Field("8859/1", description="Character set when MSH-18 is blank (HL7 table 0211)")
    certificate: str = Field(
        "", description="Common name or SHA-256 fingerprint of the only certificate that may send as it"
    )
    acknowledgement: Acknowledgement = Field(
        Acknowledgement.ORIGINAL, description="original, or enhanced: as MSH-15 and MSH-16 ask"
    )
    on_transient: OnTransient = Field(
        OnTransient.CLOSE, description="When a message cannot be taken now: close the connection, or AR207"
    )
    quirks: list[Quirk] = Field([], description="Known ways in which it leaves the standard")
    sequence_numbers: bool = Field(
        False, description="It numbers its messages in MSH-13: one that is missing stops those after it"
    )
    silent_after_seconds: float = Field(
        0.0, ge=0, description="Without a message for this long it is reported silent; 0 for never"
    )
    flood_factor: float = Field(
        10.0,
        ge=0,
        description="An hour with more messages than so many of its usual ones is reported a flood; 0 for never",
    )
    corrections: Address = Field(
        "", description="host:port that requests to correct its own records go to (HL7 v2)"
    )
    corrections_as: list[Literal["A31", "A40", "A47", "A24", "A37", "T02"]] = Field(
        [],
        description="As what it takes them: suggested messages by event, T02 for a sheet in words (MDM); on paper "
        "otherwise",
    )
    corrections_tls: ClientTlsSettings | None = Field(None, description="TLS to it; plain MLLP without")
    corrections_allow_plain: bool = Field(
        False, description="Send them without TLS to an address that is not loopback"
    )


class ConsumerSettings(_Section):
    name: str = Field(description="Name of the consumer in this index's own words")
    application: str = Field(description="MSH-3 of its queries")
    facility: str = Field(description="MSH-4 of its queries")
    domains: list[str] = Field(description="Namespaces it may see and is told about")
    mllp: Address = Field("", description="host:port its notifications go to (ITI-10)")
    webhook: WebhookAddress = Field(
        "", description="https address its notifications are posted to, signed with `webhook_secret`"
    )
    webhook_secret: SecretStr | None = Field(
        None, min_length=16, description="Shared with the consumer: signs what is posted (HMAC-SHA-256)"
    )
    tls: ClientTlsSettings | None = Field(None, description="TLS to its addresses; plain MLLP without")
    allow_plain: bool = Field(
        False,
        description="Send ITI-10 without TLS to an address that is not loopback; on a closed network only",
    )
    certificate: str = Field(
        "", description="Common name or SHA-256 fingerprint of the only certificate that may query as it"
    )


class SharingSettings(_Section):
    domains: list[str] = Field(
        min_length=2, description="Namespaces whose sites agreed to know each other's identifiers"
    )


class QuerySettings(_Section):
    retired_identifiers: Literal["follow", "unknown"] = Field(
        "follow", description="An identifier that was merged away answers for what it became, or is unknown"
    )
    max_found: int = Field(
        50, ge=1, le=1000, description="When more people would be found over MLLP, none is named"
    )
    continuation_seconds: float = Field(
        600.0, gt=0, description="How long after a query over MLLP its further pages can be asked for"
    )
    max_continuations: int = Field(
        100, ge=1, description="Queries with further pages remembered for one consumer; the oldest goes first"
    )


class NotifySettings(_Section):
    facility: Transmissible = Field("FED", description="MSH-4 of what this index sends by itself")
    poll_seconds: float = Field(0.5, gt=0, description="How often the outbox is looked at")
    timeout_seconds: float = Field(
        30.0, gt=0, description="How long an addressee has to accept a connection, and to answer"
    )
    first_retry_seconds: float = Field(1.0, gt=0, description="Before a notification is tried again")
    max_retry_seconds: float = Field(
        300.0, gt=0, description="The wait doubles with each failure, up to this"
    )
    max_attempts: int = Field(
        500, ge=1, description="Given up after it was sent, and not confirmed, this often"
    )
    max_age_days: float = Field(
        7.0, gt=0, description="Given up when it could not be delivered for this long"
    )
    drain_timeout_seconds: float = Field(
        10.0, gt=0, description="How long what is being sent has to be answered when the service stops"
    )
    subscription_hosts: list[str] = Field(
        [], description="Hosts (host or host:port) that FHIR subscriptions may name; all others are refused"
    )


class LinkSettings(_Section):
    same_domain: str = Field(
        "link",
        pattern="^(link|review|forbid)$",
        description="Two records of one domain: link, review or forbid",
    )
    max_set_size: int = Field(
        25, ge=2, description="Records in one enterprise record before links need a person"
    )


class ReviewSettings(_Section):
    two_person: list[Literal["qualified", "large_set", "verified_link"]] = Field(
        [],
        description="Decisions that count once a second person confirmed them: about a qualified identity, "
        "of a large set, or against a link that a person verified",
    )
    two_person_set_size: int = Field(
        6, ge=2, description="Records in one enterprise record above which `large_set` holds"
    )


class ReportSettings(_Section):
    correction_days: int = Field(15, ge=1, description="Days a site is given to correct what it is asked")
    urgent_correction_days: int = Field(
        3,
        ge=1,
        description="The same where somebody's exams may be shown as another's: merges and links to undo, exams "
        "filed under another patient, an INS of somebody else",
    )


class InboxSettings(_Section):
    max_attempts: int = Field(
        5,
        ge=1,
        description="How often a message whose handling fails unexpectedly is tried before it is isolated",
    )
    quarantine_messages: int = Field(
        10_000, ge=1, description="Messages one source may have quarantined in 24 hours before it is stopped"
    )
    quarantine_bytes: int = Field(
        268_435_456,
        ge=1,
        description="Bytes one source may have quarantined in 24 hours before it is stopped",
    )
    in_flight: Path | None = Field(
        None,
        description="Folder, on a disk of this machine, where it is noted what is in work; beside the file of"
        " an SQLite store, else var/in-flight",
    )


class Settings(BaseSettings):
    """Everything the service is told from outside."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter=_NESTING, extra="forbid", frozen=True
    )

    database: DatabaseSettings = DatabaseSettings()
    http: HttpSettings = HttpSettings()
    mllp: MllpSettings = MllpSettings()
    dicom: DicomSettings | None = Field(None, description="The C-STORE provider; none without this section")
    authority: AuthoritySettings = AuthoritySettings()
    domains: list[DomainSettings] = Field([], description="The federation's identifier domains")
    sources: list[SourceSettings] = Field([], description="Patient identity sources")
    consumers: list[ConsumerSettings] = Field([], description="Who queries over MLLP and is notified")
    sharing: list[SharingSettings] = Field([], description="Agreements between sites")
    queries: QuerySettings = QuerySettings()
    notify: NotifySettings = NotifySettings()
    inbox: InboxSettings = InboxSettings()
    link: LinkSettings = LinkSettings()
    review: ReviewSettings = ReviewSettings()
    reports: ReportSettings = ReportSettings()
    accept_test_ins: bool = Field(
        False,
        description="Take the test and demonstration INS OIDs and refuse the real ones; for test platforms",
    )

    @model_validator(mode="after")
    def _parties_are_told_apart(self) -> "Settings":
        for position, domain in enumerate(self.domains):
            if domain.oid == self.authority.oid:
                raise SettingsError(
                    f"domains.{position}.oid: is authority.oid, which issues enterprise identifiers"
                )
        titles: set[str] = set()
        for source in self.sources:
            title = source.aet.strip()  # spaces around an application entity title mean nothing (PS3.5 6.2)
            if title and title in titles:
                raise SettingsError(f"sources.{source.name}.aet: another source has this title")
            titles.add(title)
            _check_archive(source)
        self._check_certificates()
        self.directory()
        return self

    def _check_certificates(self) -> None:
        listeners = {"mllp": self.mllp.tls, "dicom": self.dicom.tls if self.dicom else None}
        for name, tls in listeners.items():
            if tls is not None and tls.require_client_certificate and tls.ca is None:
                raise SettingsError(f"{name}.tls.ca: required to tell which client certificates are trusted")
        if any(tls is not None and tls.ca is not None for tls in listeners.values()):
            return
        for where, parties in (("sources", self.sources), ("consumers", self.consumers)):
            for party in parties:
                if party.certificate:
                    raise SettingsError(
                        f"{where}.{party.name}.certificate: needs mllp.tls.ca or dicom.tls.ca"
                    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file; `load` names the file through `model_config`."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    def not_served_yet(self) -> list[str]:
        """Keys that are set and that this version does not act on."""
        keys = [
            f"sources.{s.name}.{key}"
            for s in self.sources
            for key in ("qido", "find")
            if getattr(s, key) and not s.harvest  # nothing says since when: nothing is asked
        ]
        keys += [
            f"sources.{s.name}.corrections" for s in self.sources if s.corrections and not s.corrections_as
        ]
        return keys + [
            f"consumers.{c.name}.webhook"
            for c in self.consumers
            if c.webhook and c.webhook_secret is None  # nothing is posted that the consumer could not verify
        ]

    def certificates(self) -> dict[str, Path]:
        """The certificates the listeners show, by the key that names each."""
        listeners = {"mllp": self.mllp.tls, "dicom": self.dicom.tls if self.dicom else None}
        return {
            f"{name}.tls.certificate": tls.certificate for name, tls in listeners.items() if tls is not None
        }

    def directory(self) -> Directory:
        """
        The parties of the federation, with namespaces resolved to domains.

        Raises:
            SettingsError: a name is unknown or declared twice.
        """
        domains = Domains(AssigningAuthority(d.namespace, d.oid, d.type) for d in self.domains)

        def keys(names: list[str], where: str) -> tuple[str, ...]:
            try:
                return tuple(domains.resolve(AssigningAuthority(name), place=where).key for name in names)
            except UnknownAuthority as error:
                raise SettingsError(f"{error.place}: names a domain that is not declared") from None

        return Directory(
            own=AssigningAuthority(self.authority.namespace, self.authority.oid, "ISO"),
            domains=domains,
            sources=[
                PatientIdentitySource(
                    name=s.name,
                    feeds=keys(s.feeds, f"sources.{s.name}.feeds"),
                    application=s.application,
                    facility=s.facility,
                    aet=s.aet,
                    default_charset=s.default_charset,
                    may_link=keys(s.may_link, f"sources.{s.name}.may_link"),
                    certificate=s.certificate,
                    acknowledgement=s.acknowledgement,
                    on_transient=s.on_transient,
                    quirks=frozenset(s.quirks),
                    sequence_numbers=s.sequence_numbers,
                    silent_after_seconds=s.silent_after_seconds,
                    flood_factor=s.flood_factor,
                    corrections=s.corrections,
                    corrections_as=frozenset(s.corrections_as),
                )
                for s in self.sources
            ],
            consumers=[
                Consumer(
                    name=c.name,
                    application=c.application,
                    facility=c.facility,
                    domains=frozenset(keys(c.domains, f"consumers.{c.name}.domains")),
                    mllp=c.mllp,
                    certificate=c.certificate,
                    webhook=c.webhook if c.webhook_secret is not None else "",
                )
                for c in self.consumers
            ],
            accept_test_ins=self.accept_test_ins,
            sharing=[
                frozenset(keys(agreed.domains, f"sharing.{place}.domains"))
                for place, agreed in enumerate(self.sharing)
            ],
            priorities={
                domain.key: configured.priority
                for domain, configured in zip(domains, self.domains, strict=True)
            },
        )


def _check_archive(source: SourceSettings) -> None:
    if source.qido and source.find:
        raise SettingsError(f"sources.{source.name}: qido or find, not both: one archive for each source")
    if source.harvest and not (source.qido or source.find):
        raise SettingsError(f"sources.{source.name}.harvest: needs qido or find")
    parts = urlsplit(source.qido)
    if source.qido_tls is not None and parts.scheme != "https":
        raise SettingsError(f"sources.{source.name}.qido_tls: the address (qido) is not https")
    if source.harvest is None or source.harvest.allow_plain:
        return
    host = source.find.host if source.find else parts.hostname or ""
    is_plain = source.find.tls is None if source.find else parts.scheme == "http"
    if is_plain and not is_loopback(host):
        raise SettingsError(
            f"sources.{source.name}.{'find' if source.find else 'qido'}: not loopback, and without TLS identities "
            f"would travel in clear; sources.{source.name}.harvest.allow_plain = true accepts that"
        )


def load(path: Path | None = None, **overrides: Any) -> Settings:
    """
    Read the settings from a TOML file (if given) and the environment.

    Raises:
        SettingsError: the file is missing or unreadable, a key or a variable is unknown, or a value is
            wrong. The message names the key or the variable, never the value.
    """
    if path is not None and not path.is_file():
        raise SettingsError(f"{path}: no such file")
    for name, value in os.environ.items():
        if name.upper().startswith(_PREFIX):
            _check_variable(name, value)

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=path)

    try:
        return FromFile(**overrides)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'settings'}: {item['msg']}" for item in error.errors()
        )
        raise SettingsError(problems) from None
    except ValueError as error:  # not TOML at all
        raise SettingsError(f"{path}: {error}") from None


def _check_variable(name: str, value: str) -> None:
    """
    Refuse what pydantic-settings would ignore, or report with its value.

    Raises:
        SettingsError: no setting has that name, or it takes JSON and this is none.
    """
    kind: Any = Settings
    for step in name[len(_PREFIX) :].lower().split(_NESTING):
        section = _section(kind)
        setting = section.model_fields.get(step) if section is not None else None
        if setting is None:
            raise SettingsError(f"{name}: no setting has this name")
        kind = setting.annotation
    is_object = _section(kind) is not None
    if is_object or get_origin(kind) is list:
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict if is_object else list):
            raise SettingsError(f"{name}: expected a JSON {'object' if is_object else 'list'}")


def _section(kind: Any) -> type[BaseModel] | None:
    """The section a setting holds, if it may hold one."""
    kinds = (kind, *get_args(kind)) if get_origin(kind) is UnionType else (kind,)
    return next((one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)), None)
