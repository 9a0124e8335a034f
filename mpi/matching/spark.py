"""
`batch.link` for tables that one machine does not hold: Spark distributes, this engine decides.

    from mpi.matching.spark import link_table
    found = link_table("records.parquet", model=model)  # on the session there is, or a local one

Spark moves rows: keys, a join on them, distinct pairs, both records of each. What is said of a key or of
a pair is said by the functions of the local engine on the rows that a worker holds, so the same table
and the same model give the same pairs, weights, decisions and sets as there without its loose passes,
which a large table leaves out anyway. The driver keeps who each record is, the pairs that are written,
and the traits of the few sets that need a second look.

Nothing is learnt here: fit the model to a sample with the local engine, and hand it over.

Identities travel between the machines of the cluster; keys travel as hashes. Workers import `mpi`.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mpi.errors import InvalidIdentity
from mpi.identity.columns import BadValues, TraitColumns
from mpi.identity.tabular import TRAIT_NAMES
from mpi.identity.traits import Traits
from mpi.matching import batch
from mpi.matching.batch import LEAST_PROBABILITY, Linkage, Progress, Report
from mpi.matching.blocking import key_of, passes
from mpi.matching.candidates import MAX_BLOCK, CappedBlocks, Indices
from mpi.matching.clusters import MAX_SET_SIZE, components
from mpi.matching.comparisons import first_given
from mpi.matching.decision import Decision
from mpi.matching.model import MatchModel
from mpi.matching.vectors import levels_of
from mpi.matching.weighing import DECISIONS, probabilities

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ROW, _ID, _DOMAIN = "mpi_row", "mpi_id", "mpi_domain"
_SIDES = ("left", "right")


def link_table(
    source: "str | Path | pa.Table | pd.DataFrame | DataFrame",
    *,
    model: MatchModel | None = None,
    at: float | None = 0.5,
    spark: "SparkSession | None" = None,
    id_column: str = "record_id",
    domain_column: str = "domain",
    on_bad: str = "refuse",
    max_block: int = MAX_BLOCK,
    max_set_size: int = MAX_SET_SIZE,
    clock: Callable[[], float] | None = None,
    progress: Progress = lambda phase, done, total: None,
) -> Linkage:
    """
    Link the records of a table, within domains and across: `batch.link` without its loose passes.

    Args:
        source: one row per record, columns named as the tabular traits: a table, a Spark frame, or the
            path of Parquet or CSV files (`.csv`) as Spark reads paths.
        model: used as it is, for as many records; the default one by default.
        at: pairs at least so probable join; see `batch.link`.
        spark: the session; the active one by default, or a new one as the environment says.
        id_column: unique within its domain; it must be there, since rows of a cluster have no number.
        on_bad: `refuse` wrong values, or take them for `missing`.

    Raises:
        InvalidIdentity: a wrong value, or an identifier that is missing or stated twice; rows are
            counted from 0 in order of identifiers.
        ValueError: `at` is not in (0, 1].
        ModuleNotFoundError: PySpark is not installed (`pip install mpi[spark]`).
    """
    if on_bad not in ("refuse", "missing"):
        raise ValueError("on_bad: expected refuse or missing")
    if at is not None and not 0 < at <= 1:
        raise ValueError("at: expected a probability above 0")
    model, training = model or MatchModel.default(), "the model is used as it is"
    watch = batch._Stopwatch(clock, progress)
    with watch.phase("normalise"):
        session = spark or _session()
        records = _records(_frame(session, source), id_column, domain_column)
        numbers, names = _names(records, id_column)
        bad = _bad_values(records, numbers)
        if bad and on_bad == "refuse":
            raise InvalidIdentity(f"{bad[0].trait}, row {bad[0].first_row}", bad[0].problem)
    with watch.phase("candidates"):
        pairs, capped = _candidates(records, max_block)
        pairs = pairs.persist()
        candidate_pairs = pairs.count()
    if len(numbers) > 1:
        model = model.for_population(len(numbers))
        training = f"the model is used as it is, for {len(numbers)} records"
    with watch.phase("decisions"):
        left, right, scored = _scored(_with_records(pairs, records), model, at, numbers)
        pairs.unpersist()
    with watch.phase("sets"):
        label, refused = _sets(session, records, model, numbers, names, left, right, scored, at, max_set_size)
    with watch.phase("output"):
        entities = batch._entities(names, label)
        kept = batch._pairs(model, names, left, right, scored)
    counted = np.bincount(scored.decisions, minlength=len(DECISIONS)).tolist()
    counts = dict(zip(DECISIONS, counted, strict=True))
    counts[Decision.NON_LINK] += candidate_pairs - len(left)  # what is too light to be written is no link
    report = Report(
        rows=len(numbers),
        entities=len(np.unique(label)),
        candidate_pairs=candidate_pairs,
        bad=bad,
        capped=capped,
        left_out=(),
        training=training,
        decisions={decision.value: count for decision, count in counts.items()},
        refused=refused,
        seconds=watch.seconds,
    )
    return Linkage(entities, kept, model, report)


def _session() -> "SparkSession":
    """The session there is, or the one the environment asks for: SPARK_REMOTE, spark-submit, or this machine."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    context = getattr(session, "_sc", None)  # none with Spark Connect
    if context is not None and context.master.startswith("local") and context.pythonExec == "python3":
        context.pythonExec = sys.executable  # where mpi is installed, unless PYSPARK_PYTHON says otherwise
    return session


# --- records ------------------------------------------------------------------------------


def _frame(spark: "SparkSession", source: Any) -> "DataFrame":
    """A table as Spark holds it; texts stay texts."""
    if isinstance(source, str | Path):
        path = str(source)
        if path.lower().endswith(".csv"):
            return spark.read.csv(path, header=True, inferSchema=False, quote='"', escape='"', multiLine=True)
        return spark.read.parquet(path)
    if isinstance(source, pd.DataFrame):
        try:
            source = pa.Table.from_pandas(source, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            raise InvalidIdentity("columns", "expected one type in each; make them texts") from None
    if isinstance(source, pa.Table):
        return spark.createDataFrame(_plain(source))
    return source  # type: ignore[no-any-return]


def _plain(table: pa.Table) -> pa.Table:
    """Without dictionaries and empty types, which Spark does not take."""
    schema = []
    for each in table.schema:
        kind = each.type.value_type if pa.types.is_dictionary(each.type) else each.type
        schema.append(pa.field(each.name, pa.string() if pa.types.is_null(kind) else kind))
    return table.cast(pa.schema(schema))


def _records(frame: "DataFrame", id_column: str, domain_column: str) -> "DataFrame":
    """
    Who each record is and its traits, numbered in order of identifier, then domain.

    The numbers are those of one computation: a lost executor must not number records again in
    another way, so the frame is cut from what it was made of.
    """
    from pyspark.sql import functions as fn
    from pyspark.sql.types import StringType, StructField, StructType

    traits = _trait_columns(frame)
    if id_column not in frame.columns:
        raise InvalidIdentity(id_column, "no such column")
    wanted = dict.fromkeys((id_column, *([domain_column] if domain_column in frame.columns else []), *traits))
    schema = StructType(
        [
            StructField(_ID, StringType()),
            StructField(_DOMAIN, StringType()),
            *(frame.schema[name] for name in traits),
        ]
    )
    named = frame.select(*map(_quoted, wanted)).mapInArrow(
        partial(_identified, id_column, domain_column, traits), schema
    )
    ordered = named.orderBy(_ID, _DOMAIN).withColumn(_ROW, fn.monotonically_increasing_id())
    return ordered.localCheckpoint(eager=True)


def _trait_columns(frame: "DataFrame") -> tuple[str, ...]:
    names = tuple(name for name in TRAIT_NAMES if name in frame.columns)
    if not names:
        raise InvalidIdentity("columns", "none is a trait")
    for name in names:
        if frame.columns.count(name) > 1:
            raise InvalidIdentity(name, "two columns of this name")
    return names


def _quoted(name: str) -> str:
    """A column whose name may hold a dot."""
    return f"`{name.replace('`', '``')}`"


def _identified(
    id_column: str, domain_column: str, traits: tuple[str, ...], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for each in batches:
        table = pa.Table.from_batches([each])
        ids, domains = (batch._texts(table, name) for name in (id_column, domain_column))
        if domains is None:
            domains = pa.nulls(len(table), pa.string())
        columns = {_ID: ids, _DOMAIN: domains.fill_null("")} | {name: each.column(name) for name in traits}
        yield pa.RecordBatch.from_pydict(columns)


def _names(records: "DataFrame", id_column: str) -> tuple[Indices, batch._Names]:
    """Spark's numbers of the records, rising, and who they are."""
    table = records.select(_ROW, _ID, _DOMAIN).toArrow().sort_by(_ROW).combine_chunks()
    ids, domains = (_one_array(table.column(name)) for name in (_ID, _DOMAIN))
    if ids.null_count:
        raise InvalidIdentity(id_column, f"missing in {ids.null_count} rows")
    names = batch._Names(ids, domains)
    order = batch._order(names, id_column)
    if (order[1:] < order[:-1]).any():
        raise RuntimeError("Spark sorted the identifiers in another way than Arrow")
    return table.column(_ROW).to_numpy(), names


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    whole = column.cast(pa.string()).combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def _bad_values(records: "DataFrame", numbers: Indices) -> tuple[BadValues, ...]:
    found = records.mapInArrow(_bad_of, "trait string, first long, rows long, problem string").toArrow()
    by_trait: dict[str, list[Mapping[str, Any]]] = {}
    for each in found.sort_by("first").to_pylist():
        by_trait.setdefault(each["trait"], []).append(each)
    return tuple(
        BadValues(
            trait,
            int(np.searchsorted(numbers, said[0]["first"])),
            sum(each["rows"] for each in said),
            said[0]["problem"],
        )
        for trait in TRAIT_NAMES
        if (said := by_trait.get(trait))
    )


def _bad_of(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for each in batches:
        rows = each.column(_ROW)
        bad = _traits(pa.Table.from_batches([each])).bad
        yield pa.RecordBatch.from_pydict(
            {
                "trait": pa.array([said.trait for said in bad], pa.string()),
                "first": rows.take(pa.array([said.first_row for said in bad], pa.int64())),
                "rows": pa.array([said.rows for said in bad], pa.int64()),
                "problem": pa.array([said.problem for said in bad], pa.string()),
            }
        )


def _traits(table: pa.Table) -> TraitColumns:
    """The traits of some rows. Wrong values were refused for the whole table, or are missing."""
    return TraitColumns.of_table(table, on_bad="missing")


# --- candidate pairs ----------------------------------------------------------------------


def _candidates(records: "DataFrame", max_block: int) -> "tuple[DataFrame, tuple[CappedBlocks, ...]]":
    """
    Each pair of records that shares a key, once: `left` before `right`.

    Large blocks are opened and counted as in `candidates`.
    """
    from pyspark.sql import functions as fn

    keys = records.mapInArrow(_keys, f"{_ROW} long, pass string, key long, second long").persist()
    sizes = keys.groupBy("pass", "key").agg(fn.count("*").alias("size")).where("size > 1")
    members = keys.join(sizes, ["pass", "key"])
    ordinary = members.where(fn.col("size") <= max_block).select(_ROW, "key", fn.lit(0).alias("second"))
    large = members.where(fn.col("size") > max_block)
    opened = large.groupBy("pass", "key", "second").agg(fn.count("*").alias("within"))
    again = large.join(opened.where(fn.col("within").between(2, max_block)), ["pass", "key", "second"])
    blocks = ordinary.unionByName(again.select(_ROW, "key", "second"))
    others = blocks.select(fn.col(_ROW).alias("right"), "key", "second")
    pairs = (
        blocks.select(fn.col(_ROW).alias("left"), "key", "second")
        .join(others, ["key", "second"])
        .where("left < right")
        .select("left", "right")
        .distinct()
    )
    capped = _capped(sizes.where(fn.col("size") > max_block), opened.where(fn.col("within") > max_block))
    return pairs, capped


def _capped(large: "DataFrame", skipped: "DataFrame") -> tuple[CappedBlocks, ...]:
    from pyspark.sql import functions as fn

    refined = {row["pass"]: row["count"] for row in large.groupBy("pass").count().collect()}
    if not refined:
        return ()
    count, total = fn.count("*").alias("blocks"), fn.sum("within").alias("records")
    left_out = {row["pass"]: row for row in skipped.groupBy("pass").agg(count, total).collect()}
    return tuple(
        CappedBlocks(name, refined[name], *(left_out[name][1:] if name in left_out else (0, 0)))
        for name in _PASS_NAMES
        if name in refined
    )


_PASS_NAMES = (
    "date_family", "date_given", "names_day", "names_year", "names_place", "names_home", "ins", "national_id",
    "email", "phone",
)  # fmt: skip
"""The passes of `blocking.passes`, in the order of reports."""


def _keys(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for each in batches:
        columns = _traits(pa.Table.from_batches([each]))
        rows = each.column(_ROW).to_pylist()
        entries = [
            (row, parts[0], key_of(parts), second)
            for at, row in enumerate(rows)
            for traits, second in [_opened(columns, at)]
            for parts in dict.fromkeys(passes(traits))
        ]
        row_of, names, keys, seconds = zip(*entries, strict=True) if entries else ((),) * 4
        yield pa.RecordBatch.from_arrays(
            [
                pa.array(row_of, pa.int64()),
                pa.array(names, pa.string()),
                pa.array(keys, pa.int64()),
                pa.array(seconds, pa.int64()),
            ],
            [_ROW, "pass", "key", "second"],
        )


def _opened(columns: TraitColumns, at: int) -> tuple[Traits, int]:
    """A record, and what a large block is opened by."""
    traits = columns.row(at)
    return traits, key_of((str(traits.birth_date or ""), first_given(traits), traits.sex))


# --- pairs --------------------------------------------------------------------------------


def _with_records(pairs: "DataFrame", records: "DataFrame") -> "DataFrame":
    """Both records beside each pair: `left_sex`, `right_sex`."""
    from pyspark.sql import functions as fn

    names = [name for name in records.columns if name not in (_ROW, _ID)]
    for side in _SIDES:
        one = records.select(fn.col(_ROW).alias(side), *(fn.col(n).alias(f"{side}_{n}") for n in names))
        pairs = pairs.join(one, side)
    return pairs


def _two_columns(each: pa.RecordBatch) -> tuple[TraitColumns, pa.Array, Indices, Indices]:
    """The distinct records of some pairs, their domains, and where each pair's two are."""
    pairs = len(each)
    rows = np.concatenate([each.column(side).to_numpy() for side in _SIDES])
    _, first, at = np.unique(rows, return_index=True, return_inverse=True)
    own = [name.removeprefix("left_") for name in each.schema.names if name.startswith("left_")]
    table = pa.table(
        {n: pa.chunked_array([each.column(f"{side}_{n}") for side in _SIDES]).take(first) for n in own}
    )
    domains = table.column(_DOMAIN).combine_chunks()
    at = at.astype(np.int64)
    return _traits(table), domains, at[:pairs], at[pairs:]


def _scored(
    both: "DataFrame", model: MatchModel, at: float | None, numbers: Indices
) -> tuple[Indices, Indices, batch._Scored]:
    """The pairs that are written or join two records, in order, by position of their records."""
    told = both.mapInArrow(
        partial(_score_of, json.dumps(model.to_json()), at),
        "left long, right long, bits double, decisions short, contradicts boolean",
    )
    table = told.toArrow().sort_by([("left", "ascending"), ("right", "ascending")])
    left, right, bits, decisions, contradicts = (each.to_numpy() for each in table.columns)
    scored = batch._Scored(bits, decisions.astype(np.uint8), contradicts.astype(np.bool_))
    return np.searchsorted(numbers, left), np.searchsorted(numbers, right), scored


def _score_of(
    model_text: str, at: float | None, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    model = _model_of(model_text)
    for each in batches:
        columns, domains, left, right = _two_columns(each)
        domain = pd.factorize(domains.to_numpy(zero_copy_only=False))[0]
        levels = levels_of(columns, left, right)
        scored = batch._score(model, columns, domain, left, right, levels, at=at)
        probability = probabilities(model, scored.bits)
        least = LEAST_PROBABILITY if at is None else min(at, LEAST_PROBABILITY)
        kept = np.flatnonzero((scored.bits >= model.thresholds.lower_bits) | (probability >= least))
        yield pa.RecordBatch.from_pydict(
            {
                "left": each.column("left").take(pa.array(kept)),
                "right": each.column("right").take(pa.array(kept)),
                "bits": scored.bits[kept],
                "decisions": scored.decisions[kept].astype(np.int16),
                "contradicts": scored.contradicts[kept],
            }
        )


@lru_cache(maxsize=4)
def _model_of(text: str) -> MatchModel:
    """A model travels as its JSON form, which reads back to an equal one."""
    return MatchModel.from_json(json.loads(text))


# --- sets ---------------------------------------------------------------------------------


def _sets(
    spark: "SparkSession",
    records: "DataFrame",
    model: MatchModel,
    numbers: Indices,
    names: batch._Names,
    left: Indices,
    right: Indices,
    scored: batch._Scored,
    at: float | None,
    max_set_size: int,
) -> tuple[Indices, int]:
    """
    By record, the first record of its set, and how many links were refused.

    Records whose every two are linked are a set. The driver asks for the traits of the others only, and
    makes their sets as the local engine does.
    """
    from pyspark.sql import functions as fn

    size = len(numbers)
    domains = pd.factorize(names.domains.to_numpy(zero_copy_only=False))[0]
    if at is None:
        likely = scored.decisions == DECISIONS.index(Decision.LINK)
    else:
        likely = probabilities(model, scored.bits) >= at
    label = components(size, left[likely], right[likely])
    members = np.bincount(label, minlength=size)
    linked = np.bincount(label[left[likely & ~scored.contradicts]], minlength=size)
    doubtful = ((linked < members * (members - 1) // 2) | (members > max_set_size))[label]
    rows = np.flatnonzero(doubtful)
    if not len(rows):
        return label, 0
    wanted = spark.createDataFrame(pa.table({_ROW: numbers[rows]}))
    traits = records.join(fn.broadcast(wanted), _ROW).toArrow().sort_by(_ROW)
    inside = np.flatnonzero(doubtful[left] & doubtful[right])
    place = np.cumsum(doubtful) - 1
    some = batch._Scored(scored.bits[inside], scored.decisions[inside], scored.contradicts[inside])
    labels, refused = batch._sets(
        model,
        _traits(traits),
        domains[rows],
        place[left[inside]],
        place[right[inside]],
        some,
        max_set_size,
        at=at,
    )
    label[rows] = rows[labels]
    return label, refused
