"""
Guards: what no weight can outvote.

A guard caps a pair at clerical review, or forbids the link: then the pair is evidence of two
people, and a set that holds both is refused. Guards look at the two identities and at their
comparison vector, never at the weight, and each is symmetric.

Source: RNIV (attributes of an identity); Insee, structure of the NIR, for consecutive ranks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from mpi.identity.ins import NEVER_ANSWERED, IdentityAttribute
from mpi.identity.traits import Traits
from mpi.matching.comparisons import MISSING, POSITION, ComparisonVector, level_numbers

PARENT_AGE_YEARS = 14
"""The least age at which a parent may have the child who carries the same name."""


class Effect(StrEnum):
    """What a guard does to a pair."""

    CAP_AT_REVIEW = "cap_at_review"
    FORBID = "forbid"


@dataclass(frozen=True, slots=True)
class Guard:
    """A rule with a name, which the explanation and the review task carry."""

    name: str
    effect: Effect
    applies: Callable[[Traits, Traits, ComparisonVector], bool]


_FAMILY, _GIVEN, _DATE = POSITION["family_name"], POSITION["given_name"], POSITION["birth_date"]
_SEX, _PLACE, _HOME, _INS = POSITION["sex"], POSITION["birth_place"], POSITION["residence"], POSITION["ins"]
_PHONE, _EMAIL, _NATIONAL = POSITION["phone"], POSITION["email"], POSITION["national_id"]
_MOTHER = POSITION["mother_birth_name"]

_FAMILY_ONE = level_numbers("family_name", "birth_exact", "cross_exact", "repaired", "part_of", "one_edit")
_FAMILY_LOOSE = level_numbers("family_name", "jaro_winkler", "phonetic", "different_women", "different")
_FAMILY_SWAPPED = level_numbers("family_name", "order_swapped")
_FAMILY_AGREES = _FAMILY_ONE | level_numbers("family_name", "order_swapped", "jaro_winkler", "phonetic")
_FAMILY_DIFFERS = level_numbers("family_name", "different", "different_women")
_GIVEN_SAME = level_numbers("given_name", "list_exact", "exact", "exact_others_differ", "joined", "repaired")
_GIVEN_AGREES = _GIVEN_SAME | level_numbers(
    "given_name", "in_list", "variant", "partial", "near_other_name", "near"
)
_GIVEN_OTHER_NAME = level_numbers("given_name", "near_other_name")
_GIVEN_LOOSE = level_numbers("given_name", "in_list", "partial", "near_other_name", "alike", "different")
_GIVEN_OTHERS_DIFFER = level_numbers("given_name", "exact_others_differ")
_GIVEN_DIFFERS = level_numbers("given_name", "different")
_DATE_SAME = level_numbers("birth_date", "exact", "exact_first_of_month", "exact_default")
_DATE_AGREES = _DATE_SAME | level_numbers(
    "birth_date", "day_month_swap", "year_off", "transposed", "one_digit"
)
_DATE_ON_DEFAULT = level_numbers("birth_date", "exact_default", "default_same_year")
_DATE_DIFFERS = level_numbers("birth_date", "different")
_SEX_DIFFERS = level_numbers("sex", "different")
_PLACE_SAME = level_numbers("birth_place", "same_code", "same_place", "same_text", "near_text")
_HOME_SAME = level_numbers(
    "residence",
    "same_address",
    "near_address",
    "another_street",
    "same_postal_code",
    "same_city",
)
_PHONE_SAME, _EMAIL_SAME = level_numbers("phone", "in_common"), level_numbers("email", "in_common")
_NATIONAL_SAME = level_numbers("national_id", "same")
_INS_SAME = level_numbers("ins", "same", "same_other_birth_date")
"""Without `same_embedded_differs`: a parent's number on two children speaks for neither."""
_INS_SHARED = _INS_SAME | level_numbers("ins", "same_embedded_differs")
_INS_DIFFERS = level_numbers("ins", "different")

_MOTHER_AGREES = level_numbers("mother_birth_name", "exact", "near")
_PLACE_DIFFERS = level_numbers("birth_place", "same_department", "different")
_HOME_DIFFERS = level_numbers("residence", "same_department", "different")
_PHONE_DIFFERS, _EMAIL_DIFFERS = level_numbers("phone", "different"), level_numbers("email", "different")

_HOMONYMS = frozenset({IdentityAttribute.HOMONYM, IdentityAttribute.HOMONYM_SUSPECTED})


def _protected_identity(left: Traits, right: Traits, _vector: ComparisonVector) -> bool:
    return bool((left.attributes | right.attributes) & NEVER_ANSWERED)


def _ins_conflict(left: Traits, right: Traits, vector: ComparisonVector) -> bool:
    return vector[_INS] in _INS_DIFFERS and bool(left.qualified_ins) and bool(right.qualified_ins)


def _consecutive_ranks(left: Traits, right: Traits) -> bool:
    """Two births registered one after the other in one place and month; the sex may differ."""
    a, b = left.ins, right.ins
    if len(a) < 13 or len(b) < 13 or a[1:10] != b[1:10]:
        return False
    return a[10:13].isdigit() and b[10:13].isdigit() and abs(int(a[10:13]) - int(b[10:13])) == 1


def _orders_differ(left: Traits, right: Traits) -> bool:
    a, b = left.birth_order, right.birth_order
    return a is not None and b is not None and a != b


def _born_together(vector: ComparisonVector) -> bool:
    """One family name, but for a slip, same whole birth date, birth place not known to differ."""
    return (
        vector[_FAMILY] in _FAMILY_ONE
        and vector[_DATE] in _DATE_SAME
        and (vector[_PLACE] == MISSING or vector[_PLACE] in _PLACE_SAME)
    )


def _twins(left: Traits, right: Traits, vector: ComparisonVector) -> bool:
    if not _born_together(vector) or vector[_INS] in _INS_SAME or vector[_EMAIL] in _EMAIL_SAME:
        return False  # a number or a mailbox in common speaks for one person under two given names
    if vector[_GIVEN] in _GIVEN_DIFFERS:
        return True
    if vector[_GIVEN] in _GIVEN_SAME:
        return False
    return _orders_differ(left, right) or _consecutive_ranks(left, right)


def _multiple_birth(left: Traits, right: Traits, vector: ComparisonVector) -> bool:
    """What `twins` leaves: signs of a multiple birth that the given names do not settle."""
    if not _born_together(vector) or _twins(left, right, vector):
        return False
    if _orders_differ(left, right) or _consecutive_ranks(left, right):
        return True
    if vector[_GIVEN] in _GIVEN_OTHER_NAME:
        return vector[_INS] not in _INS_SAME and vector[_EMAIL] not in _EMAIL_SAME
    # JOSE LUIS and JOSE PAULO of one birth: the first name is half of a compound that a list took apart.
    settled = _GIVEN_SAME - _GIVEN_OTHERS_DIFFER
    return (left.multiple_birth or right.multiple_birth) and vector[_GIVEN] not in settled


def _parent_and_child(left: Traits, right: Traits, vector: ComparisonVector) -> bool:
    if vector[_FAMILY] not in _FAMILY_AGREES or vector[_GIVEN] not in _GIVEN_AGREES:
        return False
    a, b = left.birth_date, right.birth_date
    return a is not None and b is not None and abs(a.year - b.year) >= PARENT_AGE_YEARS


def _newborn(left: Traits, right: Traits, _vector: ComparisonVector) -> bool:
    return left.newborn or right.newborn


def _default_date(_left: Traits, _right: Traits, vector: ComparisonVector) -> bool:
    """A date written for want of the true one proves nothing: something besides names must agree."""
    if vector[_DATE] not in _DATE_ON_DEFAULT:
        return False
    return not _corroborated(vector)


def _corroborated(vector: ComparisonVector) -> bool:
    """Whether something besides names, birth date and sex agrees."""
    return (
        vector[_PLACE] in _PLACE_SAME
        or vector[_HOME] in _HOME_SAME
        or vector[_PHONE] in _PHONE_SAME
        or vector[_INS] in _INS_SAME
        or vector[_EMAIL] in _EMAIL_SAME
        or vector[_NATIONAL] in _NATIONAL_SAME
        or vector[_MOTHER] in _MOTHER_AGREES
    )


def _uncorroborated(_left: Traits, _right: Traits, vector: ComparisonVector) -> bool:
    """
    Homonyms and twins look like this: names or date agree loosely, or something disagrees.

    Names and a birth date that agree, but for a slip of the pen in a name, stand alone only while
    nothing speaks against them: two people of one name born on one day are told apart by where
    they were born, live and answer the phone.
    """
    if _corroborated(vector):
        return False
    if vector[_FAMILY] in _FAMILY_LOOSE or vector[_GIVEN] in _GIVEN_LOOSE or vector[_DATE] not in _DATE_SAME:
        return True
    return (
        vector[_PLACE] in _PLACE_DIFFERS
        or vector[_HOME] in _HOME_DIFFERS
        or vector[_PHONE] in _PHONE_DIFFERS
        or vector[_EMAIL] in _EMAIL_DIFFERS
    )


def _shared_ins(_left: Traits, _right: Traits, vector: ComparisonVector) -> bool:
    """One number, two sets of traits: a parent's INS on a child, or a number typed twice."""
    if vector[_INS] not in _INS_SHARED:
        return False
    return vector[_DATE] in _DATE_DIFFERS or vector[_GIVEN] in _GIVEN_DIFFERS or vector[_SEX] in _SEX_DIFFERS


def _ins_differs(_left: Traits, _right: Traits, vector: ComparisonVector) -> bool:
    return vector[_INS] in _INS_DIFFERS


def _unreliable_identity(left: Traits, right: Traits, _vector: ComparisonVector) -> bool:
    return not (left.may_be_linked_automatically and right.may_be_linked_automatically)


def _homonym(left: Traits, right: Traits, vector: ComparisonVector) -> bool:
    if not (left.attributes | right.attributes) & _HOMONYMS:
        return False
    return not (vector[_INS] in _INS_SAME and left.qualified_ins and right.qualified_ins)


def _sex_and_given_name(_left: Traits, _right: Traits, vector: ComparisonVector) -> bool:
    return vector[_SEX] in _SEX_DIFFERS and vector[_GIVEN] not in _GIVEN_SAME


def _insufficient_evidence(_left: Traits, _right: Traits, vector: ComparisonVector) -> bool:
    """Less than a family name, a given name and a whole birth date that agree, or an INS with one of them."""
    family = vector[_FAMILY] in _FAMILY_AGREES
    given = vector[_GIVEN] in _GIVEN_AGREES or vector[_FAMILY] in _FAMILY_SWAPPED
    date = vector[_DATE] in _DATE_AGREES
    if family and given and date:
        return False
    return not (vector[_INS] in _INS_SAME and (family or given) and vector[_DATE] not in _DATE_DIFFERS)


GUARDS: tuple[Guard, ...] = (
    Guard("protected_identity", Effect.FORBID, _protected_identity),
    Guard("ins_conflict", Effect.FORBID, _ins_conflict),
    Guard("twins", Effect.FORBID, _twins),
    Guard("multiple_birth", Effect.CAP_AT_REVIEW, _multiple_birth),
    Guard("parent_and_child", Effect.CAP_AT_REVIEW, _parent_and_child),
    Guard("newborn", Effect.CAP_AT_REVIEW, _newborn),
    Guard("default_date", Effect.CAP_AT_REVIEW, _default_date),
    Guard("shared_ins", Effect.CAP_AT_REVIEW, _shared_ins),
    Guard("ins_differs", Effect.CAP_AT_REVIEW, _ins_differs),
    Guard("unreliable_identity", Effect.CAP_AT_REVIEW, _unreliable_identity),
    Guard("homonym", Effect.CAP_AT_REVIEW, _homonym),
    Guard("sex_and_given_name", Effect.CAP_AT_REVIEW, _sex_and_given_name),
    Guard("uncorroborated", Effect.CAP_AT_REVIEW, _uncorroborated),
    Guard("insufficient_evidence", Effect.CAP_AT_REVIEW, _insufficient_evidence),
)
"""In the order they are named in a scored pair."""

FORBIDDING = frozenset(guard.name for guard in GUARDS if guard.effect is Effect.FORBID)
SPEAKING_AGAINST = FORBIDDING | {
    "multiple_birth",
    "parent_and_child",
    "shared_ins",
    "ins_differs",
    "homonym",
    "sex_and_given_name",
}
"""Signs of two people. The others only say that too little is known: a third record may supply it."""
ALERTING = frozenset({"ins_conflict", "shared_ins"})
"""Worth a person's look even when the pair is no link: a national number is wrong somewhere."""
_RULES = tuple((guard.name, guard.applies) for guard in GUARDS)


def guards_that_apply(left: Traits, right: Traits, vector: ComparisonVector) -> tuple[str, ...]:
    """The names of the guards that apply to a pair, in order."""
    return tuple([name for name, applies in _RULES if applies(left, right, vector)])
