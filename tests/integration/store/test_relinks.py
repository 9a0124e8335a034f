"""Runs of `mpi relink`, on every store."""

from dataclasses import replace

import pytest

from mpi.index.ports import Store, StoredRelink
from tests.integration.store.examples import EVERY_TEXT, NOON, later


def test_a_run_begins_advances_and_ends(store: Store) -> None:
    with store.write() as uow:
        begun = uow.relinks.begin(model_version="local-1", at=NOON, by=EVERY_TEXT)
        uow.commit()
    with store.write() as uow:
        unfinished = uow.relinks.unfinished()
        uow.relinks.advance(begun.id, position=2**40)
        advanced = uow.relinks.unfinished()
        uow.relinks.finish(begun.id, at=later(5))
        again = uow.relinks.begin(model_version="local-2", at=later(6), by="b")

        assert begun == StoredRelink(begun.id, "local-1", NOON, EVERY_TEXT, 0, None)
        assert unfinished == begun
        assert advanced == replace(begun, position=2**40)
        assert uow.relinks.all() == [replace(begun, position=2**40, finished_at=later(5)), again]
        assert uow.relinks.unfinished() == again


def test_one_run_at_a_time(store: Store) -> None:
    with store.write() as uow:
        assert uow.relinks.unfinished() is None
        begun = uow.relinks.begin(model_version="local-1", at=NOON, by="a")
        with pytest.raises(RuntimeError):
            uow.relinks.begin(model_version="local-2", at=NOON, by="a")

        assert uow.relinks.all() == [begun]


def test_what_is_finished_goes_no_further(store: Store) -> None:
    with store.write() as uow:
        begun = uow.relinks.begin(model_version="local-1", at=NOON, by="a")
        uow.relinks.finish(begun.id, at=later(1))
        for wrong in (begun.id, begun.id + 1):
            with pytest.raises(LookupError):
                uow.relinks.advance(wrong, position=1)
            with pytest.raises(LookupError):
                uow.relinks.finish(wrong, at=later(2))
