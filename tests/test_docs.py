"""What a person may type, set or meet is documented, and what is documented exists."""

import inspect
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from mpi import errors
from mpi.cli import app, audit_app, inbox_app, key_app, queue_app
from mpi.index import graph, questions
from mpi.index.corrections import CorrectionKind, CorrectionState
from mpi.index.events import FactKind
from mpi.index.relinking import SurpriseKind
from mpi.index.reports import ReportKind, ReportState
from mpi.index.review import TaskKind, TaskState, Verdict
from mpi.index.timeline import What
from mpi.matching import continuity
from mpi.matching.comparisons import POSITION
from mpi.matching.guards import GUARDS
from mpi.model_commands import model_app
from mpi.notify_commands import notify_app
from mpi.report_commands import correction_app, report_app
from mpi.settings import Settings
from tests.diagrams import DOCUMENT, with_diagrams

ROOT = Path(__file__).parents[1]


def documentation():
    return "\n".join(
        path.read_text(encoding="utf-8")
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    )


def commands():
    groups = {
        "": app,
        "key ": key_app,
        "queue ": queue_app,
        "inbox ": inbox_app,
        "audit ": audit_app,
        "model ": model_app,
        "notify ": notify_app,
        "report ": report_app,
        "correction ": correction_app,
    }
    for prefix, group in groups.items():
        for command in group.registered_commands:
            yield f"mpi {prefix}{command.name or command.callback.__name__}"


def settings_keys(model, prefix=""):
    for name, item in model.model_fields.items():
        inner = [
            t for t in (item.annotation, *getattr(item.annotation, "__args__", ())) if isinstance(t, type)
        ]
        section = next((t for t in inner if issubclass(t, BaseModel)), None)
        yield from settings_keys(section, f"{prefix}{name}.") if section else [f"{prefix}{name}"]


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_is_documented(command):
    assert command in documentation()


@pytest.mark.parametrize("key", list(settings_keys(Settings)))
def test_every_setting_is_documented(key):
    assert re.search(rf"`{re.escape(key)}`", documentation())


def test_every_error_is_drawn_in_the_tree():
    drawn = set(re.findall(r"[A-Z]\w+", errors.__doc__))
    leaves = {
        n for n, item in vars(errors).items() if isinstance(item, type) and issubclass(item, errors.MpiError)
    }

    assert leaves <= drawn


@pytest.mark.parametrize(
    "name", ["README.md", "ARCHITECTURE.md", "GLOSSARY.md", "CHANGELOG.md", "CONTRIBUTING.md"]
)
def test_paths_and_links_named_in_a_document_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    named = re.findall(r"`((?:mpi|tests|docs|datasets|notebooks)/[\w./-]+)`", text)

    for path in linked + named:
        assert (ROOT / path).exists(), f"{name}: {path}"


def test_every_part_of_the_house_is_in_the_architecture():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    parts = [p for p in (ROOT / "mpi").iterdir() if p.is_dir() and (p / "__init__.py").is_file()]

    assert parts
    assert all(f"`mpi/{part.name}/`" in text for part in parts)


def test_glossary_terms_are_those_of_the_code():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "mpi").rglob("*.py")).lower()
    terms = re.findall(r"\| \*\*([^*]+)\*\*", (ROOT / "GLOSSARY.md").read_text(encoding="utf-8"))

    missing = [term for term in terms for word in term.split(",")[:1] if word.strip().lower() not in code]
    assert not missing


def reasons():
    """The words that a refusal, a question or a held statement gives as its reason, as the code writes them."""
    source = "".join(map(inspect.getsource, (graph, questions, continuity)))
    given = re.findall(r'(?:return|reason =|else|reason, reason =|[\w)],) f?"([a-z_]+)[":]', source)
    guards = {guard.name for guard in GUARDS}
    return ({*given} | guards | graph._TELLS_APART | questions._SILENT) - POSITION.keys()


@pytest.mark.parametrize(
    "kinds",
    [
        *(TaskKind, TaskState, Verdict, FactKind, What, SurpriseKind),
        *(ReportKind, ReportState, CorrectionKind, CorrectionState),
        reasons(),
    ],
)
def test_every_word_of_an_answer_is_explained(kinds):
    text = DOCUMENT.read_text(encoding="utf-8")
    explained = set(re.findall(r"`([\w]+)", text)) | set(re.findall(r"--> (\w+)", text))

    assert {str(kind) for kind in kinds} <= explained


def test_the_diagrams_are_those_of_the_code():
    text = DOCUMENT.read_text(encoding="utf-8")

    assert with_diagrams(text) == text, "run: python -m tests.diagrams"


def test_invariants_are_held_by_the_tests_named_beside_them():
    rows = re.findall(
        r"^\| (I\d[^|]*)\|[^|]*\| `([^`]+)`: (.*) \|$", DOCUMENT.read_text(encoding="utf-8"), re.M
    )

    assert len(rows) > 15
    for invariants, path, names in rows:
        source = (ROOT / path).read_text(encoding="utf-8")
        for invariant in re.findall(r"I\d+", invariants):
            assert re.search(rf"\[[^\]]*\b{invariant}\b", source), f"{path}: {invariant}"
        for name in re.findall(r"`(\w+)`", names):
            assert f"def {name}(" in source, f"{path}: {name}"


def test_both_commands_stand_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert "make run" in text
    assert "make test" in text


def test_no_path_of_a_machine_is_in_the_repository():
    pattern = re.compile(r"/(?:work|farm|root)/|\.library")
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "mpi").rglob("*.py")]:
        assert not pattern.search(path.read_text(encoding="utf-8")), path
