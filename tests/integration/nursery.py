"""
Services that start in a moment: a process that has everything imported makes one from a copy of itself.

As a program: reads one JSON object a line, `{"config": …, "log": …, "planted": …, "command": …}`, runs
that command (`mpi serve`, say) with the configuration, with a fault of `tests.integration.planted` in it
if one is named, and answers its process id.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration import running


@dataclass
class Nursery:
    """The process that services are made from."""

    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def start(self, config: Path, *, planted: str = "") -> "Born":
        """A service that says it has started; each its own process group."""
        born = self.run(config, "serve", planted=planted)
        log = config.with_suffix(".log")
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            text = log.read_text(encoding="utf-8")
            started = [line for line in text.splitlines(keepends=True) if '"service.started"' in line]
            if started and started[0].endswith("\n"):
                ports = json.loads(started[0])
                born.mllp_port, born.http_port = ports["mllp_port"], ports["http_port"]
                born.dicom_port = ports["dicom_port"]
                return born
            if born.is_over:
                raise AssertionError(f"the service ended: {text[-2000:]}")
            time.sleep(0.01)
        raise AssertionError(f"the service did not start: {log.read_text()[-2000:]}")

    def run(self, config: Path, *command: str, planted: str = "") -> "Born":
        """A command of `mpi`, whatever becomes of it; what it prints is beside its configuration (.log)."""
        log = config.with_suffix(".log")
        log.write_bytes(b"")
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        wanted = {"config": str(config), "log": str(log), "planted": planted, "command": command}
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        return Born(int(self.process.stdout.readline()))

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass
class Born:
    """A process made from the nursery."""

    pid: int
    mllp_port: int = 0
    http_port: int = 0
    dicom_port: int = 0

    @property
    def is_over(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        running.kill_group(self.pid)
        self.wait()

    def wait(self, *, seconds: float = 30.0) -> None:
        """Wait until it has ended by itself."""
        deadline = time.monotonic() + seconds
        while not self.is_over:
            assert time.monotonic() < deadline, "the service is still there"
            time.sleep(0.002)


def main() -> None:
    import signal

    import mpi.cli
    import mpi.service

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries the children
    for line in sys.stdin:
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            descriptor = os.open(wanted["log"], os.O_WRONLY | os.O_APPEND)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            os.close(0)
            if wanted["planted"]:
                planted = importlib.import_module("tests.integration.planted")
                getattr(planted, wanted["planted"])()
            sys.argv = ["mpi", *wanted["command"], "--config", wanted["config"]]
            mpi.cli.main()
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
