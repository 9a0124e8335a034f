"""The reader held to hl7apy, and its own laws."""

import random
import string
from collections import Counter

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_segment
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi.errors import UnreadableMessage
from mpi.feeds.hl7v2 import er7
from mpi.index.events import MessageState
from mpi.index.parties import Acknowledgement, Quirk
from tests.properties import hl7_grammar
from tests.unit.feeds.hl7v2.fakes import Feed, adt

PUNCTUATION = sorted(set(string.punctuation) - {'"'})
HEAD = "MSH|^~\\&|RIS_A|SITE_A|MPI|FED|20260302||ADT^A28|1|P|2.5|||||FRA|UNICODE UTF-8\r"

# No white space: hl7apy drops a value made of nothing else. No \Xhh..\: it does not read that one.
characters = st.characters(blacklist_categories=("Cc", "Cs", "Zs", "Zl", "Zp"), blacklist_characters="|^~&\\")
escapes = st.sampled_from(["\\F\\", "\\S\\", "\\T\\", "\\R\\", "\\E\\"])
texts = st.lists(st.text(characters, min_size=1, max_size=4) | escapes, max_size=3).map("".join)
values = texts | st.just('""')
subcomponents = st.lists(values, min_size=1, max_size=3).map("&".join)
COMPONENTS = {3: 10, 5: 14, 11: 12, 13: 4}
"""PID fields, and components compared: all of CX, XPN, XAD; of XTN, those before the numbers hl7apy rewrites."""


def repetitions(count):
    one = st.lists(subcomponents, min_size=1, max_size=count).map("^".join)
    return st.lists(one, min_size=1, max_size=3).map("~".join)


pids = st.fixed_dictionaries({number: repetitions(count) for number, count in COMPONENTS.items()})


@settings(max_examples=40, deadline=None)
@given(pids)
def test_hl7apy_reads_the_same_values(fields):
    line = "|".join(["PID", *(fields.get(number, "") for number in range(1, 14))])
    ours = er7.read((HEAD + line + "\r").encode()).segment("PID")
    theirs = parse_segment(line, version="2.5", validation_level=VALIDATION_LEVEL.TOLERANT)

    for number, count in COMPONENTS.items():
        our_repetitions = [rep for rep in ours.repetitions(number) if rep.raw.strip("^&")]
        their_repetitions = [rep for rep in getattr(theirs, f"pid_{number}") if rep.to_er7().strip("^&")]
        for mine, other in zip(our_repetitions, their_repetitions, strict=True):
            assert _read_by_us(mine, count) == _read_by_hl7apy(other, count)


def _read_by_us(repetition, count):
    return {
        (component, part): (
            '""' if repetition.is_null(component, part) else repetition.value(component, part)
        )
        for component in range(1, count + 1)
        for part in (1, 2, 3)
    }


def _read_by_hl7apy(field, count):
    datatype = field.datatype.lower()
    found = {}
    for component in range(1, count + 1):
        children = getattr(field, f"{datatype}_{component}")
        parts = (children[0].to_er7() if children else "").split("&")
        for part in (1, 2, 3):
            found[component, part] = er7.unescape(parts[part - 1]) if part <= len(parts) else ""
    return found


separator_sets = st.permutations(PUNCTUATION).map(lambda marks: er7.Separators(*marks[:5]))
anything = st.text(st.characters(blacklist_categories=("Cc", "Cs")), max_size=12)


@settings(deadline=None)
@given(separator_sets, anything)
def test_escaping_is_undone_exactly_for_every_set_of_delimiters(separators, text):
    written = er7.escape(text, separators)

    assert er7.unescape(written, separators) == text
    assert not set(written) & {separators.field, separators.component, separators.repetition}


@settings(deadline=None)
@given(separator_sets, st.lists(anything.filter(lambda text: text != '""'), min_size=1, max_size=4))
def test_reading_is_the_reverse_of_writing_for_every_set_of_delimiters(separators, parts):
    field = separators.component.join(er7.escape(part, separators) for part in parts)
    mark = separators.field
    head = f"MSH{mark}{''.join(separators[1:])}{mark * 16}UNICODE"
    pid = er7.read(f"{head}\rPID{mark * 3}{field}\r".encode()).segment("PID")

    assert [pid.value(3, number) for number in range(1, len(parts) + 1)] == parts


@settings(deadline=None)
@given(separator_sets, st.lists(anything.filter(lambda text: text != '""'), min_size=1, max_size=4))
def test_recoding_keeps_the_values(separators, parts):
    field = separators.component.join(er7.escape(part, separators) for part in parts)
    recoded = er7.recode(field, separators)

    assert [er7.unescape(part) for part in recoded.split("^")] == parts


@settings(deadline=None)
@given(
    st.text(st.characters(min_codepoint=0xA0, exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20),
    st.sampled_from(["8859/1", "8859/15", ""]),
)
def test_utf_8_reads_the_same_whatever_is_declared(name, charset):
    head = HEAD.partition("\rPID")[0].rpartition("|")[0]
    pid, declared = (
        er7.read(f"{head}|{spelling}\rPID|||1||{name}\r".encode()).segment("PID").field(5)
        for spelling in (charset, "UNICODE UTF-8")
    )

    assert pid == declared == name


@settings(deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda tail: b"MSH|^~\\&|" + tail))
def test_any_bytes_are_read_or_refused(frame):
    try:
        message = er7.read(frame)
    except UnreadableMessage:
        return
    assert message.msh.field(1) == chr(frame.lstrip(b"\r\n")[3])


@pytest.fixture(scope="module")
def feed():
    return Feed()


MESSAGE = adt(
    "A28",
    "PID|1||A1^^^SITE-A&2.999.1.1&ISO^PI||ROUX^ANNE^^^^^L||1980|F|||1 RUE^^LIMOGES^^87000^FRA^H",
    charset="8859/1",
).encode()
mutations = st.lists(
    st.tuples(st.integers(0, len(MESSAGE) - 1), st.binary(max_size=3), st.integers(0, 4)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(mutations)
def test_every_message_gets_one_answer_and_one_terminal_state(feed, changes):
    frame = bytearray(MESSAGE)
    for at, inserted, removed in changes:
        frame[at : at + removed] = inserted
    before = len(feed.registry.journal)
    reply = feed.send(bytes(frame))

    assert reply.msa_1 in ("AA", "AE", "AR")
    if len(feed.registry.journal) == before:  # a mutation made it a query
        assert frame.find(b"QBP") >= 0
    else:
        assert (reply.msa_1 == "AA") is (
            feed.state is MessageState.APPLIED
            or (feed.state is MessageState.DUPLICATE and reply.msa_1 == "AA")
        )


def answers_whatever_comes(seed, count):
    """Each generated frame is answered, or ignored as an acknowledgement; and journalled, unless it asks."""
    chance = random.Random(seed)
    quirky = {"quirks": frozenset(Quirk), "acknowledgement": Acknowledgement.ENHANCED}
    feeds = [Feed(), Feed(**quirky)]
    answered = Counter()
    for _ in range(count):
        sent, feed = hl7_grammar.frame(chance), chance.choice(feeds)
        feed.registry.journal.clear()
        reply = feed.send(sent)
        answered.update(segment[1] for segment in reply.segments("MSA"))
        if not feed.registry.journal:
            assert reply.segments("MSA") or reply.segments("BTS") or b"ACK" in sent.upper()
        elif not reply.raw:
            assert feed is feeds[1]  # it asked for no acknowledgement
        for envelope, receipt in feed.registry.journal:
            assert receipt.error is not None or receipt.state in (
                MessageState.APPLIED,
                MessageState.DUPLICATE,
            )
            assert len(envelope.raw) <= len(sent)
    return answered


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_sent_is_answered_and_kept(seed):
    answered = answers_whatever_comes(seed, 500)

    assert min(answered[code] for code in ("AA", "AE", "AR", "CA", "CR")) > 0


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 110))
def test_a_hundred_thousand_messages_of_every_kind_are_answered_and_kept(seed):
    answers_whatever_comes(seed, 10_000)


@pytest.mark.long
def test_a_hundred_thousand_damaged_messages_are_all_answered(feed):
    chance = random.Random(20260302)
    for _ in range(100_000):
        frame = bytearray(MESSAGE)
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(frame) + 1)
            frame[at : at + chance.randint(0, 4)] = chance.randbytes(chance.randint(0, 3))
        feed.registry.journal.clear()

        assert feed.send(bytes(frame)).msa_1 in ("AA", "AE", "AR")
