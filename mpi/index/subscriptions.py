"""
What a FHIR subscription asks to be told of: the criteria of R4, as far as this index takes them.

Source: HL7 FHIR R4 Subscription.criteria; IHE ITI-94 (PMIR).
"""

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from mpi.errors import InvalidIdentity
from mpi.identity.domains import Domains
from mpi.identity.model import RecordKey

PLACE = "Subscription.criteria"
_TOO_LONG = 1_000


@dataclass(frozen=True, slots=True)
class Criteria:
    """
    Which people are told of.

    Args:
        person: id of one person, as answers give it (FHIR `Patient.id`); empty for anybody.
        domain: key of a domain that one of the identifiers has to be of; empty for any.
        value: what the identifier is; empty for any of that domain.
    """

    person: str = ""
    domain: str = ""
    value: str = ""

    @classmethod
    def parse(cls, text: str, domains: Domains) -> "Criteria":
        """
        Read `Patient`, `Patient?_id=ID`, or `Patient?identifier=[SYSTEM]|[VALUE]`.

        Raises:
            InvalidIdentity: it is none of these, or names a domain that is not known.
        """
        kind, has_query, query = text.strip().partition("?")
        if kind != "Patient" or len(text) > _TOO_LONG:
            raise InvalidIdentity(PLACE, "expected Patient, Patient?_id= or Patient?identifier=")
        if not has_query:
            return cls()
        asked = parse_qsl(query, keep_blank_values=True)
        if len(asked) != 1 or not asked[0][1]:
            raise InvalidIdentity(PLACE, "expected one parameter with a value")
        ((name, value),) = asked
        match name:
            case "_id":
                return cls(person=value)
            case "identifier":
                return cls._of_identifier(value, domains)
            case _:
                raise InvalidIdentity(PLACE, "expected _id or identifier")

    @classmethod
    def _of_identifier(cls, text: str, domains: Domains) -> "Criteria":
        system, has_system, value = text.partition("|")
        if not has_system:
            raise InvalidIdentity(PLACE, "an identifier needs its system")
        oid = unquote(system).removeprefix("urn:oid:")
        domain = domains.get(oid) or domains.by_namespace(system)
        if domain is None:
            raise InvalidIdentity(PLACE, "unknown identifier system")
        return cls(domain=domain.key, value=value)

    def takes(self, members: Collection[RecordKey], people: Collection[str]) -> bool:
        """
        Whether a change is asked about.

        Args:
            members: the identifiers of the person, those the subscriber may see.
            people: ids of the person, now and before the change.
        """
        if self.person:
            return self.person in people
        if not self.domain:
            return True
        return any(key.domain == self.domain and self.value in ("", key.value) for key in members)
