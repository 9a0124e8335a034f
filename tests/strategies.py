"""Hypothesis strategies: people as feeds state them, with what goes wrong, and the traits they become."""

from datetime import date

from hypothesis import strategies as st

from mpi.identity.ins import matricule_key
from mpi.identity.model import Demographics, NameUse, PartialDate, PersonName
from mpi.identity.traits import Traits, normalise

FAMILY_NAMES = (
    "MARTIN",
    "Martin",
    "DUPONT",
    "DUPOND",
    "MARTIN-DUPONT",
    "LEFÈVRE",
    "D'ORMESSON",
    "EL AMRANI",
    "LE GALL",
    "ROY",
)
GIVEN_NAMES = ("JEAN", "Jean-Pierre", "JEANPIERRE", "MARIE", "LÉA", "LENA", "MOHAMED", "MOHAMMED", "ZOÉ", "J")
PLACEHOLDERS = ("INCONNU", "X", "XX", "SANS NOM", "TEST", "ANONYME")
PLACES = ("35238", "75056", "75112", "92012", "99352", "2A004", "97411")
PHONES = ("0612345678", "+33 6 12 34 56 78", "0298000000", "0600000000")

words = st.text(alphabet="ABCDEÉGHIKLMNOPRSTUVYZ' -", min_size=1, max_size=14)
family_names = st.sampled_from(FAMILY_NAMES) | words
given_names = st.sampled_from(GIVEN_NAMES) | words

partial_dates = st.one_of(
    st.dates(date(1920, 1, 1), date(2026, 1, 1)).map(lambda day: PartialDate(day.year, day.month, day.day)),
    st.builds(PartialDate, st.integers(1920, 2025)),
    st.builds(PartialDate, st.integers(1920, 2025), st.integers(1, 12)),
    st.builds(PartialDate, st.integers(1950, 1952), st.just(1), st.just(1)),
)


def _matricule(sex: int, year: int, month: int, rank: int) -> str:
    body = f"{sex}{year:02d}{month:02d}35999{rank:03d}"  # commune 999 does not exist
    return body + matricule_key(body)


matricules = st.builds(
    _matricule, st.integers(1, 2), st.integers(50, 52), st.integers(1, 12), st.integers(1, 3)
)

names = st.builds(
    PersonName,
    family=family_names,
    given=given_names,
    given_list=st.lists(given_names, max_size=3).map(" ".join),
    use=st.sampled_from(NameUse),
)

demographics = st.builds(
    Demographics,
    names=st.lists(names, max_size=3).map(tuple),
    birth_date=st.none() | partial_dates,
    birth_date_interpreted=st.none() | st.booleans(),
    sex=st.sampled_from(("", "M", "F", "U")),
    birth_place_code=st.sampled_from(("", *PLACES)),
    birth_place=st.sampled_from(("", "RENNES", "Paris", "PARIS 12", "ALGÉRIE")),
    postal_code=st.sampled_from(("", "35000", "35200", "29200")),
    city=st.sampled_from(("", "RENNES", "Rennes Cedex", "BREST")),
    phones=st.lists(st.sampled_from(PHONES), max_size=2).map(tuple),
    emails=st.lists(st.sampled_from(("a@example.org", "B@example.org")), max_size=1).map(tuple),
    national_id=st.sampled_from(("", "12345", "12354")),
    ins=st.just("") | matricules,
    mother_birth_name=st.just("") | family_names,
    birth_order=st.none() | st.integers(1, 2),
    identity_codes=st.lists(
        st.sampled_from(("VALI", "PROV", "HOMA", "DOUT", "FICT", "ANOM", "CACH", "COLV", "USUR", "ODD")),
        max_size=2,
    ).map(tuple),
)
"""Statements of all sorts; small pools on purpose, so that two of them often agree on something."""

traits: st.SearchStrategy[Traits] = demographics.map(normalise)
