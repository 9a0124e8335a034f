"""
Which match model decides: those the store knows, the one that is active, and how that changes.

A model is added once and never changed, so the version that a stored decision names stays the model
that made it. The packaged default is active while no stored model is.
"""

import re
from datetime import datetime

from mpi.errors import ModelError
from mpi.index.audit import AuditEvent
from mpi.index.ports import Clock, Store, StoredModel, UnitOfWork
from mpi.matching.model import MatchModel

DEFAULT = "default"
"""What the packaged model is called where one is named, whatever its version."""

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def active_model(store: Store) -> MatchModel:
    """
    The model that decides.

    Raises:
        ModelError: the active model cannot be read by this version, or was altered in the store.
        StoreError: the store is down.
    """
    with store.read() as uow:
        stored = uow.models.active()
    return MatchModel.default() if stored is None else model_of(stored)


def known_model(store: Store, version: str) -> MatchModel | None:
    """
    The model of a version, if there is one: a stored one, or the packaged default, also as `default`.

    Raises:
        ModelError: the model cannot be read by this version, or was altered in the store.
        StoreError: the store is down.
    """
    with store.read() as uow:
        stored = uow.models.get(version)
    if stored is not None:
        return model_of(stored)
    packaged = MatchModel.default()
    return packaged if version in (DEFAULT, packaged.version) else None


def model_of(stored: StoredModel) -> MatchModel:
    """
    The model that was added.

    Raises:
        ModelError: it is of a form this version cannot read, or is not what was added.
    """
    try:
        model = MatchModel.from_json(stored.document)
    except ModelError as error:
        raise ModelError(f"stored model {stored.version}: {error}") from None
    if model.digest != stored.digest:
        raise ModelError(f"stored model {stored.version}: not the one that was added: its digest differs")
    return model


def activate(store: Store, model: MatchModel | None, *, actor: str, clock: Clock) -> bool:
    """
    Make a model the active one, adding it to the store when it is new there; None is the packaged default.

    A registry that is open keeps the model it was opened with.

    Returns:
        False when it was active already; then nothing is written.

    Raises:
        ModelError: its version is no name, or that of another model.
        StoreError: the change is not durable.
    """
    now = clock()
    version = None if model is None else model.version
    with store.write() as uow:
        before = uow.models.active()
        added = model is not None and _add(uow, model, actor=actor, at=now)
        if version == (before.version if before else None):
            return False
        uow.models.activate(version, at=now, by=actor)
        chosen = model or MatchModel.default()
        details = {"digest": chosen.digest, "before": before.version if before else DEFAULT, "added": added}
        subject = f"model/{version or DEFAULT}"
        uow.audit.append(AuditEvent(actor, "U", "model.activated", subject, now, details))
        uow.commit()
    return True


def _add(uow: UnitOfWork, model: MatchModel, *, actor: str, at: datetime) -> bool:
    """Keep a model unless it is there already; return whether it is new."""
    if not _VERSION.fullmatch(model.version) or model.version == DEFAULT or model.version.endswith(".json"):
        raise ModelError(
            "version: expected letters, digits, dots, dashes or underscores, at most 64;"
            f" neither `{DEFAULT}` nor the name of a file"
        )
    stored = uow.models.get(model.version)
    packaged = MatchModel.default()
    taken = stored.digest if stored else packaged.digest if packaged.version == model.version else None
    if taken not in (None, model.digest):
        raise ModelError(
            f"version {model.version}: another model has it, and models do not change: name it anew"
        )
    if stored is not None:
        return False
    uow.models.add(version=model.version, digest=model.digest, document=model.to_json(), at=at)
    uow.audit.append(
        AuditEvent(actor, "C", "model.added", f"model/{model.version}", at, {"digest": model.digest})
    )
    return True
