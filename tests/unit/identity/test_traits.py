"""From what was sent to what is compared."""

import pytest

from mpi.identity.model import Demographics, NameUse, PartialDate, PersonName
from mpi.identity.traits import (
    Traits,
    is_damaged,
    normal_city,
    normal_name,
    normal_phone,
    normal_text,
    normalise,
    without_particles,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Œuvré", "OEUVRE", id="oe ligature"),
        pytest.param("Lætitia", "LAETITIA", id="ae ligature"),
        pytest.param("Éloïse Çetin", "ELOISE CETIN", id="accents and cedilla"),
        pytest.param("E\u0301loi\u0308se", "ELOISE", id="decomposed"),
        pytest.param("D'Arc", "D ARC", id="apostrophe"),
        pytest.param("D’Arc", "D ARC", id="typographic apostrophe"),
        pytest.param("MARTIN--DUPONT", "MARTIN DUPONT", id="double hyphen"),
        pytest.param("  A.-B.  C ", "A B C", id="dots and spaces"),
        pytest.param("St-Pierre", "SAINT PIERRE", id="ST"),
        pytest.param("STE MARIE", "SAINTE MARIE", id="STE"),
        pytest.param("STEPHAN", "STEPHAN", id="not STE"),
        pytest.param("\u202eABC\u202c", "ABC", id="bidi controls"),
        pytest.param("MAR\u200bIE", "MARIE", id="zero width"),
        pytest.param("FranÃ§ois", "FRANCOIS", id="UTF-8 read as Latin-1"),
        pytest.param("AndrÃ©", "ANDRE", id="UTF-8 read as Latin-1, at the end"),
        pytest.param("BRÃœNO", "BRUNO", id="UTF-8 read as Windows-1252"),
        pytest.param("Straße", "STRASSE", id="sharp s"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_normal_name(text, expected):
    assert expected == normal_name(text)


def test_normalising_twice_changes_nothing():
    once = normal_name("Œ d’Ars--St")
    assert once == normal_name(once)


def test_text_is_cut_before_it_is_compared():
    assert len(normal_text("A" * 100_000)) == 256


def test_text_is_cut_between_words():
    """Half a word could be another word: ST, of STEPHAN, would become SAINT."""
    cut = normal_name("A" * 253 + " STEPHAN")

    assert cut == "A" * 253 == normal_name(cut)


@pytest.mark.parametrize(
    ("text", "damaged"),
    [
        pytest.param("André", False, id="French"),
        pytest.param("MUÑOZ", False, id="a Latin letter France does not write, folded as the INS does"),
        pytest.param("Kovačević-Łuków", False, id="more of them"),
        pytest.param("\u202eABC\u202c", False, id="bidi controls are no letters"),
        pytest.param("AndrÃ©", True, id="mojibake"),
        pytest.param("Andr\ufffd", True, id="a letter lost"),
        pytest.param("LEF?VRE", True, id="a letter lost, as ASCII"),
        pytest.param("???", False, id="a placeholder, not a name"),
        pytest.param("Иванов", True, id="another script"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_damaged_letters(text, damaged):
    found = names(PersonName(text, "ANNE", use=NameUse.BIRTH))

    assert damaged is is_damaged(text)
    assert (damaged, False) == (found.family_damaged, found.given_damaged)


@pytest.mark.parametrize(
    ("name", "core"), [("DE LA TOUR", "TOUR"), ("EL AMRANI", "AMRANI"), ("LE", "LE"), ("MARTIN", "MARTIN")]
)
def test_particles(name, core):
    assert core == without_particles(name)


def names(*stated):
    return normalise(Demographics(names=stated))


@pytest.mark.parametrize(
    "family", ["INCONNU", "inconnue", "X", "XXX", "Z", "Sans nom", "?", "000", "TEST", "AAA", ""]
)
def test_a_placeholder_family_name_is_missing(family):
    assert names(PersonName(family, "ANNE", use=NameUse.BIRTH)).birth_name == ""


@pytest.mark.parametrize("given", ["INCONNU", "X", "Monsieur", "prénom", "SP", "???"])
def test_a_placeholder_given_name_is_missing(given):
    found = names(PersonName("ROUX", given, use=NameUse.BIRTH))
    assert (found.given_names, found.newborn) == ((), False)


@pytest.mark.parametrize(
    "given",
    [
        "BEBE",
        "Bébé",
        "BB",
        "BB FILLE",
        "BEBE GARCON 2",
        "NNE",
        "NOUVEAU-NE",
        "ENFANT DE MME ROUX",
        "BEBE 2",
        "Fille",
    ],
)
def test_a_newborn_has_no_given_name_yet(given):
    found = names(PersonName("ROUX", given, use=NameUse.BIRTH))
    assert (found.given_names, found.newborn) == ((), True)


@pytest.mark.parametrize(
    "family", ["BEBE", "BB ROUX", "Nouveau-né", "NNE", "ENFANT DE ROUX", "Fille de Roux"]
)
def test_a_newborn_has_no_family_name_of_its_own_yet(family):
    found = names(PersonName(family, "", use=NameUse.BIRTH))
    assert (found.birth_name, found.newborn) == ("", True)


@pytest.mark.parametrize("family", ["GARÇON", "FILLE", "ENFANT", "NNEKA", "FILS"])
def test_family_names_that_are_words_for_children(family):
    found = names(PersonName(family, "PAULINE", use=NameUse.BIRTH))
    assert (found.birth_name, found.newborn) == (normal_name(family), False)


@pytest.mark.parametrize("given", ["BEBETTE", "NNEKA", "FILIPPO", "ENFANTIN"])
def test_names_that_begin_like_a_newborn(given):
    assert (given,) == names(PersonName("ROUX", given, use=NameUse.BIRTH)).given_names


@pytest.mark.parametrize(
    ("given", "given_list", "expected"),
    [
        ("ANNE", "ANNE LISE EVA", ("ANNE", "LISE", "EVA")),
        ("", "ANNE LISE", ("ANNE", "LISE")),
        ("LISE", "ANNE LISE", ("LISE", "ANNE")),
        ("Jean-Pierre", "JEAN PIERRE, PAUL", ("JEAN PIERRE", "PAUL")),
        ("JEAN", "JEAN-PIERRE PAUL", ("JEAN", "PAUL")),
        ("JEAN", "", ("JEAN",)),
        ("X", "INCONNU", ()),
    ],
)
def test_given_names(given, given_list, expected):
    assert expected == names(PersonName("ROUX", given, given_list, use=NameUse.BIRTH)).given_names


def test_an_untyped_name_takes_the_slot_that_is_free():
    alone = names(PersonName("ROUX", "ANNE"))
    beside_birth = names(PersonName("ROUX", "ANNE"), PersonName("MARTIN", "ANNE", use=NameUse.BIRTH))

    assert (alone.birth_name, alone.used_name) == ("ROUX", "")
    assert (beside_birth.birth_name, beside_birth.used_name) == ("MARTIN", "ROUX")


def test_a_pseudonym_is_not_compared():
    assert Traits() == names(PersonName("BARDOT", "BB X", use=NameUse.PSEUDONYM))


def test_a_used_name_equal_to_the_birth_name_says_nothing_more():
    found = names(PersonName("ROUX", "ANNE", use=NameUse.BIRTH), PersonName("Roux", "Anne", use=NameUse.USED))
    assert (found.birth_name, found.used_name, found.used_given_name) == ("ROUX", "", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("06 12 34 56 78", "0612345678"),
        ("+33612345678", "0612345678"),
        ("0033 6 12 34 56 78", "0612345678"),
        ("+33 (0)6 12 34 56 78", "0612345678"),
        ("06.12.34.56.78", "0612345678"),
        ("0600000000", ""),
        ("0612", ""),
        ("0123456789", ""),
        ("", ""),
    ],
)
def test_phones(text, expected):
    assert expected == normal_phone(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("Rennes Cedex 7", "RENNES"), ("35000 ST MALO", "SAINT MALO"), ("", "")]
)
def test_cities(text, expected):
    assert expected == normal_city(text)


@pytest.mark.parametrize(
    ("text", "interpreted", "kept", "default"),
    [
        ("19630405", None, True, False),
        ("19630405", True, True, True),
        ("19630101", None, True, True),
        ("19631231", False, True, True),
        ("1963", None, True, False),
        ("19000101", None, False, False),
        ("17890714", None, False, False),
    ],
)
def test_birth_dates(text, interpreted, kept, default):
    date = PartialDate.parse(text)
    found = normalise(Demographics(birth_date=date, birth_date_interpreted=interpreted))

    assert (date if kept else None, default) == (found.birth_date, found.birth_date_default)


@pytest.mark.parametrize(
    ("code", "expected"),
    [("2a004", "2A004"), ("99999", ""), ("00000", ""), ("99100", ""), (" 35238 ", "35238")],
)
def test_birth_place_codes(code, expected):
    assert expected == normalise(Demographics(birth_place_code=code)).birth_place_code


def test_only_known_sexes_are_compared():
    assert [normalise(Demographics(sex=sex)).sex for sex in ("M", "F", "U", "O", "")] == [
        "M",
        "F",
        "",
        "",
        "",
    ]


def test_only_a_qualified_identity_has_a_qualified_ins():
    stated = {"ins": "284022999912354"}

    assert normalise(Demographics(**stated)).qualified_ins == ""
    assert stated["ins"] == normalise(Demographics(**stated, identity_codes=("VALI",))).qualified_ins


@pytest.mark.parametrize("code", ["DOUT", "FICT", "ANOM", "CACH", "COLP", "COLV", "USUR"])
def test_attributes_that_forbid_automatic_links(code):
    assert not normalise(Demographics(identity_codes=("VALI", code))).may_be_linked_automatically


@pytest.mark.parametrize(
    ("trait", "placeholder"),
    [
        ("birth_place", "INCONNU"),
        ("birth_place", "France"),
        ("postal_code", "00000"),
        ("postal_code", "XXXXX"),
        ("city", "XX"),
        ("city", "Non renseigné"),
        ("national_id", "0000000000"),
        ("national_id", "Inconnu"),
        ("national_id", "123456789"),
        ("mother_birth_name", "X"),
        ("phones", ("0600000000",)),
        ("emails", ("inconnu@example.org",)),
        ("emails", ("@",)),
    ],
)
def test_a_placeholder_is_missing(trait, placeholder):
    assert not getattr(normalise(Demographics(**{trait: placeholder})), trait)
