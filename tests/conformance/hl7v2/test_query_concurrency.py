"""Many consumers at once, over real sockets and the real index: every answer is that of its own question."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mpi.feeds.mllp import MllpClient
from tests.conformance.hl7v2.test_queries_over_the_index import Federation, cx, ids
from tests.unit.feeds.hl7v2.fakes import Reply, query, search
from tests.unit.feeds.listening import listening

CONNECTIONS = 20
ROUNDS = 8


def people(index):
    """One person for each connection, at two sites, with a name and a birth date of their own."""
    for number in range(CONNECTIONS):
        name = "".join(chr(ord("A") + (number * 11 + k * 7 + number // 3) % 26) for k in range(8))
        who = f"{name}^LOUISE^^^^^L||19{50 + number}0214|F|||^^^^^FRA^BDL^^29{number:03}"
        for site in "AB":
            index.state(site, f"{site}{number}", who)
        yield f"19{50 + number}0214"


def together(port, work):
    """One connection for each, all at the same moment; what each worked out."""
    barrier = threading.Barrier(CONNECTIONS, timeout=60)

    def run(number):
        with MllpClient("127.0.0.1", port) as client:
            barrier.wait()
            return [work(client, number, turn) for turn in range(ROUNDS)]

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(run, range(CONNECTIONS)))


@pytest.fixture
def served(store):
    index = Federation(store)
    births = list(people(index))
    with ThreadPoolExecutor(8) as workers, listening(index.handler.handle, executor=workers) as port:
        yield index, births, port


def test_q09_twenty_connections_keep_their_questions_apart(served):
    """[Q09] 20 connections at once, ITI-9: MSA-2, QAK-1, QPD and PID are those of the question asked there."""
    _, _, port = served

    def ask(client, number, turn):
        tag, control_id = f"T{number}-{turn}", f"Q{number}-{turn}"
        asked = query(cx("A", f"A{number}"), control_id=control_id).replace("QT-0001", tag)
        reply = Reply(client.send(asked.encode()), "utf-8")
        return (reply.first("MSA", 2), reply.first("QAK", 1), ids(reply)) == (
            control_id,
            tag,
            [[f"B{number}"]],
        ) and asked.split("\r")[1] in reply.lines

    assert together(port, ask) == [[True] * ROUNDS] * CONNECTIONS


def test_q09_demographics_queries_and_their_pages_at_once(served):
    """[Q09] 20 connections at once, ITI-21: each gets its own people and its own further pages."""
    index, births, port = served

    def ask(client, number, turn):
        tag = f"T{number}-{turn}"
        other = births[(number + 1) % CONNECTIONS]
        criteria = (f"@PID.7^{births[number]}&{other}", "@PID.8^F")
        first = Reply(client.send(search(*criteria, tag=tag, rcp="RCP|I|1^RD").encode()), "utf-8")
        dsc = f"{first.first('DSC', 1)}|I"
        second = Reply(client.send(search(*criteria, tag=tag, rcp="RCP|I|1^RD", dsc=dsc).encode()), "utf-8")
        named = sorted(one for reply in (first, second) for (one, _) in ids(reply))
        assert (first.first("QAK", 1), second.first("QAK", 1)) == (tag, tag)
        return named == sorted(f"A{n % CONNECTIONS}" for n in (number, number + 1))

    assert together(port, ask) == [[True] * ROUNDS] * CONNECTIONS
    assert len(index.audited("query.search")) == CONNECTIONS * ROUNDS * 2
