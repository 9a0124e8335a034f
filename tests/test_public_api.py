"""The public names are these, and each one is there."""

import subprocess
import sys

import mpi

PUBLIC = {
    "AssigningAuthority", "ControlIdReused", "Decision", "Demographics", "FeedError", "InvalidIdentity",
    "LinkConflict", "MatchModel", "ModelError", "MpiError", "NotPermitted", "OutOfSequence", "PartialDate",
    "PatientIdentifier", "PersonName", "Registry", "RegistryError", "Settings", "SettingsError", "SourceRecord",
    "StaleReview", "StoreError", "Traits", "UnknownAuthority", "UnknownIdentifier", "UnknownReview",
    "UnreadableMessage", "UnsupportedMessage", "create_app", "link", "normalise", "score",
}  # fmt: skip


def test_the_public_names_are_pinned():
    assert set(mpi.__all__) == PUBLIC == set(mpi._HOME)
    assert all(getattr(mpi, name) is not None for name in PUBLIC)


def test_comparing_two_names_does_not_import_a_web_server():
    code = "import mpi, sys; mpi.score, mpi.normalise, mpi.MatchModel; print('fastapi' in sys.modules)"

    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )
