"""A running index in tests: its configuration file, its process, and the messages sent to it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mpi.feeds.mllp import MllpClient

SITES = "ABCDEFGH"


def configuration(url: str) -> str:
    """mpi.toml of eight sites, each with a RIS and a PACS, and one portal that sees them all; on free ports."""
    lines = ["accept_test_ins = true", f'[database]\nurl = "{url}"', "[http]\nport = 0", "[mllp]\nport = 0"]
    for number, site in enumerate(SITES, start=1):
        lines += [
            f'[[domains]]\nnamespace = "SITE-{site}"\noid = "2.999.1.{number}"',
            f'[[sources]]\nname = "ris-{site.lower()}"\napplication = "RIS_{site}"\nfacility = "SITE_{site}"'
            f'\nfeeds = ["SITE-{site}"]',
            f'[[sources]]\nname = "pacs-{site.lower()}"\naet = "PACS_{site}"\nfeeds = ["SITE-{site}"]',
        ]
    sites = json.dumps([f"SITE-{site}" for site in SITES])
    lines.append(
        f'[[consumers]]\nname = "portal"\napplication = "PORTAL"\nfacility = "FED"\ndomains = {sites}'
    )
    return "\n".join(lines) + "\n"


def strangers_name(town: int, number: int) -> str:
    """PID-5 of somebody who is no namesake of anybody else, however many come; the sites of a town see the same."""
    draw = random.Random(f"{town}/{number}")
    family, given = (
        "".join(draw.choice("BDFGLMNPRSTV") + draw.choice("AEIOU") for _ in "1234") for _ in "12"
    )
    return f"{family}^{given}^{given}^^^^L"


def a28(
    site: str,
    value: str,
    control_id: str,
    *,
    name: str = "CHANTEREAU^LOUISE^LOUISE ANNE-MARIE^^^^L",
    born: str = "19840229",
    sex: str = "F",
    event: str = "A28",
    at: str = "20260302101500",
) -> bytes:
    """One identity, as PAM-FR writes it."""
    oid = f"2.999.1.{SITES.index(site) + 1}"
    structure = "ADT_A01" if event == "A08" else "ADT_A05"
    segments = (
        f"MSH|^~\\&|RIS_{site}|SITE_{site}|MPI|FED|{at}||ADT^{event}^{structure}|{control_id}|P|2.5^FRA^2.11"
        "|||||FRA|UNICODE UTF-8|FR||2.11^IHE_FRANCE-2.11-PAM",
        f"EVN||{at}||||{at}",
        f"PID|1||{value}^^^SITE-{site}&{oid}&ISO^PI||{name}||{born}|{sex}|||12 RUE DES LILAS^^LIMOGES^^87000^FRA^H"
        "~^^^^^FRA^BDL^^87085|||||||||||||||||||||PROV",
        "PV1||N",
    )
    return ("\r".join(segments) + "\r").encode()


def q23(site: str, value: str, control_id: str = "Q1") -> bytes:
    """A PIX query for every other identifier."""
    oid = f"2.999.1.{SITES.index(site) + 1}"
    return (
        "MSH|^~\\&|PORTAL|FED|MPI|FED|20260302102000||QBP^Q23^QBP_Q21|"
        f"{control_id}|P|2.5|||||FRA|UNICODE UTF-8\rQPD|IHE PIX Query|T1|{value}^^^SITE-{site}&{oid}&ISO\rRCP|I\r"
    ).encode()


def field(message: bytes, segment: str, number: int) -> str:
    """A field of an answer, by segment and number; MSH counts its separator."""
    for line in message.decode().split("\r"):
        if line.startswith(f"{segment}|"):
            fields = line.split("|")
            index = number - 1 if segment == "MSH" else number
            return fields[index] if index < len(fields) else ""
    return ""


def kill_group(pid: int) -> None:
    """SIGKILL to a process this module started, and to those it started."""
    os.killpg(pid, signal.SIGKILL)


@dataclass
class Index:
    """A service in a process of its own."""

    config: Path
    program: tuple[str, ...] = ("-m", "mpi", "serve")
    process: subprocess.Popen[bytes] | None = None
    mllp_port: int = 0
    http_port: int = 0

    @classmethod
    def at(cls, folder: Path, url: str, *, program: tuple[str, ...] = ("-m", "mpi", "serve")) -> "Index":
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "mpi.toml"
        config.write_text(configuration(url), encoding="utf-8")
        return cls(config, program)

    @property
    def log(self) -> str:
        """What the service wrote since it started."""
        return self.config.with_suffix(".log").read_text(encoding="utf-8")

    def start(self, *, seconds: float = 90.0) -> "Index":
        """Start it and wait until it says which ports it listens on."""
        with self.config.with_suffix(".log").open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "--config", str(self.config)],
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            )
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            started = [line for line in self.log.splitlines() if '"service.started"' in line]
            if started:
                ports = json.loads(started[0])
                self.mllp_port, self.http_port = ports["mllp_port"], ports["http_port"]
                return self
            if self.process.poll() is not None:
                raise AssertionError(f"the service ended: {self.log[-2000:]}")
            time.sleep(0.05)
        raise AssertionError(f"the service did not start: {self.log[-2000:]}")

    def kill(self) -> None:
        """SIGKILL, the whole group."""
        assert self.process is not None
        kill_group(self.process.pid)
        self.process.wait()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=30)

    def client(self) -> MllpClient:
        return MllpClient("127.0.0.1", self.mllp_port)

    def mpi(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command against the same store."""
        return subprocess.run(
            [sys.executable, "-m", "mpi", *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            check=check,
        )
