"""People as a search answers them, for the messages that are written of them."""

from datetime import UTC, datetime
from typing import Any

from mpi.identity.model import Demographics, NameUse, PartialDate, PatientIdentifier, PersonName, RecordKey
from mpi.identity.traits import Traits
from mpi.index.answers import MemberView
from mpi.index.golden import GoldenField
from mpi.index.ports import StoredRecord
from mpi.index.search import Found, Person, Why
from tests.unit.feeds.hl7v2.fakes import SITE_A, SITE_B, SITE_C

SINCE = datetime(2026, 3, 2, 8, tzinfo=UTC)
_AUTHORITIES = {"A": SITE_A, "B": SITE_B, "C": SITE_C}


def member(site: str, value: str, number: int, *, retired: bool = False) -> MemberView:
    authority = _AUTHORITIES[site]
    key = RecordKey(authority.universal_id, value)
    record = StoredRecord(number, key, f"E{number}", SINCE, Demographics(), Traits())
    return MemberView(record, PatientIdentifier(value, authority, "PI"), retired)


def person(
    number: int = 1,
    identifiers: str = "A:A1001 B:B77",
    *,
    retired: str = "",
    doubtful: bool = False,
    **golden: Any,
) -> Person:
    """Louise, unless something else is said of her; `identifiers` as `A:A1001 B:B77`."""
    fields = {
        "birth_name": PersonName("CHANTEREAU", "LOUISE", use=NameUse.BIRTH),
        "birth_date": PartialDate(1984, 2, 29),
        "sex": "F",
        "address": "12 RUE DES LILAS",
        "city": "LIMOGES",
        "postal_code": "87000",
        "country": "FRA",
        **golden,
    }
    members = tuple(
        member(site, value, number * 10 + rank, retired=value in retired.split())
        for rank, (site, value) in enumerate(each.split(":") for each in identifiers.split())
    )
    source = RecordKey("2.999.1.1", "A1001")
    shown = {name: GoldenField(value, source, SINCE) for name, value in fields.items() if value}
    return Person(f"E{number}", members, shown, doubtful)


def found(one: Person, likeness: float = 1.0, **why: Why) -> Found:
    return Found(one, why or {"family": Why.SAME}, likeness)
