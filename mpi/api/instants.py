"""The instants a request may name: those a record can be of."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError

from mpi.api.problems import IMPOSSIBLE_INSTANT

_DATE_FIRST = re.compile(r"\d{4}-", re.ASCII)
_YEARS = range(1900, 2201)
_FORM = "ISO 8601 with its offset, 1900 to 2200"


def _instant(stated: datetime) -> datetime:
    """The instant in UTC, where it may fall outside what a date can be."""
    with suppress(OverflowError):
        instant = stated.astimezone(UTC)
        if instant.year in _YEARS:
            return instant
    raise PydanticCustomError(IMPOSSIBLE_INSTANT, "the year must be from 1900 to 2200, in UTC")


def _written_as_such(stated: object) -> object:
    """A number would be read as seconds since 1970, which is not what is documented."""
    if isinstance(stated, str) and not _DATE_FIRST.match(stated):
        raise PydanticCustomError(IMPOSSIBLE_INSTANT, "an instant is ISO 8601 with its offset")
    return stated


Instant = Annotated[AwareDatetime, BeforeValidator(_written_as_such), AfterValidator(_instant)]
AsOf = Annotated[Instant | None, Query(description=f"Instant ({_FORM}) to answer for; now by default.")]
On = Annotated[Instant, Query(description=f"Instant ({_FORM}) of the question.")]
