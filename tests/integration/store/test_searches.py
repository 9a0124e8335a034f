"""What records are found by, on every store."""

from dataclasses import replace
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, Table, create_engine, insert, make_url, select

from mpi.identity.model import Demographics, NameUse, PartialDate, PersonName, RecordKey
from mpi.identity.traits import normalise
from mpi.index.ports import Beside, Range, Sketch, Store
from mpi.index.sketches import keys_of, postal_key, telecom_keys
from mpi.store import open_store
from mpi.store.schema import alembic_config, migrate
from mpi.store.tables import SEARCH_KEY, SEARCH_NAME, SOURCE_RECORD
from tests.conftest import PostgresServer
from tests.integration.store.examples import add_record, key, save

HERE, ELSEWHERE = key("").domain, "2.999.2"
ANNE = Demographics(
    names=(PersonName("Le Goff", "Anne", "Anne Marie", use=NameUse.BIRTH),),
    birth_date=PartialDate(1979, 3, 5),
    postal_code="29200",
    phones=("0612345678",),
    emails=("anne@example.org",),
)
LE_GOFF = {Sketch("LEGOFF", 19790305, "ANNE MARIE"), Sketch("GOFF", 19790305, "ANNE MARIE")}


def state(uow, value, demographics=ANNE, *, domain=HERE):
    record_id = uow.records.add(RecordKey(domain, value), f"EUID-{domain}-{value}")
    save(uow, record_id, demographics=demographics)
    return record_id


def born(year, month=3, day=5, *, family="LE GOFF", **more):
    names = (PersonName(family, "ANNE", use=NameUse.BIRTH),)
    return replace(ANNE, names=names, birth_date=PartialDate(year, month, day), **more)


def sketched(
    uow,
    names=(),
    births=(),
    *,
    by_birth=False,
    domains=(HERE,),
    most=99,
    past=False,
    **texts,
):
    found = uow.searches.sketched(
        [Range(*one) for one in names],
        [Range(*one) for one in births],
        by_birth=by_birth,
        domains=domains,
        most=most,
        past=past,
        **texts,
    )
    assert found is None or found == sorted(set(found))
    return None if found is None else set(found)


def ids(found):
    return {record_id for record_id, _ in found}


def test_a_record_is_found_by_the_forms_of_its_name_and_its_birth_date(store: Store) -> None:
    with store.write() as uow:
        record_id = state(uow, "A")

        assert set(uow.searches.sketches([record_id], domains=[HERE])) == {(record_id, s) for s in LE_GOFF}
        for asked in (
            {"names": [("LEG", "LEG~")]},
            {"births": [(19790305, 19790305)], "by_birth": True},
            {"names": [("LEG", "LEG~")], "births": [(19790000, 19790399)]},
            {"names": [("LEG", "LEG~")], "births": [(19790000, 19790399)], "by_birth": True},
            {"names": [("X", "X~"), ("LEG", "LEG~")], "births": [(1, 2), (19790305, 19790305)]},
        ):
            assert sketched(uow, **asked) == {record_id}, asked
        for asked in (
            {"names": [("LEH", "LEH~")]},
            {"births": [(19790306, 19790306)], "by_birth": True},
            {"names": [("LEG", "LEG~")], "births": [(19790306, 19790399)]},
            {"names": [("LEH", "LEH~")], "births": [(19790305, 19790305)], "by_birth": True},
        ):
            assert sketched(uow, **asked) == set(), asked


def test_names_are_in_the_order_of_their_letters(store: Store) -> None:
    with store.write() as uow:
        for value, family in enumerate(("DA", "DAB", "DAZZZ", "DB", "D9", "C", "E")):
            state(uow, str(value), born(1979, family=family))

        names = []
        sketched(uow, names=[("DA", "DA~")], named=names.append)

        assert set(names) == {"DA", "DAB", "DAZZZ"}


def test_a_record_met_twice_counts_once(store: Store) -> None:
    with store.write() as uow:
        record_id = state(uow, "A", born(1979, family="GOFF"))

        found = sketched(uow, names=[("GO", "GO~"), ("GOFF", "GOFF"), ("G", "G~")], most=1)

        assert found == {record_id}


@pytest.mark.parametrize("by_birth", [True, False])
def test_what_does_not_pass_is_not_found_and_counts(store: Store, by_birth: bool) -> None:
    with store.write() as uow:
        anne, lena = state(uow, "A"), state(uow, "B", replace(ANNE, names=(PersonName("LE GOFF", "LENA"),)))
        asked = {"names": [("GOFF", "GOFF")], "births": [(19790305, 19790305)], "by_birth": by_birth}

        assert sketched(uow, **asked) == {anne, lena}
        assert sketched(uow, **asked, given="LENA".__eq__) == {lena}
        assert sketched(uow, **asked, named="GOFF".__eq__) == {anne, lena}
        assert sketched(uow, **asked, named="GOFF".__eq__, given="ANNE MARIE".__eq__) == {anne}
        assert sketched(uow, **asked, named="LEGOFF".__eq__, most=2) == set()
        assert sketched(uow, **asked, named="LEGOFF".__eq__, most=1) is None


@pytest.mark.parametrize("by_birth", [True, False])
def test_more_than_the_most_is_not_told(store: Store, by_birth: bool) -> None:
    with store.write() as uow:
        for value in range(3):
            state(uow, str(value), born(1979, family="GOFF"))
        asked = {"names": [("GOFF", "GOFF")], "births": [(19790305, 19790305)], "by_birth": by_birth}

        assert len(sketched(uow, **asked, most=3)) == 3
        assert sketched(uow, **asked, most=2) is None


def test_many_ranges_are_asked_at_once(store: Store) -> None:
    with store.write() as uow:
        wanted = {state(uow, str(year), born(year)) for year in range(1900, 2020)}
        births = [(year * 10_000 + 305, year * 10_000 + 305) for year in range(1900, 2020)]

        assert sketched(uow, births=births, by_birth=True, most=500) == wanted
        assert sketched(uow, births=births, by_birth=True, most=200) is None


def test_only_the_domains_that_are_asked_for_count(store: Store) -> None:
    with store.write() as uow:
        here = state(uow, "A")
        there = [state(uow, str(value), domain=ELSEWHERE) for value in range(4)]
        phone = telecom_keys(uow.records.get(here).traits)

        assert sketched(uow, births=[(19790305, 19790305)], by_birth=True, most=2) == {here}
        assert uow.searches.keyed(phone, domains=[HERE], most=1) == [here]
        assert uow.searches.keyed(phone, domains=[HERE, ELSEWHERE], most=4) is None
        assert sorted(uow.searches.keyed(phone, domains=[ELSEWHERE], most=4)) == there
        assert uow.searches.within([HERE], most=1) == [here]
        assert uow.searches.within([ELSEWHERE], most=3) is None
        assert ids(uow.searches.sketches([here, *there], domains=[HERE])) == {here}
        assert uow.searches.numbered([RecordKey(HERE, "A")], most=1) == [here]
        assert uow.searches.keyed(phone, domains=[], most=9) == uow.searches.within([], most=9) == []


def test_a_record_is_found_by_its_phones_its_mails_and_its_postal_code(store: Store) -> None:
    with store.write() as uow:
        record_id = state(uow, "A")
        keys = keys_of(uow.records.get(record_id))

        assert len(keys) == 3
        assert postal_key("29200") in keys
        for one in keys:
            assert uow.searches.keyed([one], domains=[HERE], most=9) == [record_id]
        assert uow.searches.keyed([*keys, 5], domains=[HERE], most=1) == [record_id]
        assert uow.searches.keyed(keys, domains=[HERE], most=1, among=[9999, record_id]) == [record_id]
        assert uow.searches.keyed(keys, domains=[HERE], most=1, among=[9999]) == []
        assert uow.searches.keyed(keys, domains=[HERE], most=1, among=[]) == []
        assert uow.searches.keyed([postal_key("29201")], domains=[HERE], most=9) == []


def test_the_keys_of_records_are_read(store: Store) -> None:
    with store.write() as uow:
        here, there = state(uow, "A"), state(uow, "A", domain=ELSEWHERE)
        held = keys_of(uow.records.get(here))
        save(uow, here, demographics=replace(ANNE, phones=()))
        now = keys_of(uow.records.get(here))

        def read(record_ids, **which):
            return sorted(uow.searches.keys(record_ids, **{"domains": [HERE], **which}))

        assert len(now) == 2
        assert read([here, there]) == sorted((here, key) for key in now)
        assert read([here, there], past=True) == sorted((here, key) for key in held)
        assert {record_id for record_id, _ in read([here, there], domains=[ELSEWHERE])} == {there}
        assert read([]) == read([here], domains=[]) == []


def test_what_else_is_stated_of_records_is_read_without_the_rest(store: Store) -> None:
    told = replace(
        ANNE, address="3 rue de l'Église", city="Brest", country="FRA", mother_birth_name="\u0000RIOU"
    )
    with store.write() as uow:
        known, little, erased = state(uow, "A", told), state(uow, "B"), state(uow, "C")
        uow.records.erase(erased)

        found = dict(uow.searches.beside([known, little, erased, 9999]))

        assert found == {
            known: Beside("3 rue de l'Église", "29200", "Brest", "FRA", "\u0000RIOU"),
            little: Beside("", "29200", "", "", ""),
            erased: Beside("", "", "", "", ""),
        }
        assert list(uow.searches.beside([])) == []


def test_identifiers_that_begin_with_a_text(store: Store) -> None:
    with store.write() as uow:
        values = ("IPP", "IPP-1", "IPP-é", "IPP_2", "IPQ", "ipp", "IP", "IPP\U0001f600")
        made = {value: state(uow, value) for value in values}
        later_epoch = uow.records.add(key("IPP-1", 1), "EUID-again")

        found = uow.searches.numbered([key("IPP")], most=9)
        two = uow.searches.numbered([key("IPP-é"), key("ipp")], most=9)

        assert set(found) == {made[v] for v in ("IPP", "IPP-1", "IPP-é", "IPP_2", "IPP\U0001f600")} | {
            later_epoch
        }
        assert set(two) == {made["IPP-é"], made["ipp"]}
        assert uow.searches.numbered([key("IPP")], most=5) is None
        assert uow.searches.numbered([], most=5) == []


def test_what_a_record_was_found_by_is_remembered_as_past(store: Store) -> None:
    with store.write() as uow:
        record_id = state(uow, "A")
        uow.commit()
    with store.write() as uow:
        save(uow, record_id, demographics=born(1979, family="RIOU", phones=("0698765432",)))
        uow.commit()
    with store.read() as uow:
        before, after = [("GOFF", "GOFF~")], [("RIOU", "RIOU~")]
        record = uow.records.get(record_id)
        old, new = keys_of(replace(record, traits=normalise(ANNE))), keys_of(record)

        assert sketched(uow, names=before) == set()
        assert sketched(uow, names=before, past=True) == {record_id}
        assert sketched(uow, names=after) == sketched(uow, names=after, past=True) == {record_id}
        assert uow.searches.keyed(old - new, domains=[HERE], most=9) == []
        assert uow.searches.keyed(old - new, domains=[HERE], most=9, past=True) == [record_id]
        assert uow.searches.keyed(new - old, domains=[HERE], most=9) == [record_id]
        assert {s.name for _, s in uow.searches.sketches([record_id], domains=[HERE])} == {"RIOU"}
        past = uow.searches.sketches([record_id], domains=[HERE], past=True)
        assert {s.name for _, s in past} == {"RIOU", "GOFF", "LEGOFF"}


def test_what_was_past_may_be_true_again(store: Store) -> None:
    with store.write() as uow:
        record_id = state(uow, "A")
        save(uow, record_id, demographics=born(1979, family="RIOU", phones=()))
        save(uow, record_id, demographics=replace(ANNE, names=(PersonName("LE GOFF", "LENA"),)))

        assert sketched(uow, names=[("GOFF", "GOFF")]) == {record_id}
        assert sketched(uow, names=[("RIOU", "RIOU")]) == set()
        assert {s.given for _, s in uow.searches.sketches([record_id], domains=[HERE])} == {"LENA"}
        [phone] = telecom_keys(normalise(Demographics(phones=ANNE.phones)))
        assert uow.searches.keyed([phone], domains=[HERE], most=9) == [record_id]


@pytest.mark.parametrize("code", ["ANOM", "CACH"])
def test_nothing_is_kept_of_who_is_protected(store: Store, code: str) -> None:
    with store.write() as uow:
        hidden = state(uow, "A")
        save(uow, hidden, demographics=replace(ANNE, identity_codes=(code,)))
        never = state(uow, "B", replace(ANNE, identity_codes=(code,)))
        keys = telecom_keys(normalise(ANNE))

        assert uow.searches.sketches([hidden, never], domains=[HERE], past=True) == []
        assert uow.searches.keyed(keys, domains=[HERE], most=9, past=True) == []

        save(uow, hidden, demographics=ANNE)
        assert sketched(uow, names=[("GOFF", "GOFF")]) == {hidden}


def test_nothing_is_kept_of_who_is_erased(store: Store) -> None:
    with store.write() as uow:
        record_id = state(uow, "A")
        save(uow, record_id, demographics=born(1979, family="RIOU"))
        uow.records.erase(record_id)

        assert uow.searches.sketches([record_id], domains=[HERE], past=True) == []
        assert uow.searches.keyed(telecom_keys(normalise(ANNE)), domains=[HERE], most=9, past=True) == []


def test_nothing_is_kept_of_who_was_never_stated(store: Store) -> None:
    with store.write() as uow:
        record_id = uow.records.add(key("A"), "EUID-A")
        uow.records.save_current(uow.records.get(record_id), blocking_keys=())

        assert uow.searches.sketches([record_id], domains=[HERE], past=True) == []


def test_what_is_rolled_back_is_not_found(store: Store) -> None:
    with store.write() as uow:
        record_id = state(uow, "A")
        uow.commit()
    with store.write() as uow:
        save(uow, record_id, demographics=born(1979, family="RIOU", phones=()))
        state(uow, "B")
    with store.read() as uow:
        assert sketched(uow, births=[(19790305, 19790305)], by_birth=True, past=True) == {record_id}
        assert {s for _, s in uow.searches.sketches([record_id], domains=[HERE], past=True)} == LE_GOFF
        assert uow.searches.keyed([postal_key("29200")], domains=[HERE], most=9) == [record_id]


def test_names_without_end_are_kept_in_part(store: Store) -> None:
    endless = PersonName(" ".join(["LE GOFF"] * 300), " ".join(["ANNE"] * 300))
    with store.write() as uow:
        record_id = state(uow, "A", replace(ANNE, names=(endless, PersonName("Ø" * 5_000))))
        found = uow.searches.sketches([record_id], domains=[HERE])

        assert 0 < len(found) <= 16
        assert all(len(sketch.name) <= 80 and len(sketch.given) <= 200 for _, sketch in found)


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_store_that_was_filled_before_is_searched_like_any_other(
    request: pytest.FixtureRequest, database: str
) -> None:
    """The migration derives what records are found by from what is stored of them."""
    filled_url, earlier_url = _two_databases(request, database)
    with open_store(filled_url, allow_unsafe=True) as store, store.write() as uow:
        for value in range(5):
            state(uow, str(value), born(1950 + value, phones=(f"061234567{value}",)))
        state(uow, "hidden", replace(ANNE, identity_codes=("CACH",)))
        uow.records.add(key("unstated"), "EUID-unstated")
        add_record(uow, "full")
        uow.commit()
    filled, earlier = engine_of(filled_url), engine_of(earlier_url)
    with filled.connect() as left, earlier.connect() as right:
        config = alembic_config()
        config.attributes["connection"] = right
        command.upgrade(config, "0004")
        for row in left.execute(select(SOURCE_RECORD)).mappings():
            right.execute(insert(SOURCE_RECORD), dict(row))
        migrate(right)

        for table in (SEARCH_NAME, SEARCH_KEY):
            assert _rows(left, table) == _rows(right, table) != set()
    filled.dispose()
    earlier.dispose()


def _two_databases(request: pytest.FixtureRequest, database: str) -> tuple[str, str]:
    """A store to fill, and an empty database."""
    if database == "sqlite":
        return request.getfixturevalue("sqlite_url"), "sqlite://"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return request.getfixturevalue("postgres_url"), server.create_database(template="template1")


def _rows(connection: Connection, table: Table) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in connection.execute(select(table))}


def engine_of(url: str) -> Engine:
    address = make_url(url)
    return create_engine(
        address.set(drivername={"postgresql": "postgresql+psycopg"}.get(address.drivername, "sqlite"))
    )
