"""
What people edit carries its version as an entity tag; who sends it back in `If-Match` changes that version or nothing.

Source: RFC 9110, 8.8.3 and 13.1.1.
"""

import re
from typing import Annotated

from fastapi import Header

from mpi.errors import PreconditionFailed

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match", max_length=256, description="ETag of what was read; 412 when it has changed since."
    ),
]
_TAG = re.compile(r'"([^"]*)"')


def etag(version: int) -> str:
    """The entity tag of a version."""
    return f'"{version}"'


def check_unchanged(if_match: str | None, version: int) -> None:
    """
    Refuse a change of what is no longer as it was read.

    Raises:
        PreconditionFailed: no tag that was sent is the present one. A weak tag is none (RFC 9110, 13.1.1).
    """
    if if_match is None or if_match.strip() == "*":
        return
    strong = {part.strip() for part in if_match.split(",")}
    if not any((found := _TAG.fullmatch(tag)) and found[1] == str(version) for tag in strong):
        raise PreconditionFailed(f"it is at version {version} now")
