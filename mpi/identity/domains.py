"""
Domains: the assigning authorities this index knows, and how a partial name of one is completed.

The key of a domain is its universal id and type and, for the French national identifiers,
the type code as well: `NH` and `INS` share an OID and are two domains.

Source: IHE ITI TF-2 appendix N (HD); Annex N 1.8.1 (French OIDs); ITI-8 section 3.8 (completion
by the manager's configuration).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mpi.errors import SettingsError, UnknownAuthority
from mpi.identity.ins import INS_DEMO_OID, INS_NIA_OID, INS_NIR_OID, INS_OIDS, INS_TEST_OID
from mpi.identity.model import AssigningAuthority, PatientIdentifier

INSURANCE_TYPE = "NH"
INS_TYPE = "INS"
_NATIONAL_NAMESPACES = {
    "ASIP-SANTE-INS-NIR": (INS_NIR_OID, INS_TYPE),
    "ASIP-SANTE-INS-NIA": (INS_NIA_OID, INS_TYPE),
    "ASIP-SANTE-NIR": (INS_NIR_OID, INSURANCE_TYPE),
}


def ins_domain_key(oid: str) -> str:
    """
    The key of the domain of one INS OID. It is nobody's local domain: no source feeds it, no consumer sees it.
    """
    return f"{oid}:{INS_TYPE}"


INS_DOMAINS = frozenset(map(ins_domain_key, INS_OIDS))
"""Keys of the domains whose identifiers are INS: those of the manifests of the sharing project."""


@dataclass(frozen=True, slots=True)
class Domain:
    """One identifier domain: its key in this index, and its authority, always complete."""

    key: str
    authority: AssigningAuthority


def authority_key(authority: AssigningAuthority) -> str:
    """The key of a complete authority: the OID itself for ISO, `type:id` for the others."""
    if authority.universal_id_type == "ISO":
        return authority.universal_id
    return f"{authority.universal_id_type}:{authority.universal_id}"


class Domains:
    """
    The configured domains, by namespace and by universal id.

    Args:
        authorities: the local domains, each with namespace, universal id and type.

    Raises:
        SettingsError: two domains share a namespace or a universal id, or one is incomplete.
    """

    def __init__(self, authorities: Iterable[AssigningAuthority]) -> None:
        self._by_namespace: dict[str, Domain] = {}
        self._by_universal_id: dict[tuple[str, str], Domain] = {}
        self._by_key: dict[str, Domain] = {}
        for authority in authorities:
            if not (authority.namespace and authority.universal_id and authority.universal_id_type):
                raise SettingsError("domains: each needs a namespace, a universal id and its type")
            if authority.universal_id in INS_OIDS:
                raise SettingsError(f"domains: {authority.namespace} uses a national OID")
            domain = Domain(authority_key(authority), authority)
            if authority.namespace in self._by_namespace or domain.key in self._by_key:
                raise SettingsError(f"domains: {authority.namespace} or its universal id is declared twice")
            self._by_namespace[authority.namespace] = domain
            self._by_universal_id[(authority.universal_id, authority.universal_id_type)] = domain
            self._by_key[domain.key] = domain

    def __iter__(self) -> Iterator[Domain]:
        return iter(self._by_key.values())

    def resolve(self, authority: AssigningAuthority, *, place: str) -> Domain:
        """
        Complete an authority named by namespace, by universal id and type, or by all three.

        Args:
            authority: as received; see `national_type` for INS and NH, which are not local domains.
            place: where it was named, for the error.

        Raises:
            UnknownAuthority: incomplete (an id without its type, a type without its id), unknown,
                or the parts denote two different authorities.
        """
        if bool(authority.universal_id) != bool(authority.universal_id_type):
            raise UnknownAuthority(place, "universal id and its type go together")
        if authority.universal_id:
            by_id = self._by_universal_id.get((authority.universal_id, authority.universal_id_type))
            if by_id is None:
                raise UnknownAuthority(place)
            if authority.namespace and authority.namespace != by_id.authority.namespace:
                raise UnknownAuthority(place, "namespace and universal id denote two authorities")
            return by_id
        by_namespace = self._by_namespace.get(authority.namespace)
        if by_namespace is None:
            raise UnknownAuthority(place)
        return by_namespace

    def by_key(self, key: str) -> Domain:
        """The domain of a key this index itself stored."""
        return self._by_key[key]

    def get(self, key: str) -> Domain | None:
        """The domain of a key, if it is still configured."""
        return self._by_key.get(key)

    def by_namespace(self, namespace: str) -> Domain | None:
        """The domain of a namespace as the configuration spells it."""
        return self._by_namespace.get(namespace)


def is_national(authority: AssigningAuthority) -> bool:
    """Whether a French national authority issued it, whichever number it is."""
    return authority.universal_id in INS_OIDS or authority.namespace in _NATIONAL_NAMESPACES


def national_type(identifier: PatientIdentifier, *, bare_oid: str = INS_TYPE) -> str:
    """
    `INS`, `NH` or empty: whether an identifier is a French national one, and which.

    The type (CX-5) decides when it is there, and any type but those two is neither: the insured
    parent's number (`SS`) is issued under the same OID. Without a type, the namespace decides.

    Args:
        bare_oid: what a national OID means with neither type nor namespace. A DICOM header often
            has nothing better to say that it is an INS; an HL7 sender has CX-5, and nothing is guessed.

    Source: Annex N 1.8.1; PAM-FR 2.11 PID-3.
    """
    if not is_national(identifier.authority):
        return ""
    if identifier.type_code:
        return identifier.type_code if identifier.type_code in (INS_TYPE, INSURANCE_TYPE) else ""
    named = _NATIONAL_NAMESPACES.get(identifier.authority.namespace)
    return named[1] if named is not None else bare_oid


def ins_oid(identifier: PatientIdentifier) -> str:
    """The OID of an INS identifier, from the OID itself or from its namespace."""
    if identifier.authority.universal_id:
        return identifier.authority.universal_id
    return _NATIONAL_NAMESPACES.get(identifier.authority.namespace, (INS_NIR_OID, INS_TYPE))[0]


TEST_INS_OIDS = frozenset({INS_TEST_OID, INS_DEMO_OID})
