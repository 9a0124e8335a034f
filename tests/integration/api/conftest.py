import pytest

from tests.fakes import MemoryStore
from tests.integration.api.served import Served


@pytest.fixture
def served(memory_store: MemoryStore) -> Served:
    return Served(memory_store)
