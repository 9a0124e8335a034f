"""A running index whose consumers are told of changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mpi.feeds.mllp import MllpClient
from mpi.service import Service, in_background
from mpi.settings import load
from tests.integration.consumers import Consumer
from tests.integration.running import configuration

NOTIFY = """
[notify]
poll_seconds = 0.05
timeout_seconds = 2.0
first_retry_seconds = 0.05
max_retry_seconds = 0.2
"""


def consumer_table(name: str, consumer: Consumer, sites: str = "ABCD", **more: Any) -> str:
    """A consumer that is told over MLLP; what is more is written as it is."""
    domains = ", ".join(f'"SITE-{site}"' for site in sites)
    lines = [
        "[[consumers]]",
        f'name = "{name}"',
        f'application = "{name.upper()}"',
        f'facility = "SITE_{sites}"',
        f"domains = [{domains}]",
        f'mllp = "{consumer.address}"',
        *(f"{key} = {value}" for key, value in more.items()),
    ]
    return "\n".join(lines) + "\n"


def telling(url: str, **consumers: Consumer) -> str:
    """mpi.toml of the eight sites, and of consumers that see four of them."""
    return configuration(url) + NOTIFY + "".join(consumer_table(*one) for one in consumers.items())


@contextmanager
def served(folder: Path, text: str) -> Iterator[Service]:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "mpi.toml"
    config.write_text(text, encoding="utf-8")
    with in_background(load(config)) as service:
        yield service


def feed(service: Service, *messages: bytes) -> None:
    """Send messages, each acknowledged."""
    with MllpClient("127.0.0.1", service.mllp_port) as client:
        for message in messages:
            assert b"MSA|AA|" in client.send(message)
