import pytest

from tests.fakes import MemoryStore
from tests.integration.api.served import Served


@pytest.fixture
def served(memory_store: MemoryStore) -> Served:
    served = Served(memory_store)
    served.app.state.subscription_hosts = frozenset({"portal.example"})
    return served
