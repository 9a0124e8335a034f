"""Looking people up: what is found by what, and what never is."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from mpi.errors import UnknownIdentifier
from mpi.identity.model import Demographics, NameUse, PartialDate, PersonName, RecordKey
from mpi.index import finding
from mpi.index.search import Period, Search, Spelling, Text, Why
from tests.fakes import MemoryStore
from tests.federation import SITES, START, World, authority, identifier, key, person

ALL = frozenset(authority(site).universal_id for site in SITES)
BORN = Period(date(1984, 2, 29), date(1984, 2, 29))
"""The birth date of `federation.person`."""


@pytest.fixture
def world():
    return World(MemoryStore())


def domain(site):
    return authority(site).universal_id


def born(text):
    """The period of a date, a month or a year."""
    first = PartialDate.parse(text)
    if first.month is None:
        return Period(date(first.year, 1, 1), date(first.year, 12, 31))
    if first.day is None:
        following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        return Period(date(first.year, first.month, 1), following - timedelta(days=1))
    return Period(date(first.year, first.month, first.day), date(first.year, first.month, first.day))


def ask(world, *, visible=ALL, most=20, as_of=None, family="", given="", spelling=Spelling.LOOSE, **parts):
    if family:
        parts["family"] = (Text(family, spelling),)
    if given:
        parts["given"] = (Text(given, spelling),)
    return world.registry.search(Search(**parts), visible=visible, actor="test", most=most, as_of=as_of)


def found(world, **asked):
    """The identifiers of who was found."""
    answer = ask(world, **asked)
    return [{m.record.key.value for m in one.person.members} for one in answer.found]


def why(world, part, **asked):
    [one] = ask(world, **asked).found
    return one.why[part]


class TestNames:
    @pytest.mark.parametrize(
        ("stated", "asked"),
        [
            ("D'ARTAGNAN", "d'artagnan"),
            ("D'ARTAGNAN", "DARTAGNAN"),
            ("D'ARTAGNAN", "ARTAGNAN"),
            ("D'ARTAGNAN", "D ARTAGNAN"),
            ("LE GOFF", "LEGOFF"),
            ("LEGOFF", "Le Goff"),
            ("LE GOFF", "GOFF"),
            ("GOFF", "LE GOFF"),
            ("Œuvrard", "OEUVRARD"),
            ("OEUVRARD", "œuvrard"),
            ("LEFÈVRE", "lefevre"),
            ("MARTIN-DUPONT", "MARTIN DUPONT"),
            ("DE LA TOUR", "TOUR"),
            ("SAINT-JUST", "ST JUST"),
            ("Müller", "MULLER"),
        ],
    )
    def test_case_accents_particles_hyphens_and_ligatures_say_nothing(self, world, stated, asked):
        world.state("A", "1", person(stated))

        assert found(world, birth=(BORN,), family=asked, spelling=Spelling.SAME) == [{"1"}]
        assert why(world, "family", birth=(BORN,), family=asked) is Why.SAME

    @pytest.mark.parametrize(
        ("stated", "asked"),
        [
            ("D'ARTAGNAN", "DAR"),
            ("D'ARTAGNAN", "d'a"),
            ("D'ARTAGNAN", "ART"),
            ("LE GOFF", "LEG"),
            ("LE GOFF", "GOF"),
            ("LE GOFF", "LE GO"),
            ("DE LA TOUR", "LAT"),
            ("DE LA TOUR", "DEL"),
            ("Œuvrard", "OEU"),
            ("MARTIN-DUPONT", "MAR"),
            ("MARTIN-DUPONT", "DUP"),
            ("MARTIN-DUPONT", "MARTIN D"),
            ("MARTIN DE SOUSA", "SOU"),
            ("LI", "LI"),
        ],
    )
    def test_three_letters_are_the_beginning_of_a_name_or_of_one_of_its_words(self, world, stated, asked):
        world.state("A", "1", person(stated))
        world.state("B", "2", person("ZZ", "ZOE", sex="F"))

        assert found(world, birth=(BORN,), family=asked, spelling=Spelling.PREFIX) == [{"1"}]

    @pytest.mark.parametrize(("stated", "asked"), [("MARTIN", "ART"), ("LE GOFF", "OFF"), ("GAULLE", "DEG")])
    def test_the_middle_of_a_word_is_not_its_beginning(self, world, stated, asked):
        world.state("A", "1", person(stated))

        assert found(world, birth=(BORN,), family=asked, spelling=Spelling.PREFIX) == []

    def test_the_same_is_the_whole_name(self, world):
        world.state("A", "1", person("MARTIN-DUPONT"))

        assert found(world, birth=(BORN,), family="MARTIN", spelling=Spelling.SAME) == []
        assert found(world, birth=(BORN,), family="MARTIN", spelling=Spelling.PREFIX) == [{"1"}]

    def test_letter_for_letter_means_accents_and_case_too(self, world):
        world.state("A", "1", person("Lefèvre", "Anne-Marie"))
        exact = {"birth": (BORN,), "spelling": Spelling.EXACT}

        assert found(world, family="Lefèvre", **exact) == [{"1"}]
        assert found(world, given="Anne-Marie", **exact) == [{"1"}]
        for other in ("LEFEVRE", "Lefevre", "Lef"):
            assert found(world, family=other, **exact) == []
        assert found(world, given="Anne", **exact) == []

    def test_the_used_name_is_found_like_the_birth_name_and_told_apart(self, world):
        world.state("A", "1", person("DURAND", used="LEGRAND"))

        assert why(world, "family", birth=(BORN,), family="DURAND") is Why.SAME
        assert why(world, "family", birth=(BORN,), family="LEG") is Why.OTHER_NAME

    @pytest.mark.parametrize(
        ("asked", "reason"),
        [
            ("DUPOND", Why.SOUNDS_ALIKE),
            ("DUPPONT", Why.SOUNDS_ALIKE),
            ("DUPONE", Why.ONE_LETTER),
            ("DUPNOT", Why.ONE_LETTER),
            ("UPONT", Why.ONE_LETTER),
            ("DUPO", Why.PREFIX),
        ],
    )
    def test_who_misspells_still_finds_and_sees_why(self, world, asked, reason):
        world.state("A", "1", person("DUPONT"))

        assert why(world, "family", birth=(BORN,), family=asked) is reason
        if reason is not Why.PREFIX:
            assert found(world, birth=(BORN,), family=asked, spelling=Spelling.PREFIX) == []

    @pytest.mark.parametrize("asked", ["DUPORTE", "DURAND", "DUT"])
    def test_two_letters_away_is_another_name(self, world, asked):
        world.state("A", "1", person("DUPONT"))

        assert found(world, birth=(BORN,), family=asked) == []

    def test_as_asked_comes_before_what_only_sounds_so(self, world):
        for value, family in enumerate(("DUPOND", "DUPONT", "DUPONTEL", "DUPONE")):
            world.state("A", str(value), person(family, f"ANNE{value}", birth_place_code=""))

        assert found(world, birth=(BORN,), family="DUPONT") == [{"1"}, {"2"}, {"0"}, {"3"}]

    @pytest.mark.parametrize(
        ("asked", "reason"),
        [
            ("JEAN", Why.SAME),
            ("JEAN-PIERRE", Why.SAME),
            ("jea", Why.PREFIX),
            ("PIERRE", Why.OTHER_NAME),
            ("Marcel", Why.OTHER_NAME),
            ("MAR", Why.OTHER_NAME),
            ("JANOT", Why.OTHER_NAME),
            ("JEAN MARC", None),
        ],
    )
    def test_given_names_are_found_whichever_their_rank(self, world, asked, reason):
        names = (
            PersonName("DURAND", "JEAN-PIERRE", "JEAN-PIERRE MARCEL", use=NameUse.BIRTH),
            PersonName("DURAND", "JANOT", use=NameUse.USED),
        )
        world.state("A", "1", replace(person(sex="M"), names=names))
        answer = ask(world, birth=(BORN,), given=asked, spelling=Spelling.PREFIX)

        assert [one.why["given"] for one in answer.found] == ([reason] if reason else [])

    def test_a_text_of_which_nothing_is_left_finds_nobody(self, world):
        world.state("A", "1", person())

        assert found(world, birth=(BORN,), family="-") == []
        assert found(world, family="'") == []


class TestDates:
    @pytest.mark.parametrize(
        ("stated", "asked", "reason"),
        [
            ("1984-02-29", "1984-02-29", Why.SAME),
            ("1984-02-29", "1984-02", Why.SAME),
            ("1984-02-29", "1984", Why.SAME),
            ("1984-02", "1984-02", Why.SAME),
            ("1984-02", "1984-02-29", Why.COMPATIBLE),
            ("1984-02", "1984-02-01", Why.COMPATIBLE),
            ("1984", "1984-12-31", Why.COMPATIBLE),
            ("1984", "1984-01-01", Why.COMPATIBLE),
            ("1984", "1984-02", Why.COMPATIBLE),
            ("9999", "9999-12-31", Why.COMPATIBLE),
            ("1984-02", "1984-03-01", None),
            ("1984-02", "1984-01-31", None),
            ("1984", "1985-01-01", None),
            ("1984", "1983", None),
            ("", "1984-02-29", None),
        ],
    )
    def test_what_is_known_in_part_is_compatible_with_what_it_may_be(self, world, stated, asked, reason):
        world.state("A", "1", person(born=stated))
        answer = ask(world, birth=(born(asked),))

        assert [one.why["birth"] for one in answer.found] == ([reason] if reason else [])

    def test_a_period_across_years_meets_what_overlaps_it(self, world):
        for value, stated in enumerate(("1983", "1983-11", "1984", "1984-03", "1983-12-25", "1984-04-01")):
            world.state("A", str(value), person(born=stated, birth_place_code=""))
        asked = Period(date(1983, 12, 20), date(1984, 3, 2))

        assert {v for one in found(world, birth=(asked,)) for v in one} == {"0", "2", "3", "4"}


class TestPeople:
    def test_name_and_birth_date_have_to_be_of_one_record(self, world):
        world.state("A", "1", person("DURAND", "ANNE", "1950-01-02"))
        world.state("B", "2", person("MARTIN", "LUCIE", "1980-03-04"))
        world.registry.relate("same", key("A", "1"), key("B", "2"), reviewer="anne")

        assert found(world, family="DURAND", birth=(born("1950-01-02"),)) == [{"1", "2"}]
        assert found(world, family="DURAND", birth=(born("1980-03-04"),)) == []
        assert found(world, family="DURAND", given="LUCIE") == []

    def test_the_sex_may_be_known_elsewhere_but_not_be_another(self, world):
        world.state("A", "1", person(sex=""))
        world.state("B", "2", person(sex="F"))

        assert found(world, birth=(BORN,), sex=("F",)) == [{"1", "2"}]
        assert found(world, birth=(BORN,), sex=("M",)) == []
        assert found(world, birth=(BORN,), sex=("M", "F")) == [{"1", "2"}]
        assert found(world, sex=("U",)) == [{"1", "2"}]

    def test_what_one_site_knows_of_the_person_any_record_holds(self, world):
        world.state("A", "1", person(phones=("06 12 34 56 78",), postal_code="87000"))
        world.state(
            "B", "2", person(emails=("l@example.org",), city="Limoges Cedex", address="3 r. de la Paix")
        )

        for parts in (
            {"telecom": ("+33612345678",), "city": (Text("limoges"),)},
            {"telecom": ("L@EXAMPLE.ORG",), "postal_code": (Text("87000"),)},
            {"telecom": ("0612345678", "0000"), "address": (Text("3 rue de la"),)},
            {"postal_code": (Text("870"),), "address": (Text("paix"),), "birth": (BORN,)},
            {"address": (Text("Limoges"),), "identifiers": (key("A", "1"),)},
        ):
            assert found(world, **parts) == [{"1", "2"}], parts
        assert found(world, telecom=("0612345679",)) == []
        assert found(world, postal_code=(Text("87100"),)) == []
        assert found(world, birth=(BORN,), state=(Text("NA"),)) == []

    def test_every_part_has_to_hold(self, world):
        world.state("A", "1", person(postal_code="87000"))

        assert found(world, family="CHANTEREAU", birth=(BORN,), postal_code=(Text("87000"),)) == [{"1"}]
        assert found(world, family="CHANTEREAU", birth=(BORN,), postal_code=(Text("75001"),)) == []

    def test_identifiers_and_how_they_begin(self, world):
        world.state("A", "IPP-12", person())
        world.state("B", "IPP-12", person("BERGER", "SOPHIE", "1955-06-03"))

        assert found(world, identifiers=(key("A", "IPP-12"),), birth=(BORN,)) == [{"IPP-12"}]
        assert found(world, identifiers=(key("A", "IPP-12"),), birth=(born("1955"),)) == []
        assert len(ask(world, identifier_prefixes=(key("A", "IPP"), key("B", "IPP-1"))).found) == 2
        assert found(world, identifier_prefixes=(key("A", "PP"),)) == []
        assert len(ask(world, identifiers=(key("A", ""),)).found) == 1

    def test_identifiers_that_were_merged_away(self, world):
        world.state("A", "1", person())
        world.state("A", "2", person())
        world.merge("A", "1", "2", minute=1)

        assert found(world, identifiers=(key("A", "2"),)) == [{"1", "2"}]
        assert found(world, identifiers=(key("A", "2"),), active=True) == []
        assert found(world, identifiers=(key("A", "2"),), active=False) == [{"1", "2"}]
        assert found(world, identifiers=(key("A", "1"),), active=True) == [{"1", "2"}]

    def test_who_is_protected_is_never_found(self, world):
        world.state("A", "1", person(phones=("0612345678",)))
        world.state("B", "2", person(phones=("0612345678",), identity_codes=("CACH",)))
        [alone] = ask(world, birth=(BORN,)).found
        world.state("A", "1", person(identity_codes=("ANOM",)), minute=5)

        assert [m.record.key for m in alone.person.members] == [key("A", "1")]
        for parts in (
            {"birth": (BORN,)},
            {"identifiers": (key("A", "1"), key("B", "2"))},
            {"telecom": ("0612345678",)},
            {"persons": (world.record("A", "1").native_euid,)},
            {"identifier_prefixes": (key("A", "1"),)},
            {"sex": ("F",)},
        ):
            assert ask(world, **parts).found == (), parts
        with pytest.raises(UnknownIdentifier):
            world.registry.person(world.record("A", "1").native_euid, visible=ALL, actor="test")

    def test_who_is_hidden_from_the_caller_changes_nothing(self, world):
        world.state("B", "2", person("CHANTEREAU-BOUVET", phones=("0612345678",)))
        world.state("A", "1", person(), minute=3)
        only_a = frozenset({domain("A")})
        [seen] = ask(world, birth=(BORN,), visible=only_a).found

        assert [m.record.key for m in seen.person.members] == [key("A", "1")]
        assert seen.person.id == world.record("A", "1").native_euid
        assert ask(world, telecom=("0612345678",), visible=only_a).found == ()
        assert ask(world, family="BOUVET", birth=(BORN,), visible=only_a).found == ()
        assert ask(world, birth=(BORN,), visible=frozenset()).found == ()


class TestPerson:
    def test_a_person_by_the_identifier_of_a_search(self, world):
        world.state("A", "1", person(city="LIMOGES"))
        world.state("B", "2", person(), minute=1)
        [one] = ask(world, birth=(BORN,)).found

        shown = world.registry.person(one.person.id, visible=ALL, actor="test")

        assert shown == one.person
        assert shown.id == world.euid("B", "2") == world.record("A", "1").native_euid
        assert shown.golden["city"].value == "LIMOGES"
        assert [m.identifier for m in shown.members] == [identifier("A", "1"), identifier("B", "2")]

    def test_a_retired_identifier_finds_who_they_became(self, world):
        world.state("A", "1", person())
        world.state("B", "2", person(), minute=1)
        retired = world.record("B", "2").native_euid

        assert world.registry.person(retired, visible=ALL, actor="test").id == world.euid("A", "1")
        assert found(world, persons=(retired,)) == [{"1", "2"}]
        with pytest.raises(UnknownIdentifier):
            world.registry.person(retired, visible=frozenset({domain("A")}), actor="test")
        with pytest.raises(UnknownIdentifier):
            world.registry.person("AAAAAAAAAAAAAAAA", visible=ALL, actor="test")

    def test_only_what_is_visible_survives(self, world):
        world.state("A", "1", person(identity_codes=("PROV",)))
        world.state("B", "2", person(city="BRIVE", identity_codes=("VALI",)), minute=1)
        seen = frozenset({domain("A")})

        shown = world.registry.person(world.record("A", "1").native_euid, visible=seen, actor="test")

        assert "city" not in shown.golden
        assert {item.source.domain for item in shown.golden.values()} == seen

    def test_doubt_is_told_at_once(self, world):
        world.state("A", "1", person())
        euid = world.euid("A", "1")
        assert not world.registry.person(euid, visible=ALL, actor="test").doubtful

        world.registry.doubt(key("A", "1"), reviewer="anne")
        world.state("B", "2", person("BERGER", "SOPHIE", "1955-06-03", identity_codes=("DOUT",)))

        assert world.registry.person(euid, visible=ALL, actor="test").doubtful
        assert world.registry.person(world.euid("B", "2"), visible=ALL, actor="test").doubtful

    def test_a_person_as_they_were(self, world):
        world.state("A", "1", person("DURAND", phones=("0612345678",)))
        between = world.clock()
        world.state("A", "1", person("DURAND", city="BRIVE", phones=("0698765432",)), minute=5)
        world.state("B", "2", person("DURAND"), minute=6)
        euid = world.euid("A", "1")

        then = world.registry.person(euid, visible=ALL, actor="test", as_of=between)

        assert [m.record.key for m in then.members] == [key("A", "1")]
        assert "city" not in then.golden
        assert found(world, telecom=("0612345678",)) == []
        assert found(world, telecom=("0612345678",), as_of=between) == [{"1"}]
        assert found(world, telecom=("0698765432",), as_of=between) == []
        assert found(world, birth=(BORN,), as_of=between) == [{"1"}]
        assert found(world, birth=(BORN,), as_of=START - timedelta(days=1)) == []

    def test_a_former_name_finds_who_bore_it_then(self, world):
        world.state("A", "1", person("DURAND", "ANNE", "1950-01-02", postal_code="87000"))
        between = world.clock()
        world.state("A", "1", person("DURANT", "ANNE", "1950-01-03", postal_code="87100"), minute=5)
        asked = {"family": "DURAND", "birth": (born("1950-01-02"),), "spelling": Spelling.SAME}

        assert found(world, **asked) == []
        assert found(world, **asked, as_of=between) == [{"1"}]
        assert found(world, postal_code=(Text("87000"),), as_of=between) == [{"1"}]

    def test_who_is_erased_is_not_found(self, world):
        world.state("A", "1", person(phones=("0612345678",)))
        between = world.clock()
        euid = world.euid("A", "1")
        world.registry.erase(key("A", "1"), reviewer="anne", reason="asked for")

        assert found(world, birth=(BORN,)) == found(world, telecom=("0612345678",)) == []
        assert found(world, birth=(BORN,), as_of=between) == []
        assert found(world, identifiers=(key("A", "1"),)) == found(world, persons=(euid,)) == []


CALLED = {"family": "CHANTEREAU", "spelling": Spelling.PREFIX}


class TestManyToJudge:
    """Where a name leaves more records than are judged at once, those that live elsewhere are not judged."""

    @pytest.fixture(autouse=True)
    def few_at_a_time(self, monkeypatch):
        monkeypatch.setattr(finding, "_JUDGED_AT_A_TIME", 1)

    @pytest.fixture
    def crowd(self, world):
        """Nine of one name in Brest, and one who lives in Limoges by what another site says, under another name."""
        for value, family in enumerate(("CHANTEREAU", "MARTIN")):
            for number in range(9):
                who = person(
                    family, f"ANNE{'ABCDEFGHI'[number] * 5}", f"19{number}{value}-01-02", birth_place_code=""
                )
                world.state(
                    "A", f"{family}-{number}", replace(who, city="BREST", postal_code="29200", country="FRA")
                )
        moved = person("RIOU", "ANNE", "1984-02-29", city="Limoges Cedex", postal_code="87000", country="FRA")
        world.state("A", "1", person(birth_place_code=""))
        world.state("B", "2", replace(moved, address="3 rue Haute", mother_birth_name="LE BRAS"))
        world.registry.relate("same", key("A", "1"), key("B", "2"), reviewer="anne")
        return world

    @pytest.mark.parametrize(
        "parts",
        [
            {"city": (Text("LIMOGES"),)},
            {"city": (Text("LIMOGE"), Text("NANTES"))},
            {"postal_code": (Text("87000"),)},
            {"postal_code": (Text("87"),), "country": (Text("FRA"),)},
            {"address": (Text("RUE HAUTE"),)},
            {"address": (Text("87000"),)},
            {"mother_birth_name": (Text("LEBRAS"),), "city": (Text("LIMOGES"),)},
        ],
    )
    def test_what_another_record_of_the_person_says_is_looked_at(self, crowd, parts):
        assert found(crowd, **CALLED, **parts) == [{"1", "2"}]

    @pytest.mark.parametrize(
        "parts",
        [
            {"city": (Text("LYON"),)},
            {"city": (Text("LIMOGES"),), "country": (Text("BEL"),)},
            {"state": (Text("LIMOUSIN"),)},
        ],
    )
    def test_who_lives_elsewhere_is_not_found(self, crowd, parts):
        assert found(crowd, **CALLED, **parts) == []

    def test_who_lives_elsewhere_is_not_judged(self, crowd, monkeypatch):
        judged = []
        monkeypatch.setattr(
            finding, "judge", lambda wanted, members: judged.append({m.record.key.value for m in members})
        )
        found(crowd, **CALLED, city=(Text("LIMOGES"),), country=(Text("FRA"),))

        assert judged == [{"1", "2"}]

    @pytest.mark.parametrize("given", ["LOUISE", "LUISE", "LOUIZE"])
    def test_a_misspelt_given_name_is_found_among_many(self, crowd, given):
        assert found(crowd, birth=(BORN,), given=given) == [{"1", "2"}]

    def test_so_many_in_one_place_are_too_broad(self, crowd):
        assert len(found(crowd, **CALLED, city=(Text("BREST"),))) == 9
        assert ask(crowd, **CALLED, city=(Text("BREST"),), most=8).too_broad

    def test_where_they_lived_is_judged_as_of_then(self, crowd):
        then = crowd.clock()
        crowd.state("B", "2", person("RIOU", "ANNE", "1984-02-29", city="LYON"), minute=9)

        assert found(crowd, **CALLED, city=(Text("LIMOGES"),)) == []
        assert found(crowd, **CALLED, city=(Text("LIMOGES"),), as_of=then) == [{"1", "2"}]


class TestTooBroad:
    def test_more_than_may_be_answered_is_nobody(self, world):
        for value in range(4):
            world.state("A", str(value), person(f"NAME{chr(65 + value) * 6}", "ANNE", birth_place_code=""))

        assert len(ask(world, birth=(BORN,), most=4).found) == 4
        broad = ask(world, birth=(BORN,), most=3)
        assert (broad.found, broad.too_broad) == ((), True)

    @pytest.mark.parametrize(
        "parts",
        [
            {"sex": ("F",)},
            {"city": (Text("LIMOGES"),)},
            {"given": "LOUISE"},
            {"identifiers": (key("A", ""),)},
            {"family": "CHANTEROT"},
        ],
    )
    def test_no_part_of_it_leaves_few_enough(self, world, monkeypatch, parts):
        monkeypatch.setattr(finding, "MOST_RECORDS", 2)
        for value, born_on in enumerate(("1950-01-02", "1960-03-04", "1970-05-06")):
            world.state("A", str(value), person(born=born_on, birth_place_code=""))

        assert ask(world, **parts).too_broad
        assert not ask(world, **parts, birth=(born("1950-01-02"),)).too_broad
        assert not ask(world, **parts, identifier_prefixes=(key("A", "1"),)).too_broad

    def test_nothing_asked_finds_everybody_there_is(self, world):
        world.state("A", "1", person())

        assert found(world) == [{"1"}]

    def test_hidden_records_do_not_make_a_search_too_broad(self, world, monkeypatch):
        monkeypatch.setattr(finding, "MOST_RECORDS", 2)
        monkeypatch.setattr(finding, "MOST_SKETCHES", 2)
        world.state("A", "1", person(postal_code="87000"))
        for value, born_on in enumerate(("1984-02-29", "1984-02-29", "1984-02-29", "1984-02")):
            hidden = person(f"NAME{value}", f"ANNE{value}", born_on, postal_code="87000", birth_place_code="")
            world.state("B", str(value), hidden)
        only_a = frozenset({domain("A")})

        for parts in (
            {"birth": (BORN,)},
            {"postal_code": (Text("87000"),)},
            {"sex": ("F",)},
            {"given": "LOUISE"},
        ):
            assert found(world, visible=only_a, **parts) == [{"1"}], parts
            assert ask(world, **parts).too_broad


def test_a_search_is_audited_without_what_was_asked(world):
    world.state("A", "1", person())
    ask(world, birth=(BORN,), family="CHANTEREAU", telecom=("0612345678",))
    ask(world, birth=(BORN,), most=0)
    world.registry.person(world.euid("A", "1"), visible=ALL, actor="test")

    with world.store.read() as uow:
        *_, first, second, third = (item.event for item in uow.audit.chain())
    assert (first.kind, first.details["asked"]) == ("query.search", ["family", "birth", "telecom"])
    assert (first.details["found"], second.details["too_broad"]) == (0, True)
    assert (third.kind, third.subject) == ("patient.read", f"euid/{world.euid('A', '1')}")
    assert not any(text in repr((first, second)) for text in ("CHANTEREAU", "0612345678", "1984"))


def test_a_record_that_nobody_stated_is_not_found(world):
    world.merge("A", "1", "2")

    assert found(world, identifiers=(key("A", "1"),)) == []
    assert found(world) == []


def test_names_of_every_use_are_looked_at(world):
    names = tuple(PersonName(f"NAME{use.name}", "ANNE", use=use) for use in NameUse)
    world.state("A", "1", Demographics(names=names, birth_date=PartialDate(1984, 2, 29)))

    for use in NameUse:
        assert found(world, birth=(BORN,), family=f"name{use.name}") == [{"1"}]


def test_every_epoch_of_an_identifier_is_asked_for(world):
    world.state("A", "1", person())

    assert found(world, identifiers=(RecordKey(domain("A"), "1", 4),)) == [{"1"}]
