"""
Batch linkage of a table: who is whom, in one pass over columns.

normalise -> candidates -> levels -> (fit the model) -> weights -> guards, decisions -> sets. Every
step says of a record, or a pair, what the engine of one record says of it (`normalise`,
`blocking.passes`, `compare`, `score`). Records are put in order of their identifiers first, so the order of
the rows changes nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mpi.errors import InvalidIdentity, ModelError
from mpi.identity.columns import BadValues, TraitColumns
from mpi.matching.candidates import (
    MAX_BLOCK,
    Candidates,
    CappedBlocks,
    Indices,
    Keys,
    LeftOut,
    Part,
    candidates,
    join,
    pairs_of_blocks,
)
from mpi.matching.clusters import AMBIGUITY_MARGIN_BITS, MAX_SET_SIZE, Link, cluster, components
from mpi.matching.comparisons import COMPARISONS, POSITION
from mpi.matching.decision import Decision
from mpi.matching.guards import FORBIDDING
from mpi.matching.model import MatchModel
from mpi.matching.online import score
from mpi.matching.patterns import Patterns, patterns_of
from mpi.matching.rarity import Frequencies, counted
from mpi.matching.training import expected_people, refit, with_budget
from mpi.matching.vectors import Derived, Levels, levels_of
from mpi.matching.weighing import (
    DECISIONS,
    Bits,
    Mask,
    contradictions,
    decide,
    guards_of,
    has_any,
    probabilities,
    weigh,
)

Progress = Callable[[str, int, int], None]
"""Told (phase, done, total)."""

FEWEST_TO_TRAIN = 500
"""Records below which there is too little to learn from, and the model stays as it is."""
FEWEST_TO_COUNT_NAMES = 1000
"""Records below which how common names are is the model's to say."""
RANDOM_PAIRS = 100_000
"""Drawn to learn how often two people agree by chance; of a small table, so many times its records."""
RANDOM_PAIRS_PER_RECORD = 20
U_HELD_BY = 5.0
"""Pairs seen at a level that the model's u counts for: what is too rare to be seen stays as rare as it was."""
LEAST_PROBABILITY = 0.005
"""Pairs below it, and below the lower threshold, are not written."""
_SEED = 1


@dataclass(frozen=True, slots=True)
class Report:
    """
    What was done.

    Args:
        bad: wrong values taken for missing, by column.
        capped: blocks too large to compare as they were.
        training: what became of the model, in a sentence.
        decisions: how many candidate pairs got each decision.
        refused: links not made because their sets contradict each other.
        seconds: by phase, in order; empty when no clock was given.
        left_out: loose passes that would have given too many pairs.
    """

    rows: int
    entities: int
    candidate_pairs: int
    bad: tuple[BadValues, ...]
    capped: tuple[CappedBlocks, ...]
    training: str
    decisions: Mapping[str, int]
    refused: int
    seconds: Mapping[str, float]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Linkage:
    """
    Who is whom in a table.

    Args:
        entities: one row per record, in order of identifier: record_id, domain, euid.
        pairs: candidate pairs at or above the lower threshold, or `LEAST_PROBABILITY`: left_id,
            right_id, weight_bits, probability, decision, left_domain, right_domain; left before right.
        model: the model that decided, fitted or not.
    """

    entities: pa.Table
    pairs: pa.Table
    model: MatchModel
    report: Report


class _Names(NamedTuple):
    """Who each record is. Shape: (records,)."""

    ids: pa.Array
    domains: pa.Array


@dataclass(slots=True)
class _Stopwatch:
    """Seconds by phase, and the phase told to whoever watches."""

    clock: Callable[[], float] | None
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Any:
        self.progress(name, 0, 1)
        began = self.clock() if self.clock else 0.0
        yield
        if self.clock:
            self.seconds[name] = self.clock() - began
        self.progress(name, 1, 1)


def link(
    table: "pa.Table | pd.DataFrame",
    *,
    model: MatchModel | None = None,
    train: bool = True,
    at: float | None = 0.5,
    id_column: str = "record_id",
    domain_column: str = "domain",
    on_bad: str = "refuse",
    max_block: int = MAX_BLOCK,
    max_set_size: int = MAX_SET_SIZE,
    clock: Callable[[], float] | None = None,
    progress: Progress = lambda phase, done, total: None,
) -> Linkage:
    """
    Link the records of a table, within domains and across.

    Who links a file wants its best estimate: a set too few is as wrong as a set too many, and nobody
    is treated on the strength of it. A live index links what is certain and leaves the rest to
    people. So `at` says how sets are made, and the decision on each pair is the same whatever it says.

    Args:
        table: one row per record, columns named as the tabular traits.
        model: the default one by default.
        train: adapt it to these records, without labels; see `adapt`.
        at: pairs at least so probable join, the likeliest first, unless two qualified INS or a
            protected identity forbid it; a set holds no two records that a guard forbids to link
            and that are less probable than this. None makes sets as the index does: of pairs it
            links by itself, within the bound for one domain, and without contradictions.
        id_column: unique within its domain; without such a column records are numbered from 0.
        domain_column: without it all records are of one domain.
        on_bad: `refuse` wrong values, or take them for `missing`.
        max_block: records that share a key and are all compared; see `candidates`.
        clock: seconds, for the times in the report.

    Raises:
        InvalidIdentity: a wrong value, or an identifier that is missing or stated twice; the place
            is the column and the row from 0.
        ValueError: `at` is not in (0, 1].
    """
    if at is not None and not 0 < at <= 1:
        raise ValueError("at: expected a probability above 0")
    watch = _Stopwatch(clock, progress)
    with watch.phase("normalise"):
        columns = TraitColumns.of_table(table, on_bad=on_bad)
        names = _names(table, id_column, domain_column)
        order = _order(names, id_column)
        columns = columns.take(order)
        names = _Names(names.ids.take(pa.array(order)), names.domains.take(pa.array(order)))
        domains = pd.factorize(names.domains.to_numpy(zero_copy_only=False))[0]
    with watch.phase("candidates"):
        found = candidates(columns, max_block=max_block, loose=True, progress=progress)
        left, right = found.left, found.right
    with watch.phase("comparisons"):
        levels = levels_of(columns, left, right, progress=progress)
        patterns = patterns_of(levels)
    with watch.phase("training"):
        model, training = adapt(
            model or MatchModel.default(), columns, levels, train=train, pairs=found, patterns=patterns
        )
    with watch.phase("decisions"):
        scored = _score(model, columns, domains, left, right, levels, patterns, at=at)
    with watch.phase("sets"):
        label, refused = _sets(model, columns, domains, left, right, scored, max_set_size, at=at)
    with watch.phase("output"):
        entities = _entities(names, label)
        pairs = _pairs(model, names, left, right, scored)
    counts = np.bincount(scored.decisions, minlength=len(DECISIONS)).tolist()
    report = Report(
        rows=len(columns),
        entities=len(np.unique(label)),
        candidate_pairs=len(found),
        bad=columns.bad,
        capped=found.capped,
        left_out=found.left_out,
        training=training,
        decisions={decision.value: count for decision, count in zip(DECISIONS, counts, strict=True)},
        refused=refused,
        seconds=watch.seconds,
    )
    return Linkage(entities, pairs, model, report)


# --- who the records are ------------------------------------------------------------------


def _names(table: "pa.Table | pd.DataFrame", id_column: str, domain_column: str) -> _Names:
    size = len(table)
    ids, domains = _texts(table, id_column), _texts(table, domain_column)
    if ids is None:
        ids = pa.array(range(size), pa.int64()).cast(pa.string())
    elif ids.null_count:
        row = int(np.flatnonzero(ids.is_null().to_numpy(zero_copy_only=False))[0])
        raise InvalidIdentity(f"{id_column}, row {row}", "missing")
    if domains is None:
        domains = pa.array([""], pa.string()).take(pa.array(np.zeros(size, dtype=np.int64)))
    return _Names(ids, domains.fill_null(""))


def _texts(table: "pa.Table | pd.DataFrame", name: str) -> pa.Array | None:
    """A column as text, blanks as null; None when it is not there."""
    if name not in (table.column_names if isinstance(table, pa.Table) else table.columns):
        return None
    try:
        if isinstance(table, pa.Table):
            column = table.column(name)
        else:
            column = pa.chunked_array([pa.array(table[name], from_pandas=True)])
        texts = column.cast(pa.string()).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        raise InvalidIdentity(name, "expected texts or whole numbers") from None
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    texts = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _order(names: _Names, id_column: str) -> Indices:
    """Rows by identifier, then domain."""
    table = pa.table({"id": names.ids, "domain": names.domains})
    order = pc.sort_indices(table, sort_keys=[("id", "ascending"), ("domain", "ascending")])
    ids, domains = names.ids.take(order), names.domains.take(order)
    if len(order) > 1:
        again = pc.and_(pc.equal(ids[1:], ids[:-1]), pc.equal(domains[1:], domains[:-1]))
        repeated = np.flatnonzero(again.to_numpy(zero_copy_only=False))
        if len(repeated):
            row = max(order[int(at)].as_py() for at in (repeated[0], repeated[0] + 1))
            raise InvalidIdentity(f"{id_column}, row {row}", "stated twice in one domain")
    rows: Indices = order.to_numpy().astype(np.int64)
    return rows


# --- the model ----------------------------------------------------------------------------


def adapt(
    model: MatchModel,
    columns: TraitColumns,
    levels: Levels,
    *,
    train: bool,
    pairs: Candidates | None = None,
    patterns: Patterns | None = None,
) -> tuple[MatchModel, str]:
    """
    The model fitted to these records, or for as many of them, and what was done in a sentence.

    Fitted are: how often strangers agree, on random pairs; prior, m and relatives, on the candidate
    pairs; how common names are; thresholds, to the error budget where it can be kept.

    Args:
        levels: of the candidate pairs.
        pairs: which records those are of; prior, m and relatives alone are fitted without.
        patterns: those of the levels, if they are known.
    """
    size = len(columns)
    if size < 2:
        return model, "the model is used as it is"
    as_it_is = model.for_population(size)
    if not train:
        return as_it_is, f"the model is used as it is, for {size} records"
    if size < FEWEST_TO_TRAIN:
        return as_it_is, f"fewer than {FEWEST_TO_TRAIN} records: the model is used as it is"
    patterns = patterns_of(levels) if patterns is None else patterns
    try:
        u = None if pairs is None else _measured_u(as_it_is, columns)
        fitted = refit(as_it_is, levels, records=size, u=u, patterns=patterns)
    except ModelError as error:
        return as_it_is, f"the model is used as it is: {error}"
    if not fitted.fit.converged:
        return as_it_is, "the fit did not converge: the model is used as it is"
    model, said = fitted.model, ["the model was fitted to these records"]
    if pairs is None:
        return model, said[0]
    if size >= FEWEST_TO_COUNT_NAMES:
        model = replace(model, frequencies=_names_counted(columns, pairs, fitted.posterior))
        said.append("names were counted")
    try:
        model = _with_budget(model, columns, pairs, levels, patterns)
        said.append("thresholds keep the error budget")
    except ModelError:
        said.append("no threshold keeps the error budget, so the model's stay")
    return model, "; ".join(said)


_UNLIKELY = 1e-4


def _measured_u(model: MatchModel, columns: TraitColumns) -> list[Bits]:
    """
    By comparison, P(level | strangers), from pairs of these records drawn at random.

    In a small table some of those are one person: each pair counts for the probability that it is not.
    Given names follow sex and year of birth. Where the date agrees so do these, and two strangers share
    a name several times as often: it is measured on strangers of one sex and year.
    """
    random, size = np.random.default_rng(_SEED), len(columns)
    pairs = min(RANDOM_PAIRS, RANDOM_PAIRS_PER_RECORD * size)
    left = random.integers(0, size, pairs)
    right = (left + random.integers(1, size, pairs)) % size
    measured = _u_among(model, columns, left, right)
    left, right = _of_one_sex_and_year(columns, random, pairs // 4)
    measured[POSITION["given_name"]] = _u_among(model, columns, left, right)[POSITION["given_name"]]
    return measured


def _of_one_sex_and_year(
    columns: TraitColumns, random: np.random.Generator, pairs: int
) -> tuple[Indices, Indices]:
    """Pairs of records drawn at random among those of one sex and year of birth."""
    years = np.array([0 if date is None else date.year for date in columns["birth_date"].values])
    sexes = columns["sex"].values
    rank = np.argsort(np.argsort(sexes))  # codes follow the order of the rows
    group = join(
        Part(years[columns["birth_date"].codes], 10_000), Part(rank[columns["sex"].codes], len(sexes))
    )
    shuffled = random.permutation(len(columns))
    order = shuffled[np.argsort(group[shuffled], kind="stable")]
    alike = np.flatnonzero(group[order[1:]] == group[order[:-1]])
    drawn = random.permutation(alike)[:pairs]  # names in common are no rarity among these
    return order[drawn], order[drawn + 1]


def _u_among(model: MatchModel, columns: TraitColumns, left: Indices, right: Indices) -> list[Bits]:
    levels = levels_of(columns, left, right)
    weighed = weigh(model, columns, left, right, levels)
    two_people = 1 - probabilities(model, weighed.bits)
    measured = []
    for at, comparison in enumerate(COMPARISONS):
        held = np.array([model.parameters[comparison.trait][level.name].u for level in comparison.levels])
        seen = np.bincount(levels[:, at], weights=two_people, minlength=len(held) + 1)[1:]
        u = (seen + U_HELD_BY) / (seen.sum() + U_HELD_BY / held)
        measured.append(u / u.sum())
    return measured


def _names_counted(columns: TraitColumns, pairs: Candidates, posterior: Bits) -> dict[str, Frequencies]:
    """`training.names_counted`, on codes."""
    likely = np.flatnonzero(posterior > _UNLIKELY)
    two = np.column_stack((pairs.left[likely], pairs.right[likely]))
    people = expected_people(len(columns), two, posterior[likely])
    births, useds = columns["birth_name"], columns["used_name"]
    derived = Derived.of(columns)
    counts = {
        "family_name": (births.values, np.where(births.codes > 0, births.codes, useds.codes)),
        "given_name": (derived.givens, derived.first_given),
    }
    found = {}
    for trait, (values, codes) in counts.items():
        borne = np.bincount(codes, weights=people, minlength=len(values))
        borne[0] = 0.0
        there = np.flatnonzero(borne)
        if len(there):
            by_value = zip([values[at] for at in there.tolist()], borne[there].tolist(), strict=True)
            in_order = dict(sorted(by_value))  # sums depend on it, to the last bit
            found[trait] = counted(in_order, sum(in_order.values()))
    return found


def _with_budget(
    model: MatchModel, columns: TraitColumns, pairs: Candidates, levels: Levels, patterns: Patterns
) -> MatchModel:
    """Which pairs a guard caps matters where they might be linked, and is not asked elsewhere."""
    weighed = weigh(model, columns, pairs.left, pairs.right, levels, patterns)
    asked = probabilities(model, weighed.bits) >= 0.5
    guards = guards_of(columns, pairs.left, pairs.right, levels, patterns, asked=asked)
    return with_budget(model, weighed.bits, guards != 0)


# --- pairs --------------------------------------------------------------------------------


class _Scored(NamedTuple):
    """
    Args:
        contradicts: whether the pair is evidence of two people, as sets are made: it does not join,
            and it parts the sets its records are in when it does not weigh enough to join.

    Shape: (pairs,) each.
    """

    bits: Bits
    decisions: npt.NDArray[np.uint8]
    contradicts: Mask


_NEVER_JOINED = FORBIDDING - {"twins"}
"""Guards that speak of these two records; twins are told by likeness alone, which probability weighs."""


def _score(
    model: MatchModel,
    columns: TraitColumns,
    domains: npt.NDArray[Any],
    left: Indices,
    right: Indices,
    levels: Levels,
    patterns: Patterns | None = None,
    *,
    at: float | None = None,
    doubtful_too: bool = False,
) -> _Scored:
    """
    Args:
        at: as in `link`.
        doubtful_too: ask the guards about pairs too light to be linked or joined, which they
            cannot lower further: only then is `contradicts` known of these.
    """
    weighed = weigh(model, columns, left, right, levels, patterns)
    heavy = weighed.bits >= model.thresholds.lower_bits
    if at is not None:
        likely = probabilities(model, weighed.bits) >= at
        heavy |= likely
    guards = guards_of(columns, left, right, levels, weighed.patterns, asked=None if doubtful_too else heavy)
    decisions = decide(model, weighed, guards, domains[left] == domains[right])
    if at is None:
        contradicts = contradictions(model, weighed, guards)
    else:
        contradicts = np.where(likely, has_any(guards, _NEVER_JOINED), has_any(guards, FORBIDDING))
    return _Scored(weighed.bits, decisions, contradicts)


def _pairs(model: MatchModel, names: _Names, left: Indices, right: Indices, scored: _Scored) -> pa.Table:
    probability = probabilities(model, scored.bits)
    written = (scored.bits >= model.thresholds.lower_bits) | (probability >= LEAST_PROBABILITY)
    kept = np.flatnonzero(written)
    a, b = pa.array(left[kept]), pa.array(right[kept])
    decision = pa.DictionaryArray.from_arrays(
        pa.array(scored.decisions[kept].astype(np.int8)), [each.value for each in DECISIONS]
    )
    return pa.table(
        {
            "left_id": names.ids.take(a),
            "right_id": names.ids.take(b),
            "weight_bits": scored.bits[kept],
            "probability": probability[kept],
            "decision": decision,
            "left_domain": names.domains.take(a),
            "right_domain": names.domains.take(b),
        }
    )


# --- sets ---------------------------------------------------------------------------------


def _sets(
    model: MatchModel,
    columns: TraitColumns,
    domains: npt.NDArray[Any],
    left: Indices,
    right: Indices,
    scored: _Scored,
    max_set_size: int,
    *,
    at: float | None = None,
) -> tuple[Indices, int]:
    """By record, the first record of its set, and how many links were refused."""
    if at is None:
        joins = scored.decisions == DECISIONS.index(Decision.LINK)
        strict = (domains[left] == domains[right]) & (scored.bits < model.thresholds.same_domain_bits)
        known = scored.bits >= model.thresholds.lower_bits
        apart = scored.contradicts | strict
        margin = AMBIGUITY_MARGIN_BITS
    else:
        likely = probabilities(model, scored.bits) >= at
        joins = likely & ~scored.contradicts
        known = likely | (scored.bits >= model.thresholds.lower_bits)
        apart = scored.contradicts & ~likely
        margin = -np.inf  # the likelier of two sets is the better estimate
    linked = np.flatnonzero(joins)
    label = components(len(columns), left[linked], right[linked])
    pairs = _Known(left[known], right[known], scored.bits[known], apart[known])
    troubled = _troubled(model, columns, domains, pairs, label, max_set_size, at)
    inside = linked[np.isin(label[left[linked]], list(troubled))]
    by_component: dict[int, list[Link]] = defaultdict(list)
    for each in inside.tolist():
        a, b = int(left[each]), int(right[each])
        by_component[int(label[a])].append(Link(a, b, float(scored.bits[each])))
    refused = 0
    for component, links in by_component.items():
        are_apart = troubled[component]
        members = {record for link in links for record in link[:2]}
        label[list(members)] = list(members)
        sets = cluster(links, are_apart, max_set_size=max_set_size, ambiguity_margin_bits=margin)
        refused += len(sets.refused)
        for record, first in sets.label_of.items():
            label[record] = first
    return label, refused


class _Known(NamedTuple):
    """
    Candidate pairs of which it is known whether they may be in one set.

    Shape: (pairs,) each.
    """

    left: Indices
    right: Indices
    bits: Bits
    apart: Mask


AreApart = Callable[[int, int], bool]


def _troubled(
    model: MatchModel,
    columns: TraitColumns,
    domains: npt.NDArray[Any],
    pairs: _Known,
    label: Indices,
    max_set_size: int,
    at: float | None,
) -> dict[int, AreApart]:
    """
    The components that hold two records apart, or too many records, and what is apart in each.

    Every pair inside a component is looked at, candidate or not; a component too large for that
    is asked pair by pair.
    """
    size = len(columns)
    members = np.bincount(label, minlength=size)
    large = np.flatnonzero(members > max_set_size)
    rows = np.flatnonzero((members[label] > 1) & (members[label] <= max_set_size))
    within = pairs_of_blocks(Keys(rows, label[rows]), size, max_set_size)
    within.sort()
    candidate = pairs.left * size + pairs.right
    place = np.searchsorted(candidate, within)
    place[place == len(candidate)] = 0
    known = candidate[place] == within if len(candidate) else np.zeros(len(within), dtype=np.bool_)
    apart = np.empty(len(within), dtype=np.bool_)
    apart[known] = pairs.apart[place[known]]
    a, b = within[~known] // size, within[~known] % size
    more = _score(model, columns, domains, a, b, levels_of(columns, a, b), at=at, doubtful_too=True)
    if at is None:
        apart[~known] = more.contradicts | (domains[a] == domains[b])  # light, or no candidate at all
    else:
        apart[~known] = more.contradicts & (probabilities(model, more.bits) < at)
    forbidden = within[apart]
    found = _apart_in(forbidden, label[forbidden // size], size)
    if len(large):
        bits = dict(zip(candidate.tolist(), pairs.bits.tolist(), strict=True))

        def asked(a: int, b: int) -> bool:
            said = score(model, columns.row(a), columns.row(b))
            if at is not None:
                return said.probability < at and not FORBIDDING.isdisjoint(said.guards)
            strict = bits.get(a * size + b, -np.inf) < model.thresholds.same_domain_bits
            return said.contradicts or bool(strict and domains[a] == domains[b])

        found.update(dict.fromkeys(large.tolist(), asked))
    return found


def _apart_in(forbidden: Indices, components: Indices, size: int) -> dict[int, AreApart]:
    pairs = frozenset(forbidden.tolist())
    return {each: lambda a, b: a * size + b in pairs for each in np.unique(components).tolist()}


def _entities(names: _Names, label: Indices) -> pa.Table:
    """A label of a set is made from its first record, so it stays while that record does."""
    firsts, at = np.unique(label, return_inverse=True)
    ids, domains = names.ids.take(pa.array(firsts)), names.domains.take(pa.array(firsts))
    euids = [
        blake2b(f"{domain}\x1f{record_id}".encode(), digest_size=8).hexdigest()
        for domain, record_id in zip(domains.to_pylist(), ids.to_pylist(), strict=True)
    ]
    return pa.table(
        {
            "record_id": names.ids,
            "domain": names.domains,
            "euid": pa.array(euids, pa.string()).take(pa.array(at)),
        }
    )
