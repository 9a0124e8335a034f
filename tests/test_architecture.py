"""Imports walk one way. The offending line is in the failure."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "errors": set(),
    "identity": {"errors"},
    "matching": {"errors", "identity"},
    "index": {"errors", "identity", "matching"},
    "feeds": {"errors", "identity", "matching", "index"},
    "store": {"errors", "identity", "matching", "index"},
    "notify": {"errors", "identity", "matching", "index"},
    "security": {"errors", "identity", "matching", "index"},
    "client": {"errors"},
    "settings": {"errors", "identity", "index"},
    "wiring": {"errors", "identity", "matching", "index", "store", "settings"},
    "replay": {"errors", "identity", "matching", "index", "feeds", "wiring"},
    "api": {
        "errors",
        "identity",
        "matching",
        "index",
        "feeds",
        "store",
        "notify",
        "security",
        "settings",
        "wiring",
        "replay",
    },
}
"""Entry points (see `test_every_part_is_known`) may import everything."""

PURE = (
    "identity",
    "matching",
    "index/events",
    "index/graph",
    "index/questions",
    "index/epochs",
    "index/golden",
    "index/review",
    "index/resolution",
)
IMPURE_MODULES = {
    "sqlalchemy", "sqlmodel", "logging", "structlog", "pydantic_settings", "time", "random", "socket", "threading",
    "asyncio", "os", "secrets", "uuid",
}  # fmt: skip


def modules() -> list[Path]:
    return sorted((ROOT / "mpi").rglob("*.py"))


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, module) of every import of a file, those inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found.append((node.lineno, node.module or ""))
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_walk_one_way(path):
    part = path.relative_to(ROOT / "mpi").parts[0].removesuffix(".py")
    allowed = MAY_IMPORT.get(part)
    if allowed is None:
        return
    for line, name in imports(path):
        target = name.split(".")
        if target[0] == "mpi" and len(target) > 1:
            assert target[1] in allowed | {part}, f"{path}:{line}: {part} may not import mpi.{target[1]}"
        assert target[0] != "mpi_synthetic", f"{path}:{line}: the product may not need the generator"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_parts_hold_no_clock_logger_session_or_settings(path):
    inside = path.relative_to(ROOT / "mpi").as_posix()
    if not inside.startswith(PURE):
        return
    allowed = {
        "matching/estimation.py": {"random"},  # a seeded generator, passed a seed
        "matching/vectors.py": {"threading"},  # a lock, for comparisons on every core
    }.get(inside, set())
    for line, name in imports(path):
        assert name.split(".")[0] not in IMPURE_MODULES - allowed, f"{path}:{line}: {name} in a pure part"


def test_every_part_is_known():
    parts = {path.relative_to(ROOT / "mpi").parts[0].removesuffix(".py") for path in modules()}
    entry_points = {
        "__init__", "__main__", "cli", "console", "demo", "ingestion", "linkage_commands", "load_commands", "logs",
        "model_commands", "notify_commands", "report_commands", "review_commands", "store_commands", "delivery",
        "inbox_commands", "service",
    }  # fmt: skip

    assert parts <= MAY_IMPORT.keys() | entry_points


def test_sql_lives_in_the_store():
    for path in modules():
        inside = path.relative_to(ROOT / "mpi").as_posix()
        for line, name in imports(path):
            if name.split(".")[0] in ("sqlalchemy", "sqlmodel", "alembic", "psycopg"):
                assert inside.startswith("store/"), f"{path}:{line}: SQL outside the store"


def test_a_rule_that_is_broken_is_seen(tmp_path):
    planted = tmp_path / "planted.py"
    planted.write_text("def late():\n    from mpi.store import open_store\n", encoding="utf-8")

    assert imports(planted) == [(2, "mpi.store")]
