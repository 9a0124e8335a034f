"""API keys: the secret is shown once, its hash is kept, and every change is audited."""

import hashlib
import re

import pytest

from mpi.errors import NotPermitted, SettingsError
from mpi.index.audit import first_break
from mpi.security.keys import Caller, Role, authenticate, create_key, new_secret, revoke_key
from tests.federation import Clock


@pytest.fixture
def store(memory_store):
    return memory_store


def audited(store):
    with store.read() as uow:
        chain = list(uow.audit.chain())
    assert first_break(chain) is None
    return [item.event.kind for item in chain]


def test_a_secret_has_its_prefix_and_256_random_bits():
    secrets = {new_secret() for _ in range(50)}

    assert len(secrets) == 50
    assert all(re.fullmatch(r"mpi_[A-Za-z0-9_-]{43}", secret) for secret in secrets)


def test_a_key_opens_what_it_was_made_for(store):
    secret = create_key(store, name="portal", role=Role.PORTAL, domains=["2.999.1.2"], clock=Clock())

    assert authenticate(store, secret) == Caller("portal", Role.PORTAL, frozenset({"2.999.1.2"}))
    assert audited(store) == ["key.created"]


def test_the_store_holds_the_hash_and_the_audit_neither(store):
    secret = create_key(store, name="portal", role=Role.PORTAL, domains=[], clock=Clock())
    digest = hashlib.sha256(secret.encode()).hexdigest()

    with store.read() as uow:
        assert uow.keys.find(digest) is not None
        text = repr([item.event for item in uow.audit.chain()]) + repr(uow.keys.all())
    assert secret not in text
    assert digest not in text


@pytest.mark.parametrize(
    "secret", ["", "mpi_", "mpi_" + "A" * 43, "ZQX", "mpi_" + "é" * 43, "mpi_" + "A" * 44]
)
def test_another_secret_opens_nothing(store, secret):
    create_key(store, name="portal", role=Role.PORTAL, domains=[], clock=Clock())

    with pytest.raises(NotPermitted) as caught:
        authenticate(store, secret)
    assert not secret or secret not in str(caught.value)


def test_a_revoked_key_opens_nothing_and_its_name_is_free_again(store):
    secret = create_key(store, name="portal", role=Role.PORTAL, domains=[], clock=Clock())

    assert revoke_key(store, name="portal", clock=Clock())
    with pytest.raises(NotPermitted):
        authenticate(store, secret)
    assert not revoke_key(store, name="portal", clock=Clock())
    again = create_key(store, name="portal", role=Role.SITE, domains=[], clock=Clock())
    assert authenticate(store, again).role is Role.SITE
    assert audited(store) == ["key.created", "key.revoked", "key.created"]


def test_two_keys_in_force_never_share_a_name(store):
    create_key(store, name="portal", role=Role.PORTAL, domains=[], clock=Clock())

    with pytest.raises(SettingsError):
        create_key(store, name="portal", role=Role.LEAD, domains=[], clock=Clock())
    assert audited(store) == ["key.created"]


@pytest.mark.parametrize("name", ["", "a b", "-x", "a\nb", "é", "x" * 65])
def test_a_name_can_stand_in_a_log(store, name):
    with pytest.raises(SettingsError):
        create_key(store, name=name, role=Role.PORTAL, domains=[], clock=Clock())
