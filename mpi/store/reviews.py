"""Review tasks."""

from collections.abc import Collection
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, or_, select, update

from mpi.index.review import Task, TaskKey, TaskKind, TaskState, Verdict, WantedTask
from mpi.store.columns import Among
from mpi.store.session import AnyRow, Session
from mpi.store.tables import TASK

_T = TASK.c
_INSERT = insert(TASK)
_CHANGE = update(TASK).where(_T.id == bindparam("task_id")).values(version=_T.version + 1)
_ALL = select(TASK).order_by(_T.id)
_GET = _ALL.where(_T.id == bindparam("task_id"))
_TOUCHING = _ALL.where(or_(Among(_T.left_id, "ids"), Among(_T.right_id, "ids")))
_BY_FACT = _ALL.where(_T.fact_id == bindparam("fact_id"))
_COUNTS = select(_T.state, func.count()).group_by(_T.state)


@lru_cache
def _page(*, by_kind: bool) -> Select[Any]:
    statement = _ALL.where(
        _T.id > bindparam("after"), _T.state.in_(bindparam("states", expanding=True))
    ).limit(bindparam("limit"))
    return statement.where(_T.kind == bindparam("kind")) if by_kind else statement


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

    def open(self, wanted: WantedTask, *, at: datetime) -> int:
        self._session.unnamed.named("task", (wanted.key.left_id, wanted.key.right_id))
        return self._session.insert(
            _INSERT,
            {
                "kind": wanted.key.kind.value,
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
            },
        )

    def change(
        self,
        task_id: int,
        *,
        state: TaskState,
        at: datetime,
        reason: str | None = None,
        weight_bits: float | None = None,
        verdict: Verdict | None = None,
        reviewer: str = "",
        fact_id: int | None = None,
    ) -> None:
        changed: dict[str, Any] = {
            "task_id": task_id,
            "state": state.value,
            "changed_at": at,
            "verdict": verdict.value if verdict else None,
            "reviewer": reviewer,
            "fact_id": fact_id,
        }
        if reason is not None:
            changed["reason"] = reason
        if weight_bits is not None:
            changed["weight_bits"] = weight_bits
        if not self._session.change(_CHANGE, changed):
            raise LookupError("no such task")

    def by_fact(self, fact_id: int) -> list[Task]:
        return [_task(row) for row in self._session.rows(_BY_FACT, {"fact_id": fact_id})]

    def page(
        self, *, states: Collection[TaskState], kind: str | None = None, after: int = 0, limit: int = 50
    ) -> list[Task]:
        parameters: dict[str, Any] = {
            "states": sorted(state.value for state in states),
            "after": after,
            "limit": limit,
        }
        if kind is not None:
            parameters["kind"] = str(kind)
        return [_task(row) for row in self._session.rows(_page(by_kind=kind is not None), parameters)]

    def counts(self) -> dict[TaskState, int]:
        counts = dict.fromkeys(TaskState, 0)
        counts.update((TaskState(state), count) for state, count in self._session.rows(_COUNTS))
        return counts


def _task(row: AnyRow) -> Task:
    return Task(
        id=row.id,
        key=TaskKey(TaskKind(row.kind), row.left_id, row.right_id),
        state=TaskState(row.state),
        reason=row.reason,
        weight_bits=row.weight_bits,
        version=row.version,
        opened_at=row.opened_at,
        changed_at=row.changed_at,
        verdict=Verdict(row.verdict) if row.verdict else None,
        reviewer=row.reviewer,
        fact_id=row.fact_id,
    )
