"""
Why: the evidence of a scored pair in bits and in words, and what would change the decision.

No demographics, so it may be logged or shown: a trait is named, and how many people share a value,
never the value.
"""

from typing import Literal

from mpi.matching.counterfactual import Change, Counterfactual
from mpi.matching.decision import Decision
from mpi.matching.model import RELATIVES, Evidence
from mpi.matching.online import ScoredPair

Language = Literal["fr", "en"]

_LEVELS: dict[str, dict[str, tuple[str, str]]] = {
    "family_name": {
        "birth_exact": ("nom de naissance identique", "same birth name"),
        "cross_exact": ("nom identique, de naissance ou utilisé", "same name, birth or used"),
        "repaired": (
            "nom identique, une fois réparées ou transcrites des lettres",
            "same family name, once letters are repaired or transliterated",
        ),
        "order_swapped": ("nom et prénom inversés", "family and given name exchanged"),
        "part_of": ("nom composé ou partiel", "compound or partial family name"),
        "one_edit": ("nom à une lettre près", "family name one letter apart"),
        "jaro_winkler": ("nom proche à l'écrit", "family name close in writing"),
        "phonetic": ("nom proche à l'oreille", "family name close in sound"),
        "different_women": (
            "noms différents, chez deux femmes (nom d'usage possible)",
            "different family names, of two women (possibly a married name)",
        ),
        "different": ("noms différents", "different family names"),
    },
    "given_name": {
        "list_exact": ("liste des prénoms identique", "same list of given names"),
        "exact_others_differ": (
            "premier prénom identique, autres prénoms différents",
            "same first given name, the others differ",
        ),
        "exact": ("premier prénom identique", "same first given name"),
        "joined": (
            "même prénom composé, écrit en un mot ou en deux",
            "same compound given name, written as one or as two",
        ),
        "repaired": (
            "premier prénom identique, une fois réparées ou transcrites des lettres",
            "same first given name, once letters are repaired or transliterated",
        ),
        "in_list": ("prénom présent dans la liste de l'autre", "given name found in the other's list"),
        "variant": ("variante ou diminutif du même prénom", "variant or short form of one given name"),
        "partial": ("prénom composé partiel ou initiale", "part of a compound given name, or an initial"),
        "near_other_name": (
            "prénoms proches, mais tous deux usuels",
            "given names close, but both in use",
        ),
        "near": ("prénom proche à l'écrit", "given name close in writing"),
        "alike": ("prénom ressemblant", "given name somewhat alike"),
        "different": ("prénoms différents", "different given names"),
    },
    "birth_date": {
        "exact_default": (
            "date de naissance identique, mais de celles qu'on écrit par défaut",
            "same birth date, but one written by default",
        ),
        "exact_first_of_month": (
            "date de naissance identique, un premier du mois",
            "same birth date, the first of a month",
        ),
        "exact": ("date de naissance identique", "same birth date"),
        "partial": ("dates de naissance partielles et compatibles", "partial birth dates that agree"),
        "day_month_swap": ("jour et mois de naissance inversés", "day and month of birth exchanged"),
        "default_same_year": (
            "même année de naissance, l'une des dates étant écrite par défaut",
            "same birth year, one of the dates being written by default",
        ),
        "transposed": (
            "date de naissance à deux chiffres intervertis près",
            "birth date with two digits exchanged",
        ),
        "one_digit": ("date de naissance à un chiffre près", "birth date one digit apart"),
        "year_off": ("même jour de naissance, année voisine ou siècle", "same day, next year or century"),
        "two_of_three": (
            "deux éléments sur trois de la date de naissance identiques",
            "two parts of three of the birth date agree",
        ),
        "different": ("dates de naissance différentes", "different birth dates"),
    },
    "sex": {"same": ("sexe identique", "same sex"), "different": ("sexe différent", "different sex")},
    "birth_place": {
        "same_code": ("code du lieu de naissance identique", "same birth place code"),
        "same_place": (
            "même lieu de naissance sous deux codes",
            "same birth place under two codes",
        ),
        "same_text": (
            "lieu de naissance de même nom, écrit ou d'après son code",
            "birth place of the same name, written or after its code",
        ),
        "near_text": ("lieu de naissance proche à l'écrit", "birth place close in writing"),
        "same_department": ("même département de naissance", "same department of birth"),
        "different": ("lieux de naissance différents", "different birth places"),
    },
    "residence": {
        "same_address": ("adresse identique", "same address"),
        "near_address": ("adresse proche à l'écrit", "address close in writing"),
        "another_street": ("même commune, mais rues différentes", "same town, but different streets"),
        "same_postal_code": ("code postal identique", "same postal code"),
        "same_city": ("ville identique", "same town"),
        "postal_code_or_city": (
            "code postal ou ville identique, mais pas les deux",
            "same postal code or same town, but not both",
        ),
        "same_department": ("même département de résidence", "same department of residence"),
        "different": ("résidences différentes", "different residences"),
    },
    "phone": {
        "in_common": ("un téléphone en commun", "a phone in common"),
        "different": ("téléphones différents", "different phones"),
    },
    "email": {
        "in_common": ("une adresse électronique en commun", "an e-mail address in common"),
        "different": ("adresses électroniques différentes", "different e-mail addresses"),
    },
    "national_id": {
        "same": ("numéro national identique", "same national number"),
        "one_edit": ("numéro national à un chiffre près", "national number one digit apart"),
        "different": ("numéros nationaux différents", "different national numbers"),
    },
    "ins": {
        "same": ("INS identique", "same INS"),
        "same_embedded_differs": (
            "INS identique, mais les traits qu'il contient en contredisent d'autres",
            "same INS, but the traits it embeds contradict others",
        ),
        "same_other_birth_date": (
            "INS identique, mais dates de naissance différentes",
            "same INS, but different birth dates",
        ),
        "different": ("INS différents", "different INS"),
    },
    "mother_birth_name": {
        "exact": ("nom de naissance de la mère identique", "same birth name of the mother"),
        "near": ("nom de naissance de la mère proche", "birth name of the mother close"),
        "different": ("noms de naissance de la mère différents", "different birth names of the mother"),
    },
    "birth_order": {
        "same": ("même rang dans une naissance multiple", "same order in a multiple birth"),
        "different": (
            "rangs différents dans une naissance multiple",
            "different orders in a multiple birth",
        ),
    },
}

_RELATIVES: dict[str, tuple[str, str]] = {
    "twins": ("des jumeaux concorderaient aussi", "twins would agree as well"),
    "siblings": ("des frères et sœurs concorderaient aussi", "siblings would agree as well"),
    "namesakes": (
        "un parent et son enfant de même nom, ou des homonymes, concorderaient aussi",
        "a parent and a child of one name, or homonyms, would agree as well",
    ),
}
_TRAIT_NAMES: dict[str, tuple[str, str]] = {
    "family_name": ("le nom", "the family name"),
    "given_name": ("le prénom", "the given name"),
    "birth_date": ("la date de naissance", "the birth date"),
    "sex": ("le sexe", "the sex"),
    "birth_place": ("le lieu de naissance", "the birth place"),
    "residence": ("la résidence", "the residence"),
    "phone": ("le téléphone", "the telephone"),
    "email": ("l'adresse électronique", "the e-mail address"),
    "national_id": ("le numéro national", "the national number"),
    "mother_birth_name": ("le nom de naissance de la mère", "the mother's birth name"),
}
_THEN: dict[Decision, tuple[str, str]] = {
    Decision.LINK: ("la paire serait liée", "the pair would be linked"),
    Decision.REVIEW: ("la paire serait à revoir", "the pair would be reviewed"),
    Decision.NON_LINK: ("la paire ne serait pas liée", "the pair would not be linked"),
}

_GUARDS: dict[str, tuple[str, str]] = {
    "protected_identity": (
        "lien interdit : identité anonyme ou masquée",
        "link forbidden: anonymous or hidden identity",
    ),
    "ins_conflict": ("lien interdit : deux INS qualifiés différents", "link forbidden: two qualified INS"),
    "twins": (
        "lien interdit : jumeaux possibles (même nom, même naissance, prénoms différents)",
        "link forbidden: possible twins (same name, same birth, different given names)",
    ),
    "multiple_birth": (
        "plafonné à la revue : naissance multiple possible",
        "capped at review: possible multiple birth",
    ),
    "parent_and_child": (
        "plafonné à la revue : parent et enfant de même nom possibles",
        "capped at review: possible parent and child of one name",
    ),
    "newborn": (
        "plafonné à la revue : nouveau-né sans prénom",
        "capped at review: newborn without a given name",
    ),
    "default_date": (
        "plafonné à la revue : date de naissance par défaut, seuls les noms concordent",
        "capped at review: default birth date, only the names agree",
    ),
    "shared_ins": (
        "plafonné à la revue : même INS mais traits contradictoires",
        "capped at review: same INS but contradictory traits",
    ),
    "ins_differs": ("plafonné à la revue : INS différents", "capped at review: the INS differ"),
    "unreliable_identity": (
        "plafonné à la revue : identité douteuse, fictive, usurpée ou en collision",
        "capped at review: doubtful, fictitious, usurped or colliding identity",
    ),
    "homonym": ("plafonné à la revue : homonyme signalé", "capped at review: flagged homonym"),
    "sex_and_given_name": (
        "plafonné à la revue : sexe et prénom différents",
        "capped at review: sex and given name both differ",
    ),
    "uncorroborated": (
        "plafonné à la revue : un trait ne concorde qu'à peu près, ou diffère, et rien d'autre ne confirme",
        "capped at review: a trait agrees only nearly, or differs, and nothing else confirms",
    ),
    "insufficient_evidence": (
        "plafonné à la revue : il faut un nom, un prénom et une date de naissance concordants, ou un INS",
        "capped at review: it takes a family name, a given name and a birth date that agree, or an INS",
    ),
}


def explain(pair: ScoredPair, language: Language = "fr") -> list[str]:
    """
    Say why: one sentence per piece of evidence, one per guard, then the total.

    Units: bits in every figure but the probability.
    """
    column = 1 if language == "en" else 0
    lines = []
    for item in pair.evidence:
        words = _words(item, language)
        lines.append(_sentence(words, f"{_signed(item.bits, language)} bits", language))
    lines.extend(_GUARDS[name][column] for name in pair.guards)
    gathered = sum(item.bits for item in pair.evidence)
    prior, total = pair.weight_bits - gathered, pair.weight_bits
    odds = _probability(pair.probability, language)
    if language == "en":
        lines.append(
            f"total: {_signed(prior, language)} at the outset, {_signed(gathered, language)} of evidence, "
            f"so {_signed(total, language)} bits: probability {odds}"
        )
    else:
        lines.append(
            f"total : {_signed(prior, language)} au départ, {_signed(gathered, language)} d'indices, "
            f"soit {_signed(total, language)} bits : probabilité {odds}"
        )
    return lines


def _words(item: Evidence, language: Language) -> str:
    column = 1 if language == "en" else 0
    if item.trait == RELATIVES:
        return _RELATIVES.get(
            item.level, ("des proches concorderaient aussi", "relatives would agree as well")
        )[column]
    words = _LEVELS[item.trait][item.level][column]
    if not item.share:
        return words
    one_in = f"{_two_digits(1 / item.share):,}"
    if language == "en":
        return f"{words}, borne by 1 person in {one_in}"
    return f"{words}, porté par 1 personne sur {one_in.replace(',', ' ')}"


def _two_digits(number: float) -> int:
    return int(float(f"{number:.2g}"))


def sentence_of_counterfactual(found: Counterfactual, language: Language = "fr") -> str:
    """What would change the decision: `si la date de naissance différait, la paire ne serait pas liée`."""
    column = 1 if language == "en" else 0
    names = [_TRAIT_NAMES[trait][column] for trait, _ in found.changes]
    differ = found.changes[0][1] is Change.DIFFER
    if language == "en":
        return f"if {' and '.join(names)} {'differed' if differ else 'agreed'}, {_THEN[found.decision][1]}"
    verb = ("différai" if differ else "concordai") + ("t" if len(names) == 1 else "ent")
    return f"si {' et '.join(names)} {verb}, {_THEN[found.decision][0]}"


def sentence_of_level(trait: str, level: str, language: Language = "fr") -> str:
    """
    One level in words.

    Raises:
        KeyError: no such level.
    """
    return _LEVELS[trait][level][1 if language == "en" else 0]


def sentence_of_guard(name: str, language: Language = "fr") -> str:
    """
    One guard in words.

    Raises:
        KeyError: no such guard.
    """
    return _GUARDS[name][1 if language == "en" else 0]


def _sentence(words: str, figure: str, language: Language) -> str:
    return f"{words}: {figure}" if language == "en" else f"{words} : {figure}"


def _signed(bits: float, language: Language) -> str:
    text = f"{bits:+.1f}"
    return text if language == "en" else text.replace(".", ",")


def _probability(probability: float, language: Language) -> str:
    """Never rounded to certainty."""
    if probability > 0.9999:
        text = "> 99.99 %"
    elif probability < 0.0001:
        text = "< 0.01 %"
    else:
        text = f"{100 * probability:.2f} %"
    return text if language == "en" else text.replace(".", ",")
