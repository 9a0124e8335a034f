"""
A master patient index for imaging federations.

The public names are here; everything else may move between versions. They load when first used,
so that a notebook that compares two names does not import a web server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpi.api.app import create_app
    from mpi.errors import (
        ControlIdReused,
        FeedError,
        InvalidIdentity,
        LinkConflict,
        ModelError,
        MpiError,
        NotPermitted,
        OutOfSequence,
        RegistryError,
        SettingsError,
        StaleReview,
        StoreError,
        UnknownAuthority,
        UnknownIdentifier,
        UnknownReview,
        UnreadableMessage,
        UnsupportedMessage,
    )
    from mpi.identity.model import (
        AssigningAuthority,
        Demographics,
        PartialDate,
        PatientIdentifier,
        PersonName,
        SourceRecord,
    )
    from mpi.identity.traits import Traits, normalise
    from mpi.index.registry import Registry
    from mpi.matching.batch import link
    from mpi.matching.decision import Decision
    from mpi.matching.model import MatchModel
    from mpi.matching.online import score
    from mpi.settings import Settings

_HOME = {
    "AssigningAuthority": "mpi.identity.model",
    "ControlIdReused": "mpi.errors",
    "Decision": "mpi.matching.decision",
    "Demographics": "mpi.identity.model",
    "FeedError": "mpi.errors",
    "InvalidIdentity": "mpi.errors",
    "LinkConflict": "mpi.errors",
    "MatchModel": "mpi.matching.model",
    "ModelError": "mpi.errors",
    "MpiError": "mpi.errors",
    "NotPermitted": "mpi.errors",
    "OutOfSequence": "mpi.errors",
    "PartialDate": "mpi.identity.model",
    "PatientIdentifier": "mpi.identity.model",
    "PersonName": "mpi.identity.model",
    "Registry": "mpi.index.registry",
    "RegistryError": "mpi.errors",
    "Settings": "mpi.settings",
    "SettingsError": "mpi.errors",
    "SourceRecord": "mpi.identity.model",
    "StaleReview": "mpi.errors",
    "StoreError": "mpi.errors",
    "Traits": "mpi.identity.traits",
    "UnknownAuthority": "mpi.errors",
    "UnknownIdentifier": "mpi.errors",
    "UnknownReview": "mpi.errors",
    "UnreadableMessage": "mpi.errors",
    "UnsupportedMessage": "mpi.errors",
    "create_app": "mpi.api.app",
    "link": "mpi.matching.batch",
    "normalise": "mpi.identity.traits",
    "score": "mpi.matching.online",
}

__all__ = [
    "AssigningAuthority",
    "ControlIdReused",
    "Decision",
    "Demographics",
    "FeedError",
    "InvalidIdentity",
    "LinkConflict",
    "MatchModel",
    "ModelError",
    "MpiError",
    "NotPermitted",
    "OutOfSequence",
    "PartialDate",
    "PatientIdentifier",
    "PersonName",
    "Registry",
    "RegistryError",
    "Settings",
    "SettingsError",
    "SourceRecord",
    "StaleReview",
    "StoreError",
    "Traits",
    "UnknownAuthority",
    "UnknownIdentifier",
    "UnknownReview",
    "UnreadableMessage",
    "UnsupportedMessage",
    "create_app",
    "link",
    "normalise",
    "score",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mpi' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
