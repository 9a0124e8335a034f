import pytest

from mpi.feeds.hl7v2.minimised import minimised
from tests.unit.feeds.hl7v2.fakes import KEY_A, PID, Feed, adt

FORBIDDEN = "|".join(["PID", "", "", "A1", "", "ROUX^ANNE", "", "1980", "F", "", "ZQX10", "", "", "", "", "", "",
                      "ZQX17", "", "ZQX19", "", "", "ZQX22", "LIMOGES"])  # fmt: skip
KEPT = "|".join(["PID", "", "", "A1", "", "ROUX^ANNE", "", "1980", "F", *[""] * 14, "LIMOGES"])
NEXT_OF_KIN = "NK1|1|ROUX^JEAN" + "|" * 23 + "ZQX25|||ZQX28|||||||ZQX35"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"MSH|a\r{FORBIDDEN}\rPV1||I\r", f"MSH|a\r{KEPT}\rPV1||I\r"),
        (f"MSH|a\n{FORBIDDEN}\r\nPV1||I", f"MSH|a\n{KEPT}\r\nPV1||I"),
        ("MSH|a\rZFS|ZQX\rZFP|ZQX\rZFA|ZQX\rZFD||||N\r", "MSH|a\rZFD||||N\r"),
        (f"MSH|a\r{NEXT_OF_KIN}", "MSH|a\rNK1|1|ROUX^JEAN" + "|" * 33),
        (f"MSH|a\r{PID}\rOBX|PID|ZFS|\r", f"MSH|a\r{PID}\rOBX|PID|ZFS|\r"),
        ("", ""),
    ],
)
def test_what_is_never_kept_is_blank_and_the_rest_untouched(before, after):
    assert minimised(before.encode()) == after.encode()


def test_the_separator_is_the_one_declared():
    assert minimised(b"PID#" + b"#" * 8 + b"#ZQX#", "#") == b"PID#" + b"#" * 8 + b"##"


@pytest.mark.parametrize("charset", ["", "UNICODE UTF-8", "KLINGON"])
def test_the_journal_keeps_none_of_it_whatever_becomes_of_the_message(charset):
    feed = Feed()
    text = adt("A28", FORBIDDEN, NEXT_OF_KIN, "ZFS|ZQX", "ZFA|ZQX", "ZFD||||N", charset=charset)
    feed.send(text)
    feed.send(text.removeprefix("MSH"))

    assert len(feed.registry.journal) == 2
    assert all(b"ZQX" not in envelope.raw and b"ZFD" in envelope.raw for envelope, _ in feed.registry.journal)


def test_what_was_dropped_is_said():
    feed = Feed()
    reply = feed.send(adt("A28", FORBIDDEN, "ZFS|1", "ZFA|ACTIF"))

    assert reply.msa_1 == "AA"
    assert feed.latest(KEY_A, "A1").warnings == (
        "ZFA^1: not kept", "ZFS^1: not kept", "PID^1^10: not read", "PID^1^17: not read", "PID^1^19: not read",
        "PID^1^22: not read",
    )  # fmt: skip
