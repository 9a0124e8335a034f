"""Patient/{id} as this server writes it, and as callers write it back."""

from fastapi import Request

from mpi.api.dependencies import Session
from mpi.api.fhir.systems import own_system
from mpi.api.problems import FHIR_PREFIX

_PATIENT = "Patient/"


def base_of(request: Request) -> str:
    """The address of this FHIR server, as the caller wrote it."""
    return f"{str(request.base_url).rstrip('/')}{FHIR_PREFIX}"


def person_in(request: Request, session: Session, system: str, value: str) -> str | None:
    """
    The person that `system|value` names by an identifier of this index's own; None when it names none.

    Either the index's own system and the identifier, or this server's base and `Patient/{id}`
    (a logical id, ITI-83). Nobody's, for callers who may not be told such identifiers.
    """
    if not session.sees_euids:
        return None
    if system == own_system(session):
        return value
    if system.rstrip("/") == base_of(request) and value.startswith(_PATIENT):
        return value.removeprefix(_PATIENT)
    return None
