"""People, and the keys that ask about them, for the tests of the FHIR interface."""

from typing import Any

from mpi.security.keys import Role
from tests.fakes import MemoryStore
from tests.federation import person
from tests.integration.api.served import Served

A, B, C, OWN = ("urn:oid:2.999.1.1", "urn:oid:2.999.1.2", "urn:oid:2.999.1.3", "urn:oid:2.999.1")
INS_TEST_OID = "1.2.250.1.213.1.4.10"
LOUISE_INS = "284022999912354"
PATIENT = "/fhir/Patient"


def louise(**more: Any):
    """Louise CHANTEREAU, married MARTIN, qualified."""
    known = {
        "ins": LOUISE_INS,
        "ins_oid": INS_TEST_OID,
        "identity_codes": ("VALI",),
        "address": "12 RUE DES LILAS",
        "city": "LIMOGES",
        "postal_code": "87000",
        "country": "FRA",
        "phones": ("0555010203",),
        "emails": ("l@example.org",),
        "mother_birth_name": "ROUXEL",
        "multiple_birth": False,
    }
    return person(used="MARTIN", **{**known, **more})


def served_people(store: MemoryStore) -> Served:
    """
    A1001 and B77 are Louise, qualified; A0900 was merged into A1001. C5 is Yann, A5 is Paul, of Louise's name.

    Everything is stated at one minute's distance. `ris-a` and `ris-b` may feed.
    """
    served = Served(store)
    served.add_key("ris-a", Role.SITE, "A")
    world = served.world
    world.state("A", "A1001", louise(), minute=1)
    world.state("A", "A0900", louise(), minute=2)
    world.state("B", "B77", louise(), minute=3)
    world.state("C", "C5", person("MAHÉ", "YANN", "1999-01-05", "M", city="BREST"), minute=4)
    world.merge("A", "A1001", "A0900", minute=5)
    world.state("A", "A5", person("CHANTEREAU", "PAUL", "1984-03-01", "M"), minute=6)
    return served


def fed(answer: Any) -> Any:
    """The body of an answer that is a success."""
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def found(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    """The people of a searchset."""
    return [entry["resource"] for entry in bundle.get("entry", []) if entry["search"]["mode"] == "match"]


def ids(bundle: dict[str, Any]) -> set[str]:
    """Identifiers of the people found, `A1001` and such."""
    return {item["value"] for each in found(bundle) for item in each.get("identifier", [])}
