"""What feeds leave beside identities: studies, how far each harvest has come, and sequence numbers."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import bindparam, delete, insert, literal, select, update

from mpi.identity.model import RecordKey
from mpi.index.events import Study
from mpi.index.ports import HarvestCondition, HarvestCursor
from mpi.store.columns import Among, AmongKeys
from mpi.store.session import AnyRow, Session
from mpi.store.tables import HARVEST_PROGRESS, SOURCE_SEQUENCE, STUDY

_S = STUDY.c
_STUDIES = select(STUDY)
_OF_KEYS = _STUDIES.where(AmongKeys(_S.domain, _S.value, literal(0), "keys"))
_OF_UID = _STUDIES.where(_S.uid == bindparam("study_uid"))
_ONE = (
    _S.uid == bindparam("study_uid"),
    _S.source == bindparam("study_source"),
    _S.domain == bindparam("study_domain"),
    _S.value == bindparam("study_value"),
)
_KNOWN = select(STUDY).where(*_ONE)
_ADD = insert(STUDY)
_REPLACE = update(STUDY).where(*_ONE)
_FORGET = delete(STUDY).where(*_ONE)
_ERASE = delete(STUDY).where(Among(_S.message_id, "message_ids"))

_P = HARVEST_PROGRESS.c
_CURSOR = select(_P.through, _P.skip).where(_P.source == bindparam("of_source"))
_CONDITION = select(_P.problem, _P.running_since, _P.failing_since, _P.succeeded_at, _P.next_at).where(
    _P.source == bindparam("of_source")
)
_BEGIN = insert(HARVEST_PROGRESS)
_ADVANCE = update(HARVEST_PROGRESS).where(_P.source == bindparam("of_source"))

_Q = SOURCE_SEQUENCE.c
_EXPECTED = select(_Q.expected).where(_Q.source == bindparam("of_source"))
_FIRST = insert(SOURCE_SEQUENCE)
_NEXT = update(SOURCE_SEQUENCE).where(_Q.source == bindparam("of_source"))

# Writers take turns: an update that meets no row is followed by an insert that meets none either.


class SqlStudies:
    """`ports.Studies` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def keep(self, study: Study) -> None:
        key = {
            "study_uid": study.uid,
            "study_source": study.source,
            "study_domain": study.record.domain,
            "study_value": study.record.value,
        }
        row = self._session.first(_KNOWN, key)
        if row is not None:
            study = _study(row).with_more(study)
        values = {
            "message_id": study.message_id,
            "accession": study.accession,
            "modalities": list(study.modalities),
            "date": study.date,
            "institution": study.institution,
            "is_manifest": study.is_manifest,
        }
        if row is not None:
            self._session.change(_REPLACE, {**key, **values})
        else:
            self._session.change(
                _ADD, {**{name.removeprefix("study_"): value for name, value in key.items()}, **values}
            )

    def forget(self, uid: str, source: str, record: RecordKey) -> None:
        key = {"study_uid": uid, "study_source": source}
        self._session.change(_FORGET, {**key, "study_domain": record.domain, "study_value": record.value})

    def of(self, keys: Collection[RecordKey]) -> list[Study]:
        wanted = [key._replace(epoch=0) for key in keys]
        return _in_order(self._session.rows(_OF_KEYS, {"keys": wanted}))

    def of_uid(self, uid: str) -> list[Study]:
        return _in_order(self._session.rows(_OF_UID, {"study_uid": uid}))

    def erase(self, message_ids: Collection[int]) -> None:
        self._session.change(_ERASE, {"message_ids": message_ids})


def _in_order(rows: Collection[AnyRow]) -> list[Study]:
    """By key, as Python orders texts: databases have their own collations."""
    return sorted(map(_study, rows), key=lambda study: study.key)


def _study(row: AnyRow) -> Study:
    return Study(
        uid=row.uid,
        record=RecordKey(row.domain, row.value),
        source=row.source,
        accession=row.accession,
        modalities=tuple(row.modalities),
        date=row.date,
        institution=row.institution,
        is_manifest=row.is_manifest,
        message_id=row.message_id,
    )


class SqlHarvests:
    """`ports.Harvests` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, source: str) -> HarvestCursor | None:
        row = self._session.first(_CURSOR, {"of_source": source})
        return HarvestCursor(*row) if row else None

    def put(self, source: str, cursor: HarvestCursor, *, at: datetime) -> None:
        values = {"through": cursor.through, "skip": cursor.skip, "updated_at": at}
        if not self._session.change(_ADVANCE, {"of_source": source, **values}):
            self._session.change(_BEGIN, {"source": source, **values})

    def condition(self, source: str) -> HarvestCondition | None:
        row = self._session.first(_CONDITION, {"of_source": source})
        return HarvestCondition(*row) if row else None

    def note(self, source: str, condition: HarvestCondition, *, at: datetime) -> None:
        values = {
            "problem": condition.problem,
            "running_since": condition.running_since,
            "failing_since": condition.failing_since,
            "succeeded_at": condition.succeeded_at,
            "next_at": condition.next_at,
            "updated_at": at,
        }
        if not self._session.change(_ADVANCE, {"of_source": source, **values}):
            self._session.change(_BEGIN, {"source": source, "through": None, "skip": 0, **values})


class SqlSequences:
    """`ports.Sequences` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def expected(self, source: str) -> int | None:
        row = self._session.first(_EXPECTED, {"of_source": source})
        return row.expected if row else None

    def expect(self, source: str, number: int | None) -> None:
        if not self._session.change(_NEXT, {"of_source": source, "expected": number}):
            self._session.change(_FIRST, {"source": source, "expected": number})
