"""
What this server does not do, each with the reason and with what to do instead.

Source: IHE PIXm 3.1, ITI-104 (a duplicate is resolved by a conditional update); FHIR R4 http.html.
"""

from typing import Annotated, Final, NoReturn

from fastapi import APIRouter, Path

from mpi.api.dependencies import MayReadInterface
from mpi.api.fhir.refusals import Refused

router = APIRouter(include_in_schema=False)

MERGE: Final = (
    "a merge is told by a conditional update of the identifier that goes: "
    "PUT Patient?identifier=system|value, active false, with a link replaced-by (ITI-104)"
)
DELETE: Final = (
    "nothing is deleted, and the option Remove of ITI-104 is not offered: an identifier that goes is replaced by "
    "another one, by PUT Patient?identifier=system|value, active false, with a link replaced-by (ITI-104)"
)
BY_ID: Final = (
    "a person is stated by an identifier of its site: PUT Patient?identifier=system|value (ITI-104)"
)
_OF_ALL, _OF_ONE = "GET, PUT", "GET"
_Id = Annotated[str, Path(alias="id", max_length=64)]


@router.post("/Patient/$merge", response_model=None)
def merge(_session: MayReadInterface) -> NoReturn:
    """Refuse a merge by operation."""
    raise Refused(501, "not-supported", MERGE)


@router.delete("/Patient", response_model=None)
def delete_by_identifier(_session: MayReadInterface) -> NoReturn:
    """Refuse a conditional delete."""
    raise Refused(405, "not-supported", DELETE, allow=_OF_ALL)


@router.delete("/Patient/{id}", response_model=None)
def delete(_id: _Id, _session: MayReadInterface) -> NoReturn:
    """Refuse a delete."""
    raise Refused(405, "not-supported", DELETE, allow=_OF_ONE)


@router.put("/Patient/{id}", response_model=None)
def update_by_id(_id: _Id, _session: MayReadInterface) -> NoReturn:
    """Refuse an update by the index's own identifier."""
    raise Refused(405, "not-supported", BY_ID, allow=_OF_ONE)


@router.post("/Patient", response_model=None)
def create(_session: MayReadInterface) -> NoReturn:
    """Refuse a creation without an identifier to do it under."""
    raise Refused(405, "not-supported", BY_ID, allow=_OF_ALL)
