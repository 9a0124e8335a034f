"""
Match models as files: one JSON document each, the same bytes for the same model.

An error names the file and the field, never a name that a table of frequencies holds.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mpi.errors import ModelError
from mpi.matching.decision import Thresholds
from mpi.matching.model import FORMAT, MatchModel

_EACH = "*"
"""In a shape, every key, which the place of an error then names."""
_UNNAMED = "?"
"""Every key, which is left out of the place of an error: it is somebody's name."""

_SHAPE: Mapping[str, Any] = {
    "version": str,
    "prior_bits": float,
    "population": int,
    "thresholds": {"lower_bits": float, "upper_bits": float, _EACH: float},
    "parameters": {_EACH: {_EACH: {"m": float, "u": float}}},
    "relatives": {_EACH: {"prior_bits": float, "probabilities": {_EACH: {_EACH: float}}}},
    "frequencies": {_EACH: {"expected": float, "shares": {_UNNAMED: float}}},
    "metadata": {},
}
"""What every model has. The model itself checks the rest: names of levels, sums, bounds."""

_EXPECTED = {str: "a text", float: "a number", int: "a whole number"}


def read_model(path: Path) -> MatchModel:
    """
    Read one model file.

    Raises:
        ModelError: no such file, not JSON, of another format, or not a model. Names the file and the field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path}: not a text in UTF-8") from None
    try:
        stored = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ModelError(f"{path}: line {error.lineno}: not JSON") from None
    except (ValueError, RecursionError):
        raise ModelError(f"{path}: not JSON") from None
    try:
        return _model(stored)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def write_model(model: MatchModel, path: Path) -> None:
    """
    Write a model file, whole or not at all. A file of the same model is left as it is.

    Raises:
        ModelError: the file is there and is not this model, or cannot be written.
    """
    if path.exists():
        if _digest_at(path) == model.digest:
            return
        raise ModelError(f"{path}: another file is there; a model file is never overwritten")
    text = json.dumps(model.to_json(), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(f"{text}\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise ModelError(f"{path}: {(error.strerror or 'cannot be written').lower()}") from None


def _digest_at(path: Path) -> str | None:
    try:
        return read_model(path).digest
    except ModelError:
        return None


def _model(stored: Any) -> MatchModel:
    if not isinstance(stored, dict):
        raise ModelError("expected a JSON object")
    if stored.get("format") != FORMAT:
        raise ModelError(f"format: expected {FORMAT}; estimate the model again")
    _check(stored, _SHAPE, "")
    if odd := sorted(stored["thresholds"].keys() - {field.name for field in fields(Thresholds)}):
        raise ModelError(f"thresholds.{odd[0]}: unknown field")
    model = MatchModel.from_json(stored)
    written = model.to_json()
    if unknown := sorted(name for name, value in stored.items() if value is not None and name not in written):
        raise ModelError(f"{unknown[0]}: unknown field")
    return model


def _check(value: Any, shape: Any, place: str) -> None:
    """
    Compare what was read with what it must look like, field by field.

    Raises:
        ModelError: names the first field that is missing or of another type.
    """
    if not isinstance(shape, Mapping):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = is_number if shape is float else isinstance(value, shape) and not isinstance(value, bool)
        if not fits:
            raise ModelError(f"{place}: expected {_EXPECTED[shape]}")
        return
    if not isinstance(value, dict):
        raise ModelError(f"{place}: expected an object")
    for name, inner in shape.items():
        if name in (_EACH, _UNNAMED):
            for key, item in value.items():
                _check(item, inner, place if name == _UNNAMED else f"{place}.{key}")
            continue
        where = f"{place}.{name}" if place else name
        if name not in value:
            raise ModelError(f"{where}: is missing")
        _check(value[name], inner, where)


def _no_constant(name: str) -> None:
    """JSON has no NaN and no Infinity, whatever Python reads."""
    raise ValueError(name)
