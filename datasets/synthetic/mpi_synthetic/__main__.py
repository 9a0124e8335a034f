"""Write a synthetic federation to a folder: `python -m mpi_synthetic --persons 1000 --out DIR`."""

import argparse
import os
from pathlib import Path

from rich.progress import Progress

from . import PROFILES, generate, write, write_tables


def main() -> None:
    """Read the arguments, draw the federation, write it."""
    parser = argparse.ArgumentParser(prog="python -m mpi_synthetic", description=__doc__)
    parser.add_argument("--persons", type=int, default=1000)
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="judging")
    parser.add_argument(
        "--tables-only", action="store_true", help="no messages, no headers; by all processors"
    )
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    if asked.persons < 1 or asked.sites < 1:
        parser.error("--persons and --sites must be 1 or more")
    profile = PROFILES[asked.profile]
    with Progress() as bar:
        drawing = bar.add_task("People and records", total=asked.persons)

        def tell(done: int, total: int) -> None:
            bar.update(drawing, completed=done, total=total)

        if asked.tables_only:
            write_tables(
                asked.out,
                asked.persons,
                asked.sites,
                asked.seed,
                profile,
                processes=os.cpu_count() or 1,
                progress=tell,
            )
            return
        federation = generate(asked.persons, asked.sites, asked.seed, profile, progress=tell)
        writing = bar.add_task("Messages and headers", total=len(federation.events))
        write(
            federation,
            asked.out,
            progress=lambda done, total: bar.update(writing, completed=done, total=total),
        )


if __name__ == "__main__":
    main()
