"""Match models, on every store: kept as they were added, and one of them active."""

from dataclasses import replace

import pytest

from mpi.errors import ModelError, StoreError
from mpi.index.audit import first_break
from mpi.index.models import activate, active_model, known_model, model_of
from mpi.index.ports import Store, StoredModel
from mpi.matching.model import MatchModel
from tests.integration.store.examples import NOON, later

DEFAULT = MatchModel.default()
LOCAL = replace(DEFAULT, version="local-1", prior_bits=DEFAULT.prior_bits - 1, metadata={"name": "œ"})


def chosen(store: Store, model: MatchModel | None) -> bool:
    return activate(store, model, actor="user:anne", clock=lambda: later(5))


def audited(store: Store) -> list[tuple[str, str, str]]:
    with store.read() as uow:
        chain = list(uow.audit.chain())
    assert first_break(chain) is None
    return [(item.event.actor, item.event.kind, item.event.subject) for item in chain]


def test_a_model_comes_back_as_it_was_added(store: Store) -> None:
    with store.write() as uow:
        uow.models.add(version=LOCAL.version, digest=LOCAL.digest, document=LOCAL.to_json(), at=NOON)
        uow.commit()
    with store.read() as uow:
        stored = uow.models.get("local-1")

        assert stored == StoredModel("local-1", LOCAL.digest, LOCAL.to_json(), NOON, False, None, "")
        assert uow.models.all() == [stored]
        assert uow.models.get("local-2") is None
        assert uow.models.active() is None
    assert model_of(stored) == LOCAL


def test_a_version_is_taken_once(store: Store) -> None:
    with store.write() as uow:
        uow.models.add(version="local-1", digest="d1", document={}, at=NOON)
        with pytest.raises(StoreError):
            uow.models.add(version="local-1", digest="d2", document={}, at=NOON)


def test_one_model_at_most_is_active(store: Store) -> None:
    with store.write() as uow:
        for number in (1, 2):
            uow.models.add(version=f"local-{number}", digest="d", document={}, at=NOON)
        uow.models.activate("local-1", at=later(1), by="anne")
        uow.models.activate("local-2", at=later(2), by="é\x00")

        assert [(m.active, m.activated_at, m.activated_by) for m in uow.models.all()] == [
            (False, later(1), "anne"),
            (True, later(2), "é\x00"),
        ]
        uow.models.activate(None, at=later(3), by="anne")
        assert uow.models.active() is None
        with pytest.raises(LookupError):
            uow.models.activate("local-3", at=later(4), by="anne")


def test_what_is_not_committed_is_not_active(store: Store) -> None:
    chosen(store, LOCAL)
    with store.write() as uow:
        uow.models.add(version="local-2", digest="d", document={}, at=NOON)
        uow.models.activate("local-2", at=NOON, by="anne")

    assert active_model(store) == LOCAL
    with store.read() as uow:
        assert uow.models.get("local-2") is None


def test_the_packaged_model_decides_until_another_is_active(store: Store) -> None:
    assert active_model(store) is DEFAULT
    assert chosen(store, LOCAL)
    assert active_model(store) == LOCAL
    assert chosen(store, None)
    assert active_model(store) is DEFAULT
    assert known_model(store, "local-1") == LOCAL
    assert known_model(store, "default") == known_model(store, DEFAULT.version) == DEFAULT
    assert known_model(store, "local-2") is None


def test_an_activation_is_audited_and_a_second_one_writes_nothing(store: Store) -> None:
    assert chosen(store, LOCAL)
    assert not chosen(store, LOCAL)
    assert chosen(store, None)
    assert not chosen(store, None)

    assert audited(store) == [
        ("user:anne", "model.added", "model/local-1"),
        ("user:anne", "model.activated", "model/local-1"),
        ("user:anne", "model.activated", "model/default"),
    ]


def test_an_activation_that_cannot_be_audited_does_not_happen(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.write() as uow:
        trail = type(uow.audit)
    monkeypatch.setattr(trail, "append", _refuses)

    with pytest.raises(StoreError):
        chosen(store, LOCAL)
    assert active_model(store) is DEFAULT


def _refuses(*_: object) -> None:
    raise StoreError("no room")


@pytest.mark.parametrize(
    "other",
    [
        replace(LOCAL, prior_bits=-20.0),
        replace(DEFAULT, prior_bits=-20.0),
        replace(LOCAL, version="default"),
        replace(LOCAL, version="m.json"),
        replace(LOCAL, version="two words"),
    ],
    ids=lambda model: model.version,
)
def test_a_version_names_one_model_for_ever(store: Store, other: MatchModel) -> None:
    chosen(store, LOCAL)
    with pytest.raises(ModelError, match="version"):
        chosen(store, other)

    assert active_model(store) == LOCAL
    assert len(audited(store)) == 2


def test_a_model_altered_in_the_store_is_refused() -> None:
    stored = StoredModel("local-1", LOCAL.digest, LOCAL.to_json(), NOON, True, NOON, "anne")
    altered = replace(stored, document={**stored.document, "prior_bits": 0.0})
    unreadable = replace(stored, document={**stored.document, "format": 1})

    for bad, problem in ((altered, "digest"), (unreadable, "format")):
        with pytest.raises(ModelError, match=f"local-1.*{problem}"):
            model_of(bad)
