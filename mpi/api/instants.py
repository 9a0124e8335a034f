"""The instants a request may name: those a record can be of."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime
from pydantic_core import PydanticCustomError

from mpi.api.problems import IMPOSSIBLE_INSTANT

_YEARS = range(1900, 2201)
_FORM = "ISO 8601 with its offset, 1900 to 2200"


def _instant(stated: datetime) -> datetime:
    """The instant in UTC, where it may fall outside what a date can be."""
    with suppress(OverflowError):
        instant = stated.astimezone(UTC)
        if instant.year in _YEARS:
            return instant
    raise PydanticCustomError(IMPOSSIBLE_INSTANT, "the year must be from 1900 to 2200, in UTC")


Instant = Annotated[AwareDatetime, AfterValidator(_instant)]
AsOf = Annotated[Instant | None, Query(description=f"Instant ({_FORM}) to answer for; now by default.")]
On = Annotated[Instant, Query(description=f"Instant ({_FORM}) of the question.")]
