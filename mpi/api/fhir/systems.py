"""
Identifier systems and tokens: `system|value`, and the domains a caller may see.

Source: FHIR R4 search.html#token; IHE ITI TF-2 appendix E.3 (`urn:oid:`).
"""

from mpi.api.dependencies import Session
from mpi.api.fhir.refusals import Refused
from mpi.errors import InvalidIdentity
from mpi.feeds.fhir.patient import system_of
from mpi.feeds.national import accepted_ins_oids
from mpi.identity.tabular import text_of


def visible_systems(session: Session) -> dict[str, str]:
    """System -> domain key, of the domains the caller may see: another is answered as unknown."""
    return {
        system_of(domain.authority): domain.key
        for domain in session.directory.domains
        if domain.key in session.visible
    }


def own_system(session: Session) -> str | None:
    """The system of enterprise identifiers, for callers who may be told them."""
    return system_of(session.directory.own) if session.sees_euids else None


def ins_systems(session: Session) -> dict[str, str]:
    """System -> OID, of the national identities that people are looked for by here."""
    oids = accepted_ins_oids(accept_test_ins=session.directory.accept_test_ins)
    return {f"urn:oid:{oid}": oid for oid in oids}


def unescaped(text: str) -> str:
    """A value whose bars, commas and dollars were escaped with a backslash."""
    for escaped in "\\|", "\\,", "\\$", "\\\\":
        text = text.replace(escaped, escaped[1])
    return text


def split_escaped(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that are not escaped; still escaped."""
    parts = [""]
    escaped = False
    for character in text:
        if character == separator and not escaped:
            parts.append("")
            continue
        escaped = character == "\\" and not escaped
        parts[-1] += character
    return parts


def token_of(text: str, *, place: str) -> tuple[str, str]:
    """
    `system|value`, both there.

    Raises:
        Refused: 400, it is not.
    """
    system, bar, value = text.partition("|")
    if not (system and bar and value):
        raise Refused(400, "invalid", f"{place} is malformed (expected system|value)")
    return system, unescaped(value)


def clean(place: str, text: str) -> str:
    """
    A text as this index compares it.

    Raises:
        Refused: 400, it holds what no text of ours may.
    """
    try:
        return text_of(place, text)
    except InvalidIdentity as error:
        raise Refused(400, "invalid", str(error)) from None
