"""
API keys: made once, shown once, kept as a hash, revoked at once.

A secret holds 256 random bits, so a plain SHA-256 of it cannot be guessed backwards; slow hashes
are for words that people choose.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mpi.errors import NotPermitted, SettingsError
from mpi.index.audit import AuditEvent
from mpi.index.ports import Clock, Store, StoredKey

PREFIX = "mpi_"
_SECRET = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Role(StrEnum):
    """What a key is for; `policy` says what that allows."""

    PORTAL = "portal"
    """A federated viewer: groups the exams of several sites under one person."""
    SITE = "site"
    """One establishment: sees its own identifiers, and those its key names."""
    REVIEWER = "reviewer"
    """Identity-vigilance staff: decides on pairs."""
    LEAD = "lead"
    """Head of the identity-vigilance unit: also undoes decisions."""
    AUDITOR = "auditor"
    """Reads everything, changes nothing."""
    OPERATOR = "operator"
    """Runs the service: sees its journals, and no patient."""


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Who is asking.

    Args:
        name: of the key; also the consumer its surrogate identifiers belong to.
        domains: keys of the domains it is limited to; what empty means depends on the role.
    """

    name: str
    role: Role
    domains: frozenset[str] = frozenset()

    @property
    def actor(self) -> str:
        """Its name in the audit trail."""
        return f"key:{self.name}"


def new_secret() -> str:
    """`mpi_` and 43 url-safe characters from 32 random bytes."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """What is stored of a secret: its SHA-256, in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def authenticate(store: Store, secret: str) -> Caller:
    """
    The caller behind a secret.

    Raises:
        NotPermitted: no such key, or it was revoked.
        StoreError: the store is down.
    """
    if not _SECRET.fullmatch(secret):
        raise NotPermitted("unknown key")
    with store.read() as uow:
        stored = uow.keys.find(hash_of(secret))
    caller = _holder(stored) if stored is not None else None
    if caller is None:
        raise NotPermitted("unknown key")
    return caller


def _holder(key: StoredKey) -> Caller | None:
    """Who holds a key; nobody when it was revoked, or is for what this version does not know."""
    if key.revoked_at is not None or key.role not in set(Role):
        return None
    return Caller(key.name, Role(key.role), frozenset(key.domains))


def live_callers(store: Store) -> list[Caller]:
    """
    Whoever holds a key that is not revoked.

    Raises:
        StoreError: the store is down.
    """
    with store.read() as uow:
        keys = uow.keys.all()
    return [caller for caller in map(_holder, keys) if caller is not None]


def create_key(store: Store, *, name: str, role: Role, domains: Sequence[str], clock: Clock) -> str:
    """
    Make a key and return its secret, which cannot be read again.

    Args:
        domains: keys of the domains it is limited to.

    Raises:
        SettingsError: the name is not one, or belongs to a key that is not revoked.
        StoreError: the key is not durable; there is none.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError("key name: expected letters, digits, dots, dashes or underscores, at most 64")
    secret = new_secret()
    now = clock()
    with store.write() as uow:
        if any(key.name == name and key.revoked_at is None for key in uow.keys.all()):
            raise SettingsError("key name: a key that is not revoked has it")
        key_id = uow.keys.add(
            name=name, secret_hash=hash_of(secret), role=str(role), domains=sorted(domains), at=now
        )
        details = {"name": name, "role": str(role), "domains": sorted(domains)}
        uow.audit.append(AuditEvent("system", "C", "key.created", f"key/{key_id}", now, details))
        uow.commit()
    return secret


def revoke_key(store: Store, *, name: str, clock: Clock) -> bool:
    """
    Revoke the key of that name; the next request with it is refused.

    Returns:
        False when there is none, or it was revoked already.

    Raises:
        StoreError: the revocation is not durable.
    """
    now = clock()
    with store.write() as uow:
        key = next((k for k in uow.keys.all() if k.name == name and k.revoked_at is None), None)
        if key is None or not uow.keys.revoke(name, at=now):
            return False
        uow.audit.append(AuditEvent("system", "U", "key.revoked", f"key/{key.id}", now, {"name": name}))
        uow.commit()
    return True
