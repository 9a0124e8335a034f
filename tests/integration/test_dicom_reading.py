"""Headers read by child processes: the same headers, and nothing a bomb can do to their parent."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mpi.errors import FeedError, UnreadableMessage, UnsupportedMessage
from mpi.feeds.dicom import child
from mpi.feeds.dicom.header import HeaderText, read_header
from mpi.feeds.dicom.ingest import ingest_dicom, read_message
from mpi.feeds.dicom.patient import identity_from_header
from mpi.feeds.dicom.reading import DIED, HeaderReaders
from tests.unit.feeds.dicom import hostile
from tests.unit.feeds.dicom.files import (
    PACS_A,
    FakeRegistry,
    build_directory,
    build_header,
    other_id,
    raw_element,
    raw_file,
    write_file,
)

REFUSAL_SECONDS = 8.0
"""Two are promised on a machine of its own; tests share theirs."""


@pytest.fixture(scope="module")
def readers() -> Iterator[HeaderReaders]:
    with HeaderReaders(2) as running:
        yield running


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    header = build_header(PatientName="NOËL^HÉLÈNE", OtherPatientIDsSequence=[other_id("1", "SITE-B")])
    return write_file(tmp_path / "a.dcm", header)


def test_a_child_reads_what_this_process_reads(readers: HeaderReaders, whole: Path) -> None:
    for source in (whole, whole.read_bytes()):
        found, expected = readers.read(source), read_header(source)

        assert HeaderText(found).to_json() == HeaderText(expected).to_json()
        assert identity_from_header(found, PACS_A, build_directory()) == identity_from_header(
            expected, PACS_A, build_directory()
        )


def test_what_was_tolerated_is_told_by_the_child(readers: HeaderReaders) -> None:
    undeclared = raw_file(
        raw_element(0x0010, 0x0010, b"PN", "NOËL^LOU".encode("latin_1")), hostile.IDENTIFIER, hostile.STUDY
    )

    record = identity_from_header(readers.read(undeclared), PACS_A, build_directory())

    assert "(0010,0010): 8-bit bytes without a declared character set, read as Latin-1" in record.warnings


def test_an_uncertain_identifier_is_refused_through_a_child_too(readers: HeaderReaders) -> None:
    uncertain = raw_file(hostile.NAME, raw_element(0x0010, 0x0020, b"LO", b"A\xe9"), hostile.STUDY)

    with pytest.raises(FeedError, match="cannot be read with certainty"):
        identity_from_header(readers.read(uncertain), PACS_A, build_directory())


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(lambda: hostile.nested(300), id="300 sequences in one another"),
        pytest.param(lambda: hostile.nested(60_000), id="60,000 sequences in one another"),
        pytest.param(lambda: hostile.nested_elsewhere(60_000), id="60,000 where nobody looks"),
        pytest.param(lambda: hostile.deflated(64 * 1024 * 1024), id="64 MiB in 64 KiB of deflated bytes"),
        pytest.param(lambda: hostile.claims_length(0xFFFFFFFE), id="an element of 4 GiB"),
        pytest.param(lambda: hostile.claims_length(0x7FFFFFFE, b"SQ"), id="a sequence of 2 GiB"),
        pytest.param(lambda: hostile.many_elements(12_000), id="12,000 elements"),
        pytest.param(lambda: hostile.many_items(200_000), id="200,000 items"),
        pytest.param(
            lambda: raw_file(raw_element(0x0010, 0x0010, b"UT", b"x" * 9_000_000), hostile.STUDY),
            id="a name of 9 MB",
        ),
        pytest.param(lambda: b"", id="nothing"),
    ],
)
def test_a_bomb_is_one_refused_object(bomb: Callable[[], bytes], readers: HeaderReaders, whole: Path) -> None:
    began = time.monotonic()

    with pytest.raises((UnreadableMessage, UnsupportedMessage)):
        readers.read(bomb())

    assert time.monotonic() - began < REFUSAL_SECONDS
    assert HeaderText(readers.read(whole)).first(0x00100020) == "A1001"


def test_ten_nested_sequences_are_still_read(readers: HeaderReaders) -> None:
    assert HeaderText(readers.read(hostile.nested_elsewhere(10))).first(0x00100020) == "A1001"


def test_an_object_that_hangs_its_reader_is_unreadable_and_the_next_is_read(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "hangs.py"
    fake.write_text(
        "import sys, time\n"
        "import mpi.feeds.dicom.child as child\n"
        "answer = child.answer\n"
        "def slow(request):\n"
        "    if request[1:] == b'hang': time.sleep(600)\n"
        "    if request[1:] == b'spin':\n"
        "        while True: pass\n"
        "    if request[1:] == b'grow': return bytearray(1 << 30)\n"
        "    if request[1:] == b'die': sys.exit(1)\n"
        "    if request[1:] == b'lie': return ['not an answer']\n"
        "    return answer(request)\n"
        "child.answer = slow\n"
        "child.main()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("mpi.feeds.dicom.reading._CHILD", "hangs")
    with HeaderReaders(1, read_seconds=3.0) as readers:
        for number, bad in enumerate((b"hang", b"spin", b"grow", b"die", b"lie"), start=1):
            with pytest.raises(UnreadableMessage, match=DIED):
                readers.read(bad)

            assert readers.replaced == number
            assert HeaderText(readers.read(whole)).first(0x00100020) == "A1001"


def test_a_child_killed_from_outside_is_no_fault_of_the_object(whole: Path) -> None:
    with HeaderReaders(1) as readers:
        readers.read(whole)
        worker = readers._idle.queue[0]
        assert worker is not None
        os.kill(worker._process.pid, signal.SIGKILL)

        assert HeaderText(readers.read(whole)).first(0x00100020) == "A1001"


def test_many_threads_share_few_children(readers: HeaderReaders, tmp_path: Path) -> None:
    paths = [write_file(tmp_path / f"{n}.dcm", build_header(PatientID=f"A{n}")) for n in range(8)]
    wrong: list[str] = []

    def read_all(number: int) -> None:
        for _ in range(20):
            found = HeaderText(readers.read(paths[number])).first(0x00100020)
            if found != f"A{number}":
                wrong.append(found)

    threads = [threading.Thread(target=read_all, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_child_writes_no_file_and_leaves_no_core() -> None:
    with HeaderReaders(1) as readers:
        readers.read(raw_file(hostile.NAME, hostile.IDENTIFIER, hostile.STUDY))
        worker = readers._idle.queue[0]
        assert worker is not None
        limits = Path(f"/proc/{worker._process.pid}/limits").read_text()

    found = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()[1:]}
    assert found["Max file size"] == found["Max core file size"] == ["0", "0"]
    assert int(found["Max address space"][0]) < 1 << 30
    assert int(found["Max cpu time"][0]) <= 2 + child.CPU_SECONDS + 60


def test_a_bomb_in_a_folder_is_quarantined_and_read_again_in_a_child(tmp_path: Path) -> None:
    (tmp_path / "a-bomb.dcm").write_bytes(hostile.nested(2_000))
    write_file(tmp_path / "b.dcm", build_header())
    registry = FakeRegistry()

    summary = ingest_dicom(registry, build_directory(), [tmp_path], "pacs-a", lambda *_: None)

    assert (summary.quarantined, summary.applied) == (1, 1)
    with pytest.raises(UnreadableMessage):
        read_message(registry.envelopes[0], build_directory())


def _fuzz(readers: HeaderReaders, whole: bytes, count: int, seed: int) -> Counter[str]:
    fates: Counter[str] = Counter()
    for broken in hostile.mutations(whole, count, seed):
        try:
            header = readers.read(broken)
            identity_from_header(header, PACS_A, build_directory())
            fates["stated"] += 1
        except Exception as error:  # noqa: BLE001 - what is not ours is what this looks for
            fates[type(error).__name__] += 1
    return fates


@pytest.mark.parametrize(
    "count", [pytest.param(2_000, id="2,000"), pytest.param(50_000, id="50,000", marks=pytest.mark.long)]
)
def test_a_mutated_header_is_read_or_refused_and_never_more(
    count: int, readers: HeaderReaders, whole: Path
) -> None:
    before = readers.replaced

    fates = _fuzz(readers, whole.read_bytes(), count, seed=count)

    assert sum(fates.values()) == count
    assert set(fates) <= {
        "stated", "UnreadableMessage", "UnsupportedMessage", "InvalidIdentity", "UnknownAuthority", "NotPermitted",
    }  # fmt: skip
    assert fates["stated"] > count / 20
    assert readers.replaced - before <= count / 1000
