"""
How often clerks and machines get identities wrong, and by which operators.

Three profiles. `TUNING` and `JUDGING` have different rates and no operator in common, so that a model tuned
on one is not judged on its own mirror; both know every kind of slip. `STRESS` is a bad day: every operator,
three times the errors, many duplicates and namesakes.
"""

from dataclasses import dataclass, replace

from . import forms, operators, reference
from .forms import FamilyForm, GivenForm, Spelling
from .operators import DateSlip, DefaultDate, NameSlip


@dataclass(frozen=True, slots=True)
class Profile:
    """
    How often things go wrong. Every rate is per record unless it says otherwise; a site scales them.

    Args:
        name_slips, date_slips: operators on a name, on a birth date, and their weights.
        default_date_as: what is written for want of the true date.
        variant_kinds: kinds of given-name variants that clerks type.
        family_forms, given_forms: other ways to write a name that has them; `arabic_forms` besides, for names
            of the Maghreb, and `spelling` for transliterated ones.
        other_form: per name that has another form.
        born_abroad_factor: how much more often a name or date of someone born abroad goes wrong.
        duplicate_factor: the same for a second record of one site: errors are why it exists.
        used_name_as_birth: per record of who uses another name.
        given_name_cut: per compound given name, JEAN-PIERRE stated as JEAN.
        default_date: a date nobody asked for; see `default_date_as`.
        year_only: at the sites that take a partial date.
        newborn_unnamed: per record opened in the first days of life.
        parent_ins: per minor's record with an INS.
        present_code: per birth in a commune whose code changed since, the code of today.
        placeholder: an unknown patient received, or a test patient: INCONNU, TEST TEST.
        duplicates: second records within a site.
        updates: later A31 or A08 per HL7 record.
        duplicates_merged: A40 per HL7 duplicate.
        overlays: per HL7 record, its number given to somebody else later.
        same_day_namesakes: pairs per person who share names, sex and birth date by chance.
    """

    name: str
    name_slips: tuple[tuple[NameSlip, float], ...]
    date_slips: tuple[tuple[DateSlip, float], ...]
    default_date_as: DefaultDate
    variant_kinds: frozenset[str]
    family_forms: tuple[FamilyForm, ...]
    given_forms: tuple[GivenForm, ...]
    arabic_forms: tuple[FamilyForm, ...]
    spelling: Spelling
    other_form: float
    family_typo: float
    given_typo: float
    given_variant: float
    given_name_cut: float
    second_given_first: float
    names_swapped: float
    used_name_as_birth: float
    date_wrong: float
    default_date: float
    year_only: float
    sex_wrong: float
    birth_place_wrong: float
    present_code: float
    phone_wrong: float
    old_address: float
    newborn_unnamed: float
    parent_ins: float
    placeholder: float
    born_abroad_factor: float
    duplicate_factor: float
    duplicates: float
    updates: float
    duplicates_merged: float
    overlays: float
    same_day_namesakes: float


JUDGING = Profile(
    name="judging",
    name_slips=(
        (operators.insert_letter, 1.0),
        (operators.delete_letter, 1.6),
        (operators.neighbouring_key, 1.4),
        (operators.same_sound, 2.0),
        (operators.two_keys, 0.5),
    ),
    date_slips=(
        (operators.day_as_month, 1.2),
        (operators.digit_of_day, 1.8),
        (operators.year_before_or_after, 0.8),
        (operators.another_month, 0.5),
        (operators.another_date, 0.3),
    ),
    default_date_as=operators.first_of_january,
    variant_kinds=frozenset({"nick", "initials", "translit", "split", "contraction", "gender-typo"}),
    family_forms=(forms.particle_joined, forms.first_family),
    given_forms=(forms.given_joined,),
    arabic_forms=(forms.ben_apart,),
    spelling=forms.ARABIC_AS_HEARD,
    other_form=0.04,
    family_typo=0.013,
    given_typo=0.01,
    given_variant=0.01,
    given_name_cut=0.05,
    second_given_first=0.005,
    names_swapped=0.002,
    used_name_as_birth=0.16,
    date_wrong=0.0075,
    default_date=0.0008,
    year_only=0.0008,
    sex_wrong=0.002,
    birth_place_wrong=0.01,
    present_code=0.2,
    phone_wrong=0.01,
    old_address=0.5,
    newborn_unnamed=0.7,
    parent_ins=0.003,
    placeholder=0.002,
    born_abroad_factor=1.8,
    duplicate_factor=4.0,
    duplicates=0.03,
    updates=0.08,
    duplicates_merged=0.5,
    overlays=0.003,
    same_day_namesakes=1 / 20_000,
)
TUNING = Profile(
    name="tuning",
    name_slips=(
        (operators.any_letter, 1.0), (operators.transpose_letters, 1.5), (operators.double_letter, 1.3),
        (operators.misheard_letter, 1.0), (operators.same_ending, 1.2), (operators.two_letters, 0.5),
    ),
    date_slips=(
        (operators.american_date, 1.3), (operators.transpose_digits, 1.0), (operators.line_of_another_year, 1.0),
        (operators.another_day, 0.9), (operators.two_parts_misread, 0.3),
    ),
    default_date_as=operators.turn_of_the_year,
    variant_kinds=frozenset({"spell", "variant", "breton", "foreign", "abbrev", "gender"}),
    family_forms=(
        forms.particle_dropped, forms.particle_hyphenated, forms.last_family, forms.families_reversed,
    ),
    given_forms=(forms.given_hyphenated, forms.given_last_word),
    arabic_forms=(),
    spelling=forms.ARABIC_AS_READ,
    other_form=0.035,
    family_typo=0.0125,
    given_typo=0.0105,
    given_variant=0.008,
    given_name_cut=0.06,
    second_given_first=0.004,
    names_swapped=0.003,
    used_name_as_birth=0.17,
    date_wrong=0.007,
    default_date=0.001,
    year_only=0.001,
    sex_wrong=0.0025,
    birth_place_wrong=0.008,
    present_code=0.25,
    phone_wrong=0.02,
    old_address=0.4,
    newborn_unnamed=0.5,
    parent_ins=0.002,
    placeholder=0.003,
    born_abroad_factor=1.5,
    duplicate_factor=3.0,
    duplicates=0.032,
    updates=0.08,
    duplicates_merged=0.5,
    overlays=0.005,
    same_day_namesakes=1 / 20_000,
)  # fmt: skip
_THREE_TIMES = (
    "other_form", "family_typo", "given_typo", "given_variant", "given_name_cut", "second_given_first",
    "names_swapped", "used_name_as_birth", "date_wrong", "default_date", "year_only", "sex_wrong",
    "birth_place_wrong", "phone_wrong", "parent_ins", "placeholder",
)  # fmt: skip
STRESS = replace(
    JUDGING,
    name="stress",
    name_slips=JUDGING.name_slips + TUNING.name_slips,
    date_slips=JUDGING.date_slips + TUNING.date_slips,
    default_date_as=operators.turn_of_the_year,
    variant_kinds=JUDGING.variant_kinds | TUNING.variant_kinds,
    family_forms=JUDGING.family_forms + TUNING.family_forms,
    given_forms=JUDGING.given_forms + TUNING.given_forms,
    spelling=JUDGING.spelling + TUNING.spelling,
    duplicate_factor=2.0,
    duplicates=0.15,
    overlays=0.01,
    same_day_namesakes=1 / 1_500,
    **{rate: 3 * getattr(JUDGING, rate) for rate in _THREE_TIMES},
)
PROFILES = {profile.name: profile for profile in (JUDGING, TUNING, STRESS)}


def variants_of(given: str, kinds: frozenset[str]) -> list[str]:
    """Other forms of a given name, of some kinds."""
    return [short for short, kind in reference.given_name_variants().get(given, ()) if kind in kinds]
