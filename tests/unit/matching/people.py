"""People for the tests of matching, by the traits that matter in them."""

from typing import Any

from mpi.identity.model import Demographics, NameUse, PartialDate, PersonName
from mpi.identity.traits import Traits, normalise


def person(
    family: str = "LEFEBVRE", given: str = "CAMILLE", born: str = "19630405", sex: str = "F", **rest: Any
) -> Traits:
    """Somebody; `used` is a used name, `given_list` every given name, the rest as in Demographics."""
    used, given_list = rest.pop("used", ""), rest.pop("given_list", "")
    names = [PersonName(family, given, given_list, use=NameUse.BIRTH)]
    if used:
        names.append(PersonName(used, given, use=NameUse.USED))
    return normalise(
        Demographics(
            names=tuple(names),
            birth_date=PartialDate.parse(born) if born else None,
            sex=sex,
            **rest,
        )
    )


HOME = {
    "birth_place_code": "59350",
    "postal_code": "59000",
    "city": "LILLE",
    "phones": ("0612345678",),
}
"""A birth place, a home and a phone: what corroborates a name and a date."""
