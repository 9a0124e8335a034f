"""`mpi model ...`: versions of the match model, what is in them, and what another one would change."""

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from mpi.console import Config, Json, answer, progress, refuse, say, settings_of, show_table
from mpi.errors import ModelError
from mpi.index.model_changes import ChangedPair, PairChanges, differences, pair_changes, record_export
from mpi.index.models import DEFAULT, activate, active_model, known_model
from mpi.matching.decision import Decision
from mpi.matching.files import read_model
from mpi.matching.model import MatchModel
from mpi.settings import Settings
from mpi.store import SqlStore, open_store
from mpi.wiring import now

model_app = typer.Typer(help="Versions of the match model.", no_args_is_help=True)

Which = Annotated[
    str,
    typer.Argument(metavar="VERSION|FILE|default", help="A version, a model file (*.json), or `default`."),
]

_DIGEST_SHOWN = 12
_DIFFERENCES_SHOWN = 10
_COLUMNS = ("left_domain", "left_id", "right_domain", "right_id", "before", "after")


def _store(settings: Settings) -> SqlStore:
    """The store alone: a registry needs an active model it can read, and these commands mend that."""
    return open_store(settings.database.url)


def _model(which: str, settings: Settings) -> MatchModel:
    """The model of a version, or in a file. Exit status 2 when there is none."""
    if which.endswith(".json") or os.sep in which:
        try:
            return read_model(Path(which))
        except ModelError as error:
            raise refuse(str(error)) from None
    if which == DEFAULT:
        return MatchModel.default()
    with _store(settings) as store:
        model = known_model(store, which)
    if model is None:
        raise refuse("no model of this version: `mpi model list` names those there are")
    return model


@model_app.command("list")
def model_list(config: Config = None, json: Json = False) -> None:
    """List the packaged default and the models of the store."""
    with _store(settings_of(config)) as store, store.read() as uow:
        stored = uow.models.all()
    packaged = MatchModel.default()
    document = [
        {
            "version": packaged.version,
            "digest": packaged.digest,
            "population": packaged.population,
            "records": packaged.metadata.get("records"),
            "active": not any(model.active for model in stored),
            "added": None,
            "activated": None,
            "by": "packaged",
        },
        *(
            {
                "version": model.version,
                "digest": model.digest,
                "population": model.document.get("population"),
                "records": model.document.get("metadata", {}).get("records"),
                "active": model.active,
                "added": model.added_at,
                "activated": model.activated_at,
                "by": model.activated_by,
            }
            for model in stored
        ),
    ]
    shown = [
        {
            "version": row["version"],
            "digest": row["digest"][:_DIGEST_SHOWN],
            "population": row["population"],
            "records": row["records"],
            "active": "active" if row["active"] else "",
            "activated": f"{row['activated']:%Y-%m-%d %H:%M}" if row["activated"] else "",
        }
        for row in document
    ]
    answer(json, document, lambda: show_table(shown))


@model_app.command("show")
def model_show(which: Which, config: Config = None, json: Json = False) -> None:
    """Show what a model holds: odds, thresholds, levels, calibration, and where it comes from. No names."""
    model = _model(which, settings_of(config))
    answer(json, _described(model), lambda: _show(model))


def _described(model: MatchModel) -> dict[str, Any]:
    """The model's own JSON, with bits and probabilities; of the frequencies, only how many names there are."""
    document = model.to_json()
    bits = {(item.trait, item.level): item.bits for says in model.evidence for item in says}
    return {
        **document,
        "digest": model.digest,
        "thresholds": {
            name: {"bits": bound, "probability": model.probability(bound)}
            for name, bound in document["thresholds"].items()
        },
        "parameters": {
            trait: {level: {**values, "bits": bits[trait, level]} for level, values in levels.items()}
            for trait, levels in document["parameters"].items()
        },
        "frequencies": {
            trait: {"names": len(counted.shares), "expected": counted.expected}
            for trait, counted in model.frequencies.items()
        },
        "calibration": document.get("calibration"),
    }


def _show(model: MatchModel) -> None:
    described = _described(model)
    say(f"{model.version}  {model.digest}")
    say(f"prior {model.prior_bits:.2f} bits among {model.population:,} records")
    thresholds = [
        {
            "threshold": name.removesuffix("_bits"),
            "bits": f"{bound['bits']:.2f}",
            "probability": f"{bound['probability']:.4f}",
        }
        for name, bound in described["thresholds"].items()
    ]
    show_table(thresholds, right=("bits", "probability"))
    levels = [
        {
            "comparison": trait,
            "level": level,
            "m": f"{of['m']:.4g}",
            "u": f"{of['u']:.4g}",
            "bits": f"{of['bits']:+.2f}",
            **{kind: f"{other.probabilities[trait][level]:.4g}" for kind, other in model.relatives.items()},
        }
        for trait, levels in described["parameters"].items()
        for level, of in levels.items()
    ]
    show_table(levels, right=("m", "u", "bits", *model.relatives))
    for kind, relatives in model.relatives.items():
        say(f"relatives: {kind}: prior {relatives.prior_bits:.2f} bits")
    for trait, counted in described["frequencies"].items():
        say(f"frequencies: {trait}: {counted['names']:,} names, expected {counted['expected']:.3g}")
    say(f"calibration: {_brief(described['calibration']) if model.calibration else 'none'}")
    for name, value in _flat(model.metadata):
        say(f"{name}: {value}")


def _brief(calibration: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{len(value)} {name}" if isinstance(value, list) else f"{name} {value}"
        for name, value in calibration.items()
    )


def _flat(metadata: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """What is in nested objects, each by its whole name."""
    for name, value in metadata.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


@model_app.command("activate")
def model_activate(
    which: Which,
    by: Annotated[str, typer.Option("--by", help="Who does; kept in the audit trail.")] = "terminal",
    config: Config = None,
) -> None:
    """Make a model the active one, and keep it in the store. `default` goes back to the packaged model."""
    settings = settings_of(config)
    model = _model(which, settings)
    with _store(settings) as store:
        before = _readable_active_model(store)
        changed = activate(store, None if which == DEFAULT else model, actor=f"user:{by}", clock=now)
    if not changed:
        say(f"{model.version} is active already")
        return
    say(f"{model.version} ({model.digest[:_DIGEST_SHOWN]}) is active")
    for line in _less_strict(before, model) if before else ():
        say(line)
    say("what is stored keeps its decisions, under the version that made them, until its identities change")
    say("a service that is running keeps the model it started with: restart it")


def _readable_active_model(store: SqlStore) -> MatchModel | None:
    try:
        return active_model(store)
    except ModelError:
        return None  # that may be why another one is wanted


def _less_strict(before: MatchModel, after: MatchModel) -> Iterator[str]:
    """A line for each bound above which the new model links, or below which it contradicts, sooner than the old."""
    for name in ("upper_bits", "same_domain_bits", "contradiction_bits"):
        old, new = getattr(before.thresholds, name), getattr(after.thresholds, name)
        if new < old:
            bound = name.removesuffix("_bits")
            yield f"less strict than {before.version}: threshold {bound} falls from {old:.2f} to {new:.2f} bits"


@model_app.command("compare")
def model_compare(
    left: Which,
    right: Which,
    pairs: Annotated[
        Path | None,
        typer.Option(help="CSV file to write: the pairs that change. It holds identifiers of patients."),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Say where two models differ, and how many decisions on the pairs of the store would change."""
    settings = settings_of(config)
    before, after = _model(left, settings), _model(right, settings)
    names = {domain.key: domain.authority.namespace for domain in settings.directory().domains}
    with _store(settings) as store, _pairs_file(pairs, names) as write, progress() as bar:
        if pairs is not None:
            record_export(store, before, after, actor="user:terminal", clock=now)
        task = bar.add_task("records", total=None)
        changes = pair_changes(
            store,
            before,
            after,
            on_change=write,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    found = differences(before, after)
    shown = found[:_DIFFERENCES_SHOWN]
    document: dict[str, Any] = {
        "left": {"version": before.version, "digest": before.digest},
        "right": {"version": after.version, "digest": after.digest},
        "differing_parameters": len(found),
        "parameters": [one._asdict() for one in shown],
        "pairs": _counted(changes) if changes.records else None,
    }

    def show() -> None:
        say(
            f"{before.version} ({before.digest[:_DIGEST_SHOWN]}), {after.version} ({after.digest[:_DIGEST_SHOWN]})"
        )
        if shown:
            rows = [
                {"parameter": one.name, "left": _bits(one.left_bits), "right": _bits(one.right_bits)}
                for one in shown
            ]
            show_table(rows, right=("left", "right"))
        say(f"{len(found)} parameters differ" + (", these the most" if len(found) > len(shown) else ""))
        if not changes.records:
            say("the store is empty: no pairs to compare")
            return
        say(f"{changes.changed:,} of {changes.compared:,} pairs of {changes.records:,} records change")
        decisions = document["pairs"]["decisions"]
        show_table([{"left, then right": old, **counts} for old, counts in decisions.items()])
        if changes.partly_compared:
            say(f"{changes.partly_compared:,} records have a blocking key too common to open, as online")

    answer(json, document, show)


def _bits(bits: float | None) -> str:
    return "none" if bits is None else f"{bits:+.2f}"


def _counted(changes: PairChanges) -> dict[str, Any]:
    return {
        "records": changes.records,
        "records_partly_compared": changes.partly_compared,
        "compared": changes.compared,
        "changed": changes.changed,
        "decisions": {
            str(old): {str(new): changes.pairs.get((old, new), 0) for new in Decision} for old in Decision
        },
    }


@contextmanager
def _pairs_file(path: Path | None, names: Mapping[str, str]) -> Iterator[Callable[[ChangedPair], object]]:
    """
    Writes pairs to a new file that its owner alone may read; without a path, nowhere.

    Args:
        names: namespaces by key of their domain.
    """
    if path is None:
        yield lambda _pair: None
        return
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise refuse(f"{path}: {(error.strerror or 'cannot be written').lower()}") from None
    try:
        # Identifiers come from peers, and may hold what is no text.
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(_COLUMNS)
            yield lambda pair: rows.writerow(
                (
                    names.get(pair.left.domain, pair.left.domain),
                    pair.left.value,
                    names.get(pair.right.domain, pair.right.domain),
                    pair.right.value,
                    pair.before,
                    pair.after,
                )
            )
    except BaseException:
        path.unlink()  # half a file would pass for a whole one
        raise
