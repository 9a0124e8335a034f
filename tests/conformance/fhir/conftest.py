from collections.abc import Iterator

import pytest

from tests.peers.fhir import Validator


@pytest.fixture(scope="session")
def validator() -> Iterator[Validator]:
    """R4 as somebody else reads it."""
    with Validator() as validator:
        yield validator
