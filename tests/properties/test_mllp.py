from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from mpi.feeds.mllp import Frame, FrameReader, Violation, wrap

bodies = st.binary(max_size=40).map(lambda body: body.replace(b"\x0b", b"").replace(b"\x1c", b""))
streams = st.lists(
    st.sampled_from([b"\x0b", b"\x1c", b"\r", b"A", b"\x1c\r", b"\x0bMSH\x1c\r"]), max_size=30
).map(b"".join)


def cut(stream, points):
    edges = [0, *sorted(point % (len(stream) + 1) for point in points), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def events(chunks):
    reader = FrameReader(max_message_bytes=64)
    return [event for chunk in chunks for event in reader.feed(chunk)]


@settings(deadline=None)
@given(st.lists(bodies, max_size=8), st.lists(st.integers(0, 10_000), max_size=20))
def test_every_frame_arrives_once_and_in_order_however_it_is_cut(messages, points):
    stream = b"\r\n".join(wrap(message) for message in messages)

    assert events(cut(stream, points)) == [Frame(message) for message in messages]


@settings(deadline=None)
@given(streams, st.lists(st.integers(0, 10_000), max_size=20))
def test_any_bytes_give_the_same_events_however_they_are_cut(stream, points):
    assert events(cut(stream, points)) == events([stream])


@settings(deadline=None)
@given(streams)
def test_a_violation_is_the_last_event(stream):
    found = events([stream])

    assert not any(isinstance(event, Violation) for event in found[:-1])
