import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.feeds.dicom.names import BIRTH_AND_USED, NEWBORN, NO_CARET, TITLE, parse_person_name
from mpi.identity.model import Demographics, NameUse, PersonName
from mpi.identity.traits import normalise


@pytest.mark.parametrize(
    ("text", "name", "guesses"),
    [
        ("ROUX^ANNE", PersonName("ROUX", "ANNE"), ()),
        (" ROUX ^ ANNE ^^^ ", PersonName("ROUX", "ANNE"), ()),
        ("ROUX^ANNE^ANNE LUCE^DR^JR", PersonName("ROUX", "ANNE", "ANNE LUCE", "DR", "JR"), ()),
        ("ROUX^ANNE^LUCE", PersonName("ROUX", "ANNE", "ANNE LUCE"), ()),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", PersonName("Yamada", "Tarou"), ()),
        ("LE GOFF", PersonName("LE GOFF"), ()),
        ("DUPONT JEAN", PersonName("DUPONT", "JEAN"), (NO_CARET,)),
        ("DUPONT, Jean", PersonName("DUPONT", "Jean"), (NO_CARET,)),
        ("LE GOFF Jean Pierre", PersonName("LE GOFF", "Jean Pierre"), (NO_CARET,)),
        ("DE LA TOUR JEAN", PersonName("DE LA TOUR", "JEAN"), (NO_CARET,)),
        ("MME^DUPONT^JEANNE", PersonName("DUPONT", "JEANNE", prefix="MME"), (TITLE,)),
        ("Mme DUPONT^JEANNE", PersonName("DUPONT", "JEANNE", prefix="Mme"), (TITLE,)),
        ("NE DE DUPONT^", PersonName("DUPONT", "NOUVEAU NE"), (NEWBORN,)),
        ("NE(E) DE DUPONT", PersonName("DUPONT", "NOUVEAU NE"), (NEWBORN,)),
        ("BB1 DUPONT^", PersonName("DUPONT", "BB1"), (NEWBORN,)),
        ("NE^PAUL", PersonName("NE", "PAUL"), ()),
        ("EP MARTIN^PAUL", PersonName("EP MARTIN", "PAUL"), ()),
    ],
)
def test_one_name(text: str, name: PersonName, guesses: tuple[str, ...]) -> None:
    parsed = parse_person_name(text)

    assert parsed is not None
    assert (parsed.name, parsed.birth, parsed.guesses) == (name, None, guesses)


@pytest.mark.parametrize(
    ("text", "birth", "used"),
    [
        ("DUPONT EP MARTIN^JEANNE", "DUPONT", "MARTIN"),
        ("DUPONT EP. MARTIN^JEANNE", "DUPONT", "MARTIN"),
        ("DUPONT Épouse MARTIN^JEANNE", "DUPONT", "MARTIN"),
        ("DUPONT VVE MARTIN^JEANNE", "DUPONT", "MARTIN"),
        ("DUPONT^JEANNE EP MARTIN", "DUPONT", "MARTIN"),
        ("MARTIN NEE DUPONT^JEANNE", "DUPONT", "MARTIN"),
        ("MARTIN NE(E) DUPONT^JEANNE", "DUPONT", "MARTIN"),
        ("MARTIN (NÉE DUPONT)^JEANNE", "DUPONT", "MARTIN"),
        ("MARTIN NEE DUPONT JEANNE", "DUPONT", "MARTIN"),
    ],
)
def test_a_marker_gives_the_birth_and_the_used_name(text: str, birth: str, used: str) -> None:
    parsed = parse_person_name(text)

    assert parsed is not None
    assert parsed.birth == PersonName(birth, "JEANNE", use=NameUse.BIRTH)
    assert parsed.name == PersonName(used, "JEANNE", use=NameUse.USED)
    assert BIRTH_AND_USED in parsed.guesses


@pytest.mark.parametrize("text", ["NE DE DUPONT^", "BB1 DUPONT", "BEBE DE DUPONT^", "NNE DUPONT"])
def test_a_newborn_stays_one_for_the_matcher(text: str) -> None:
    parsed = parse_person_name(text)

    assert parsed is not None
    traits = normalise(Demographics(names=(parsed.name,)))
    assert (traits.newborn, traits.birth_name, traits.given_names) == (True, "DUPONT", ())


@pytest.mark.parametrize("text", ["", "^", "^^^^", "=山田^太郎", " ^ ", ", "])
def test_nobody(text: str) -> None:
    assert parse_person_name(text) is None


@given(st.text(st.sampled_from("ABÉé,.()^= '-") | st.characters(codec="utf-8"), max_size=40))
def test_any_text_is_a_name_or_nobody(text: str) -> None:
    parsed = parse_person_name(text)

    assert parsed is None or any((parsed.name.family, parsed.name.given, parsed.name.given_list))


titles = {"MLLE", "MADAME", "MONSIEUR", "MADEMOISELLE"}
words = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZÉ", min_size=4, max_size=9).filter(lambda word: word not in titles)


@given(words, words)
def test_a_name_written_by_the_book_is_never_reinterpreted(family: str, given_name: str) -> None:
    parsed = parse_person_name(f"{family}^{given_name}")

    assert parsed is not None
    assert (parsed.name, parsed.birth, parsed.guesses) == (PersonName(family, given_name), None, ())
