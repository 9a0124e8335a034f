"""
Every error this package raises on purpose.

MpiError
├─ FeedError                what a peer sent; carries the place and the problem
│  ├─ UnreadableMessage     the bytes are not a message: framing, charset, delimiters, broken file
│  ├─ UnsupportedMessage    well formed, but a type, event, version or processing id we do not take
│  ├─ InvalidIdentity       a message whose identity cannot be used
│  ├─ ControlIdReused       the sender gave one control id to two different messages
│  ├─ OutOfSequence         a message before it is missing, or it comes too late
│  ├─ PoisonMessage         handling it failed unexpectedly, again and again
│  └─ EarlierMessageWaits   an earlier message of the same patient could not be handled
├─ RegistryError
│  ├─ UnknownAuthority      no such assigning authority, or an incomplete one
│  ├─ UnknownIdentifier     the authority is known, the identifier is not
│  ├─ UnknownReview         no such review task, or fact
│  ├─ LinkConflict          the assertion contradicts another that stands
│  ├─ StaleReview           somebody decided, or the data changed, since the task was read
│  └─ QueueBeingMade        the questions of a caller's domains are being gathered for the first time
├─ RequestError             a request over HTTP that its sender has to look at again
│  ├─ KeyReused             the idempotency key belongs to another request
│  ├─ AlreadyDone           a request with this key was carried out, and its answer is not at hand
│  └─ PreconditionFailed    what was to be changed is no longer as the caller read it
├─ NotPermitted             the caller may not do or see this
├─ ModelError               the match model is missing, unfitted or inconsistent
├─ StoreError               the store did not take the write, or its outcome is unknown: never acknowledge
│  └─ SourceStopped         the quarantine of a source is full: nothing more of it is taken
└─ SettingsError            the configuration names something impossible

A message names the place and the problem, never the value: errors end up in logs,
acknowledgements and screens, and patients' data must not.
"""

from collections.abc import Collection


class MpiError(Exception):
    """Anything this package raises on purpose."""


class FeedError(MpiError):
    """
    What a peer sent cannot be used.

    Args:
        place: where, in the peer's own terms: `PID-3`, `QPD^1^3^1^4`, `(0010,0020)`.
        problem: what is wrong there, without the value.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


class UnreadableMessage(FeedError):
    """The bytes are not a message: framing, charset, delimiters, or a broken file."""


class UnsupportedMessage(FeedError):
    """A well-formed message of a type, event, version or processing id this index does not take."""


class InvalidIdentity(FeedError):
    """A message whose identity cannot be used."""


class ControlIdReused(FeedError):
    """The sender gave one control id to two different messages."""


class OutOfSequence(FeedError):
    """
    A message of a source that numbers its messages, and not the one that has to come next.

    Args:
        expected: the number that has to.
    """

    def __init__(self, place: str, problem: str, expected: int) -> None:
        super().__init__(place, problem)
        self.expected = expected


class PoisonMessage(FeedError):
    """A message whose handling failed unexpectedly, or ended the service, as often as it was tried."""


class EarlierMessageWaits(FeedError):
    """An earlier message of the same patient could not be handled; this one is kept and waits for it."""


class RegistryError(MpiError):
    """A request the registry understood and cannot satisfy."""


class UnknownAuthority(RegistryError):
    """
    No such assigning authority, or an incomplete one.

    Args:
        place: where it was named, in the peer's own terms.
        problem: what is wrong with it.
    """

    def __init__(self, place: str, problem: str = "unknown assigning authority") -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


class UnknownIdentifier(RegistryError):
    """The authority is known; it never stated this identifier to this index."""

    def __init__(self, place: str, problem: str = "unknown identifier") -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


class UnknownReview(RegistryError):
    """No such review task, or fact."""


class LinkConflict(RegistryError):
    """
    The assertion contradicts another that stands.

    Args:
        facts: the standing facts it contradicts, as few as explain it; or those that rest on the one
            to withdraw.
    """

    def __init__(self, message: str, facts: Collection[int] = ()) -> None:
        super().__init__(message)
        self.facts = tuple(facts)


class StaleReview(RegistryError):
    """Somebody decided, or the data changed, since the task was read."""


class QueueBeingMade(RegistryError):
    """The questions of a caller's domains are being gathered for the first time: ask again later."""


class RequestError(MpiError):
    """A request over HTTP that its sender has to look at again."""


class KeyReused(RequestError):
    """The idempotency key belongs to another request of this caller."""


class AlreadyDone(RequestError):
    """A request with this idempotency key was carried out, and its answer is not at hand."""


class PreconditionFailed(RequestError):
    """What was to be changed is no longer as the caller read it."""


class NotPermitted(MpiError):
    """The caller may not do or see this."""


class ModelError(MpiError):
    """The match model is missing, unfitted or inconsistent."""


class StoreError(MpiError):
    """The store did not take the write, or its outcome is unknown; nothing may be acknowledged."""


class SourceStopped(StoreError):
    """The quarantine of a source is full. Nothing more of it is kept, and nothing acknowledged."""


class SettingsError(MpiError):
    """The configuration names something impossible."""
