"""
The truth about records, and what two people are to each other: what strata are made of.
"""

from collections.abc import Mapping
from enum import StrEnum

from .events import StatedRecord
from .population import Person

TRUTH = (
    "record_id", "domain", "local_id", "person_id", "overlaid_person_id", "wrong", "household", "mother_id",
    "father_id", "kin", "birth_order", "sex", "birth_date", "birth_name", "given_name", "used_name", "naming",
    "born_abroad", "death_date",
)  # fmt: skip
"""Columns of the truth. Those after `wrong` are about the person, and empty for who does not exist."""


class Relation(StrEnum):
    """What two people are to each other, the closest first: what makes two records hard to tell apart."""

    SAME = "same"
    TWIN = "twin"
    PARENT_OF_ONE_NAME = "parent of one name"
    """Parent and child of one family name, first given name and sex."""
    SAME_DAY_NAMESAKE = "same-day namesake"
    """Strangers or cousins of one name, first given name, sex and birth date: proven homonyms."""
    SIBLING = "sibling"
    COUSIN = "cousin"
    NAMESAKE = "namesake"
    """One family name, first given name and sex, born another day."""
    HOUSEHOLD = "household"
    STRANGER = "stranger"


def relation(left: Mapping[str, str], right: Mapping[str, str]) -> Relation:
    """
    Say what two people are to each other.

    Args:
        left, right: rows of the truth, or `about` two people.
    """
    if left["person_id"] == right["person_id"]:
        return Relation.SAME
    siblings = left["mother_id"] == right["mother_id"] != ""
    same_house = left["household"] == right["household"] != ""
    same_day = left["birth_date"] == right["birth_date"] != ""
    namesakes = all(left[trait] == right[trait] != "" for trait in ("sex", "birth_name", "given_name"))
    parent = left["person_id"] in (right["mother_id"], right["father_id"])
    parent |= right["person_id"] in (left["mother_id"], left["father_id"])
    if same_house and same_day and left["birth_order"] and right["birth_order"]:
        return Relation.TWIN
    if parent and namesakes:
        return Relation.PARENT_OF_ONE_NAME
    if namesakes and same_day:
        return Relation.SAME_DAY_NAMESAKE
    if siblings:
        return Relation.SIBLING
    if left["kin"] == right["person_id"] or right["kin"] == left["person_id"]:
        return Relation.COUSIN
    if namesakes:
        return Relation.NAMESAKE
    return Relation.HOUSEHOLD if same_house else Relation.STRANGER


def about(person: Person) -> dict[str, str]:
    """What the truth says of a person, by column."""
    return {
        "person_id": person.person_id,
        "household": person.household,
        "mother_id": person.mother_id,
        "father_id": person.father_id,
        "kin": person.kin,
        "birth_order": str(person.birth_order or ""),
        "sex": person.sex,
        "birth_date": person.birth_date.isoformat(),
        "birth_name": person.birth_family,
        "given_name": person.given_names[0],
        "used_name": person.used_family,
        "naming": person.naming,
        "born_abroad": "Y" if person.born_abroad else "",
        "death_date": person.death_date.isoformat() if person.death_date else "",
    }


def truth_row(record: StatedRecord, people: Mapping[str, Person]) -> tuple[str, ...]:
    """Write the truth about a record, in the order of `TRUTH`."""
    person = people.get(record.person_id)
    known = about(person) if person else {}
    known |= {
        "record_id": record.record_id,
        "domain": record.site,
        "local_id": record.local_id,
        "person_id": record.person_id,
        "overlaid_person_id": record.overlaid_person_id,
        "wrong": " ".join(record.wrong),
    }
    return tuple(known.get(column, "") for column in TRUTH)
