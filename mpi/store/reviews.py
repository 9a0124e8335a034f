"""Review tasks, every version they had, and the sights that have a queue of their own."""

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, or_, select, union_all, update

from mpi.index.review import (
    WHOLE,
    Sight,
    Task,
    TaskKey,
    TaskKind,
    TaskState,
    Topic,
    Verdict,
    WantedTask,
)
from mpi.store.columns import Among
from mpi.store.session import AnyRow, Session
from mpi.store.tables import SIGHT, TASK, TASK_VERSION

_T, _V, _S = TASK.c, TASK_VERSION.c, SIGHT.c
_INSERT = insert(TASK)
_CHANGE = update(TASK).where(_T.id == bindparam("task_id")).values(version=_T.version + 1).returning(TASK)
_CLAIM = update(TASK).where(_T.id == bindparam("task_id"))
_ALL = select(TASK).order_by(_T.id)
_GET = _ALL.where(_T.id == bindparam("task_id"))
_TOUCHING = _ALL.where(or_(Among(_T.left_id, "ids"), Among(_T.right_id, "ids")))
_BY_FACT = _ALL.where(_T.fact_id == bindparam("fact_id"))
_COUNTS = select(_T.state, func.count()).where(_T.sight == WHOLE).group_by(_T.state)
_OF_SIGHT = _T.sight == bindparam("of_sight")

_KEEP_VERSION = insert(TASK_VERSION).from_select(
    list(_V),
    select(*(_T.id if column.name == "task_id" else _T[column.name] for column in _V)).where(
        _T.id == bindparam("of_task")
    ),
)
_VERSIONS = select(
    _T.id,
    _T.topic,
    _T.left_id,
    _T.right_id,
    _T.opened_at,
    _T.sight,
    *(column for column in _V if column.name != "task_id"),
).join(TASK, _T.id == _V.task_id)
_HISTORY = _VERSIONS.where(Among(_V.task_id, "ids")).order_by(_V.task_id, _V.version)

_KEPT = select(SIGHT).where(_S.is_kept.is_(True)).order_by(_S.id)
_SIGHT_OF = select(SIGHT).where(_S.domains == bindparam("of_domains", type_=_S.domains.type))
_ADD_SIGHT = insert(SIGHT)
_CHANGE_SIGHT = update(SIGHT).where(_S.id == bindparam("sight_id"))


@lru_cache
def _page(*, by_kind: bool, by_sight: bool) -> Select[Any]:
    statement = _ALL.where(
        _T.id > bindparam("after"), _T.state.in_(bindparam("states", expanding=True))
    ).limit(bindparam("limit"))
    if by_sight:
        statement = statement.where(_OF_SIGHT)
    return statement.where(_T.kind == bindparam("kind")) if by_kind else statement


@lru_cache
def _page_then(*, by_kind: bool, by_sight: bool) -> Select[Any]:
    """The last version each task had at an instant."""
    of_task = TASK_VERSION.alias("of_task")
    last = (
        select(func.max(of_task.c.version))
        .where(of_task.c.task_id == _T.id, of_task.c.changed_at <= bindparam("as_of"))
        .scalar_subquery()
    )
    statement = (
        _VERSIONS.where(
            _T.id > bindparam("after"),
            _V.version == last,
            _V.state.in_(bindparam("states", expanding=True)),
        )
        .order_by(_T.id)
        .limit(bindparam("limit"))
    )
    if by_sight:
        statement = statement.where(_OF_SIGHT)
    return statement.where(_V.kind == bindparam("kind")) if by_kind else statement


@lru_cache
def _urgent(states: int, *, by_kind: bool, following: bool) -> Select[Any]:
    """The head of each state's queue, each read in the order of its index, then the head of them all."""
    queues = []
    for place in range(states):
        queue = select(TASK).where(_OF_SIGHT, _T.state == bindparam(f"state_{place}"))
        if by_kind:
            queue = queue.where(_T.kind == bindparam("kind"))
        if following:
            queue = queue.where(
                _T.priority <= bindparam("priority"),
                or_(_T.priority < bindparam("priority"), _T.id > bindparam("after")),
            )
        queue = queue.order_by(_T.priority.desc(), _T.id).limit(bindparam("limit"))
        queues.append(select(queue.subquery()))
    heads = union_all(*queues).subquery()
    return select(heads).order_by(heads.c.priority.desc(), heads.c.id).limit(bindparam("limit"))


class SqlReviews:
    """`ports.Reviews` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, task_id: int) -> Task | None:
        row = self._session.first(_GET, {"task_id": task_id})
        return _task(row) if row else None

    def touching(self, record_ids: Collection[int]) -> list[Task]:
        asked = self._session.unnamed.others("task", record_ids)
        if not asked:
            return []
        return [_task(row) for row in self._session.rows(_TOUCHING, {"ids": asked})]

    def open(self, wanted: WantedTask, *, at: datetime, sight: int = WHOLE) -> int:
        self._session.unnamed.named("task", (wanted.key.left_id, wanted.key.right_id))
        task_id = self._session.insert(
            _INSERT,
            {
                "topic": wanted.key.topic.value,
                "kind": wanted.kind.value,
                "left_id": wanted.key.left_id,
                "right_id": wanted.key.right_id,
                "state": TaskState.OPEN.value,
                "reason": wanted.reason,
                "weight_bits": wanted.weight_bits,
                "version": 1,
                "opened_at": at,
                "changed_at": at,
                "verdict": None,
                "reviewer": "",
                "fact_id": None,
                "fingerprint": dict(wanted.fingerprint),
                "priority": wanted.priority,
                "claimed_by": "",
                "claimed_at": None,
                "sight": sight,
            },
        )
        self._session.change(_KEEP_VERSION, {"of_task": task_id})
        return task_id

    def change(self, task: Task, *, at: datetime) -> Task:
        row = self._session.first(
            _CHANGE,
            {
                "task_id": task.id,
                "kind": task.kind.value,
                "state": task.state.value,
                "reason": task.reason,
                "weight_bits": task.weight_bits,
                "changed_at": at,
                "verdict": task.verdict.value if task.verdict else None,
                "reviewer": task.reviewer,
                "fact_id": task.fact_id,
                "fingerprint": dict(task.fingerprint),
                "priority": task.priority,
            },
        )
        if row is None:
            raise LookupError("no such task")
        self._session.change(_KEEP_VERSION, {"of_task": task.id})
        return _task(row)

    def claim(self, task_id: int, *, by: str, at: datetime | None) -> None:
        if not self._session.change(_CLAIM, {"task_id": task_id, "claimed_by": by, "claimed_at": at}):
            raise LookupError("no such task")

    def by_fact(self, fact_id: int) -> list[Task]:
        return [_task(row) for row in self._session.rows(_BY_FACT, {"fact_id": fact_id})]

    def page(
        self,
        *,
        states: Collection[TaskState],
        kind: str | None = None,
        after: int = 0,
        limit: int = 50,
        as_of: datetime | None = None,
        sight: int | None = WHOLE,
    ) -> list[Task]:
        parameters: dict[str, Any] = {"states": _values(states), "after": after, "limit": limit}
        which = {"by_kind": kind is not None, "by_sight": sight is not None}
        if kind is not None:
            parameters["kind"] = str(kind)
        if sight is not None:
            parameters["of_sight"] = sight
        if as_of is None:
            return [_task(row) for row in self._session.rows(_page(**which), parameters)]
        parameters["as_of"] = as_of
        return _versions(self._session.rows(_page_then(**which), parameters))

    def urgent(
        self,
        *,
        states: Collection[TaskState],
        kind: str | None = None,
        after: Task | None = None,
        limit: int = 50,
        sight: int = WHOLE,
    ) -> list[Task]:
        if not states:
            return []
        parameters: dict[str, Any] = {"limit": limit, "of_sight": sight}
        parameters.update((f"state_{place}", state) for place, state in enumerate(_values(states)))
        if kind is not None:
            parameters["kind"] = str(kind)
        if after is not None:
            parameters.update(priority=after.priority, after=after.id)
        statement = _urgent(len(set(states)), by_kind=kind is not None, following=after is not None)
        return [_task(row) for row in self._session.rows(statement, parameters)]

    def history(self, task_ids: Collection[int]) -> list[Task]:
        if not task_ids:
            return []
        return _versions(self._session.rows(_HISTORY, {"ids": task_ids}))

    def counts(self) -> dict[TaskState, int]:
        counts = dict.fromkeys(TaskState, 0)
        counts.update((TaskState(state), count) for state, count in self._session.rows(_COUNTS))
        return counts


class SqlSights:
    """`ports.Sights` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def kept(self) -> list[Sight]:
        return [_sight(row) for row in self._session.rows(_KEPT)]

    def of(self, domains: Collection[str]) -> Sight | None:
        row = self._session.first(_SIGHT_OF, {"of_domains": sorted(domains)})
        return _sight(row) if row is not None and row.is_kept else None

    def keep(self, domains: Collection[str]) -> Sight:
        row = self._session.first(_SIGHT_OF, {"of_domains": sorted(domains)})
        fresh = {"is_kept": True, "position": 0}
        if row is not None:
            self._session.change(_CHANGE_SIGHT, {"sight_id": row.id, **fresh})
            return Sight(row.id, frozenset(domains))
        number = self._session.insert(_ADD_SIGHT, {"domains": sorted(domains), **fresh})
        return Sight(number, frozenset(domains))

    def advance(self, sight_id: int, position: int | None) -> None:
        self._change(sight_id, position=position)

    def drop(self, sight_id: int) -> None:
        self._change(sight_id, is_kept=False)

    def _change(self, sight_id: int, **changed: Any) -> None:
        if not self._session.change(_CHANGE_SIGHT, {"sight_id": sight_id, **changed}):
            raise LookupError("no such sight")


def _sight(row: AnyRow) -> Sight:
    return Sight(row.id, frozenset(row.domains), row.position)


def _values(states: Collection[TaskState]) -> list[str]:
    return sorted({state.value for state in states})


def _versions(rows: Iterable[AnyRow]) -> list[Task]:
    """Tasks as they were; who had claimed them then is not kept."""
    return [_task(row, claimed=False) for row in rows]


def _task(row: AnyRow, *, claimed: bool = True) -> Task:
    return Task(
        id=row.id,
        key=TaskKey(Topic(row.topic), row.left_id, row.right_id),
        kind=TaskKind(row.kind),
        state=TaskState(row.state),
        reason=row.reason,
        weight_bits=row.weight_bits,
        version=row.version,
        opened_at=row.opened_at,
        changed_at=row.changed_at,
        verdict=Verdict(row.verdict) if row.verdict else None,
        reviewer=row.reviewer,
        fact_id=row.fact_id,
        fingerprint=row.fingerprint,
        priority=row.priority,
        claimed_by=row.claimed_by if claimed else "",
        claimed_at=row.claimed_at if claimed else None,
        sight=row.sight,
    )
