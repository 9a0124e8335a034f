"""
Derived identifiers: the enterprise identifier of a source record, and a consumer's surrogate for a person.

Both are keyed with the installation's secret: the same whatever the order of messages, and
meaningless to who lacks the secret.
"""

import base64
import hashlib
import hmac

from mpi.identity.model import RecordKey


def native_euid(secret: bytes, key: RecordKey) -> str:
    """The enterprise identifier a source record has by itself, for ever. 80 bits: 16 letters and digits."""
    epoch = (str(key.epoch),) if key.epoch else ()
    return _derive(secret, 10, key.domain, key.value, *epoch)


def surrogate(secret: bytes, consumer: str, anchor: str) -> str:
    """
    A consumer's own name for a person: stable for it, unrelated to any other consumer's.

    Args:
        anchor: what names the person in this index, such as the enterprise identifier.
    """
    return _derive(secret, 15, "suid", consumer, anchor)


def _derive(secret: bytes, size_bytes: int, *parts: str) -> str:
    digest = hmac.new(secret, "\x1f".join(parts).encode(), hashlib.sha256).digest()
    return base64.b32encode(digest[:size_bytes]).decode()
