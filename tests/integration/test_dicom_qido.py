"""QIDO-RS against servers that take the standard lightly: scripted ones, over real sockets."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from mpi.feeds.dicom import qido
from mpi.feeds.dicom.archive import Answer, CutOff, SiteProblem
from mpi.feeds.dicom.header import PATIENT_NAME, STUDY_DATE, STUDY_INSTANCE_UID
from mpi.feeds.dicom.qido import QidoArchive

Reply = tuple[int, bytes, dict[str, str]]
DAY = {STUDY_DATE: "20260302-20260302"}


def study(number: int) -> dict[str, Any]:
    return {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "NOËL^HÉLÈNE"}]},
        "00100020": {"vr": "LO", "Value": [f"A{number}"]},
        "0020000D": {"vr": "UI", "Value": [f"2.999.{number}"]},
    }


STUDIES = [study(number) for number in range(25)]


@contextmanager
def serving(
    answer: Callable[[str], Reply], tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[str]]]:
    """A site that answers so: its address, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, body, headers = answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:  # each connection shakes hands in its own thread
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}/dicom-web/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def page(path: str, *, limit: bool = True, offset: bool = True, cap: int = 1_000) -> Reply:
    asked = parse_qs(urlsplit(path).query)
    start = int(asked["offset"][0]) if offset else 0
    count = min(cap, int(asked["limit"][0]) if limit else len(STUDIES))
    return 200, json.dumps(STUDIES[start : start + count]).encode(), {}


def harvest(address: str, **settings: int) -> list[Answer]:
    with httpx2.Client(timeout=10) as client:
        archive = QidoArchive(address, client, page_size=settings.get("page_size", 10))
        return [answer for one in archive.studies(DAY, skip=settings.get("skip", 0)) for answer in one]


def uids(answers: list[Answer]) -> list[str]:
    return [answer.text(STUDY_INSTANCE_UID) for answer in answers]


ALL = [f"2.999.{number}" for number in range(25)]


@pytest.mark.parametrize(
    "ignoring",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"limit": False, "offset": False}, id="limit and offset"),
        pytest.param({"limit": False}, id="limit"),
        pytest.param({"offset": False}, id="offset"),
        pytest.param({"cap": 4}, id="a limit above its own"),
    ],
)
def test_every_study_comes_once_from_a_site_that_ignores(ignoring: dict[str, Any]) -> None:
    with serving(lambda path: page(path, **ignoring)) as (address, _):
        assert uids(harvest(address)) == ALL


def test_what_a_site_never_gives_is_not_taken_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qido, "MAX_PAGE_SIZE", 20)
    with serving(lambda path: page(path, offset=False)) as (address, _), pytest.raises(CutOff):
        harvest(address)


def test_a_harvest_goes_on_after_what_it_had() -> None:
    with serving(page) as (address, asked):
        assert uids(harvest(address, skip=20)) == ALL[20:]

    assert "offset=20" in asked[0]


def test_the_question_is_spelt_as_sites_understand_it() -> None:
    with serving(lambda _: (200, b"[]", {})) as (address, asked), httpx2.Client() as client:
        list(QidoArchive(address, client).studies({PATIENT_NAME: "*GO?F*", **DAY}))

    assert asked[0].startswith(
        "/dicom-web/studies?PatientName=*GO?F*&StudyDate=20260302-20260302&includefield="
    )
    assert "includefield=00100021" in asked[0]


def test_a_site_that_refuses_our_fields_is_asked_without() -> None:
    def answer(path: str) -> Reply:
        return (400, b"", {}) if "includefield" in path else page(path)

    with serving(answer) as (address, _):
        assert uids(harvest(address)) == ALL


def test_a_site_that_wants_fewer_gets_fewer() -> None:
    def answer(path: str) -> Reply:
        limit = int(parse_qs(urlsplit(path).query)["limit"][0])
        return (413, b"", {}) if limit > 3 else page(path)

    with serving(answer) as (address, _):
        assert uids(harvest(address)) == ALL


@pytest.mark.parametrize(("status", "body"), [(204, b""), (200, b""), (200, b"[]")])
def test_nothing_found_has_several_spellings(status: int, body: bytes) -> None:
    with serving(lambda _: (status, body, {})) as (address, _):
        assert harvest(address) == []


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param((500, b"", {}), id="500"),
        pytest.param((401, b"", {}), id="401"),
        pytest.param((302, b"", {"Location": "http://127.0.0.1:1/"}), id="a redirect"),
        pytest.param((200, b"<html>login</html>", {}), id="a login page"),
        pytest.param((200, b'{"error": 1}', {}), id="an object"),
        pytest.param((200, b"[" * 100_000, {}), id="nested JSON"),
        pytest.param((200, b"\x1f\x8b", {"Content-Encoding": "gzip"}), id="compressed unasked"),
    ],
)
def test_a_site_that_answers_nonsense_has_a_problem(reply: Reply) -> None:
    with serving(lambda _: reply) as (address, _), pytest.raises(SiteProblem):
        harvest(address)


def test_a_site_that_is_not_there_has_a_problem() -> None:
    with pytest.raises(SiteProblem):
        harvest("http://127.0.0.1:1/dicom-web")


def test_a_busy_site_says_when_to_come_back() -> None:
    with (
        serving(lambda _: (503, b"", {"Retry-After": "120"})) as (address, _),
        pytest.raises(SiteProblem) as raised,
    ):
        harvest(address)

    assert raised.value.retry_after_seconds == 120


def test_a_page_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qido, "MAX_PAGE_BYTES", 10_000)
    with serving(lambda _: (200, b" " * 20_000, {})) as (address, _), pytest.raises(SiteProblem):
        harvest(address)


def test_one_broken_study_among_others_is_told() -> None:
    broken = [STUDIES[0], "nonsense", {"00100020": {"vr": "LO", "Value": {"a": 1}}}, STUDIES[1]]

    def answer(path: str) -> Reply:
        first = "offset=0" in path
        return 200, json.dumps(broken if first else []).encode(), {}

    with serving(answer) as (address, _):
        answers = harvest(address)

    assert [answer.header is not None for answer in answers] == [True, False, False, True]
    assert all(answer.raw.startswith(b"{") for answer in answers if answer.header is None)
