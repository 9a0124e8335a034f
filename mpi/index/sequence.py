"""
Sequence numbers: a source that numbers its messages has none of them skipped, and none taken twice.

0 opens the link, and is told which number is expected; -1 resynchronises it: the next number is
whichever comes. What is kept counts, whether or not it could be applied: it need not be sent again.

Source: HL7 v2.5 section 2.10.1 (sequence number protocol).
"""

from mpi.errors import OutOfSequence

OPENS = 0
RESYNCHRONISES = -1
ANY = -1
"""What is answered when no number is expected in particular."""
LAST = 2_000_000_000
"""The number that 1 follows."""


def following(number: int, expected: int | None) -> int | None:
    """
    The number to expect after a message; None when any will do.

    Args:
        expected: before the message, as returned here.

    Raises:
        OutOfSequence: it is not its turn.
    """
    if number == OPENS:
        return expected
    if number == RESYNCHRONISES:
        return None
    if expected is None or number == expected:
        return number % LAST + 1
    if number < expected:
        raise OutOfSequence("sequence number", f"lower than {expected}, which is expected", expected)
    last = number - 1
    missing = f"missing {expected}" if last == expected else f"missing {expected} to {last}"
    raise OutOfSequence("sequence number", missing, expected)
