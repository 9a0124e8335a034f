"""
The first messages of a patient, arriving together: one record, one person, whatever the store.

The race that leaves duplicates in the best open systems: the same new identifier from many
connections, and different new identifiers of one new person, which cannot see each other.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from mpi.identity.model import RecordKey
from mpi.store import open_store
from tests.integration.running import SITES, Index, a28, field

ROUNDS = 12
GIVEN = ("LOUISE", "HUGUETTE", "MARGUERITE", "THEOPHILE", "SIDONIE", "BAPTISTE", "OCTAVE", "ZELIE", "FAUSTIN", "IRMA",
         "LEOPOLD", "ADELE")  # fmt: skip
FAMILIES = ("CHANTEREAU", "DUVIVIER", "OEUVRARD", "LE GOFF", "BERTHELOT", "MOUSSAOUI", "PEREIRA", "NGUYEN", "HOARAU",
            "VANDERMEERSCH", "ZIMMERMANN", "ITURRALDE")  # fmt: skip


def together(index, messages):
    """Send every message at the same moment, each over its own connection; the acknowledgements."""
    barrier = Barrier(len(messages), timeout=60)

    def send(message):
        with index.client() as client:
            client.send(a28("A", "warm-up", "warm-up"))
            barrier.wait()
            return field(client.send(message), "MSA", 1)

    with ThreadPoolExecutor(len(messages)) as pool:
        return list(pool.map(send, messages))


def who(number):
    return {
        "name": f"{FAMILIES[number]}^{GIVEN[number]}^{GIVEN[number]}^^^^L",
        "born": f"19{50 + number}0{1 + number % 9}1{number % 9}",
        "sex": "F" if number % 2 else "M",
    }


def euids(store, keys):
    with store.read() as uow:
        records = uow.records.by_keys(keys)
        assert len(records) == len(keys)
        return set(uow.memberships.current([record.id for record in records.values()]).values())


def test_eight_first_messages_of_one_identifier_leave_one_record(url, tmp_path):
    index = Index.at(tmp_path, url).start()
    try:
        for number in range(ROUNDS):
            messages = [a28("A", f"N{number}", f"{number}-{i}", **who(number)) for i in range(8)]
            assert together(index, messages) == ["AA"] * 8
    finally:
        index.kill()
    with open_store(url) as store, store.read() as uow:
        stated = [uow.records.by_key(RecordKey("2.999.1.1", f"N{number}")) for number in range(ROUNDS)]
        assert all(record is not None and len(uow.records.statements(record.id)) == 8 for record in stated)
        assert len(uow.records.all_ids()) == ROUNDS + 1  # and the warm-up


@pytest.mark.parametrize(
    "sites", [SITES, "AABBCCDD"], ids=["eight domains", "two identifiers in each of four"]
)
def test_eight_identifiers_of_one_new_person_leave_one_person(sites, url, tmp_path):
    index = Index.at(tmp_path, url).start()
    try:
        for number in range(ROUNDS):
            messages = [
                a28(site, f"P{number}-{i}", f"{number}-{i}", **who(number)) for i, site in enumerate(sites)
            ]
            assert together(index, messages) == ["AA"] * 8
    finally:
        index.kill()
    with open_store(url) as store:
        found = [
            euids(
                store, [RecordKey(f"2.999.1.{SITES.index(s) + 1}", f"P{n}-{i}") for i, s in enumerate(sites)]
            )
            for n in range(ROUNDS)
        ]
    assert [len(people) for people in found] == [1] * ROUNDS
    assert len(set.union(*found)) == ROUNDS


@pytest.mark.postgres
def test_two_processes_on_one_database_leave_one_person(durable_postgres_url, tmp_path):
    indexes = [Index.at(tmp_path / name, durable_postgres_url).start() for name in ("one", "two")]
    try:
        for number in range(ROUNDS):
            barrier = Barrier(8, timeout=60)

            def send(i, number=number, barrier=barrier):
                with indexes[i % 2].client() as client:
                    client.send(a28("A", "warm-up", f"warm-up-{i % 2}"))
                    barrier.wait()
                    return field(
                        client.send(a28(SITES[i], f"P{number}", f"{number}-{i}", **who(number))), "MSA", 1
                    )

            with ThreadPoolExecutor(8) as pool:
                assert list(pool.map(send, range(8))) == ["AA"] * 8
    finally:
        for index in indexes:
            index.kill()
    with open_store(durable_postgres_url) as store:
        for number in range(ROUNDS):
            assert len(euids(store, [RecordKey(f"2.999.1.{i + 1}", f"P{number}") for i in range(8)])) == 1
