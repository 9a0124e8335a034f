"""Source records, their statements, and the blocking keys by which they are found again."""

import json
import secrets
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import (
    Select,
    Text,
    bindparam,
    delete,
    exists,
    insert,
    literal,
    select,
    type_coerce,
    union,
    union_all,
    update,
)

from mpi.identity.model import (
    AssigningAuthority,
    Demographics,
    PatientIdentifier,
    RecordKey,
    SourceRecord,
    Urgency,
    Witness,
)
from mpi.identity.traits import Traits
from mpi.index.ports import Candidates, StoredRecord, StoredStatement
from mpi.store.columns import Among, AmongKeys
from mpi.store.searches import forget, keep
from mpi.store.session import AnyRow, Session
from mpi.store.tables import BLOCKING_KEY, PAST_KEY, SOURCE_RECORD, STATEMENT

_KEYS_PER_STATEMENT = 100
"""SQLite joins at most 500 queries in one, two for a key; a record has a dozen keys."""

_R, _S, _B, _P = SOURCE_RECORD.c, STATEMENT.c, BLOCKING_KEY.c, PAST_KEY.c
_ALL = select(
    _R.id,
    _R.domain,
    _R.value,
    _R.epoch,
    _R.native_euid,
    _R.fold_token,
    _R.first_event_time,
    _R.urgency,
    _R.held_since,
    _R.held_reason,
    type_coerce(_R.traits, Text),  # read as JSON only when the fold is not remembered
    type_coerce(_R.demographics, Text),
)
_OF_IDENTIFIER = _ALL.where(_R.domain == bindparam("domain"), _R.value == bindparam("value"))
_BY_KEY = _OF_IDENTIFIER.where(_R.epoch == bindparam("epoch"))
_EPOCHS = _OF_IDENTIFIER.order_by(_R.epoch)
_BY_KEYS = _ALL.where(AmongKeys(_R.domain, _R.value, _R.epoch, "keys")).order_by(_R.id)
_BY_IDS = _ALL.where(Among(_R.id, "ids")).order_by(_R.id)
_BY_NATIVE_EUID = _ALL.where(_R.native_euid == bindparam("euid"))
_ALL_IDS = select(_R.id).order_by(_R.id)
_BLANK: dict[str, Any] = {
    "first_event_time": None,
    "traits": {},
    "demographics": {},
    "urgency": int(Urgency.NONE),
    "held_since": None,
    "held_reason": "",
}
"""The fold of no statement."""
_INSERT = insert(SOURCE_RECORD)
_SAVE = update(SOURCE_RECORD).where(_R.id == bindparam("record_id"))
_INSERT_STATEMENT = insert(STATEMENT)
_ANY_STATEMENT = select(
    _S.id, _S.record_id, _S.message_id, _S.event_time, _S.recorded_at, _S.stated, _R.domain, _R.value
).join(SOURCE_RECORD, _R.id == _S.record_id)
_STATEMENTS = _ANY_STATEMENT.where(_S.record_id == bindparam("record_id")).order_by(_S.id)
_STATEMENTS_OF = _ANY_STATEMENT.where(Among(_S.record_id, "ids")).order_by(_S.record_id, _S.id)
_STATEMENT = _ANY_STATEMENT.where(_S.id == bindparam("statement_id"))
_STATED_BY = _ANY_STATEMENT.where(_S.message_id == bindparam("message_id")).order_by(_S.id)
_ERASED: dict[str, Any] = {}
"""What an erased statement says."""
_ERASE_STATEMENTS = update(STATEMENT).where(Among(_S.id, "ids")).values(stated=_ERASED)
_KEYS_OF = select(_B.key).where(_B.record_id == bindparam("record_id"))
_KEYS_OF_MANY = select(_B.record_id, _B.key).where(Among(_B.record_id, "ids")).order_by(_B.record_id, _B.key)
_DELETE_KEY = delete(BLOCKING_KEY).where(
    _B.record_id == bindparam("of_record"), _B.key == bindparam("of_key")
)
_REMEMBER_KEYS = insert(PAST_KEY).from_select(
    [_P.key, _P.record_id],
    select(_B.key, _B.record_id).where(
        _B.record_id == bindparam("of_record"),
        Among(_B.key, "keys"),
        ~exists().where(_P.key == _B.key, _P.record_id == _B.record_id),
    ),
)
_ERASE_KEYS = (
    delete(BLOCKING_KEY).where(_B.record_id == bindparam("record_id")),
    delete(PAST_KEY).where(_P.record_id == bindparam("record_id")),
)


@lru_cache
def _holders(count: int, *, past: bool = False) -> Select[Any]:
    """The records that hold each of `count` keys, or once held it, at most `enough` of either for each key."""
    blocks = [
        select(literal(place).label("place"), held.c.record_id)
        .where(held.c.key == bindparam(f"key_{place}", type_=_B.key.type))
        .limit(bindparam("enough"))
        .subquery()
        for place in range(count)
        for held in ((BLOCKING_KEY, PAST_KEY) if past else (BLOCKING_KEY,))
    ]
    joined = union if past else union_all  # a record may hold again what it once held
    holders = joined(*(select(block.c.place, block.c.record_id) for block in blocks)).subquery()
    # A subquery for each row, not a join: without statistics, PostgreSQL would join by reading the whole table.
    token = select(_R.fold_token).where(_R.id == holders.c.record_id).scalar_subquery()
    return select(holders.c.place, holders.c.record_id, token)


class Folds:
    """
    Records already read from their JSON, which costs ten times the query that fetches them.

    A fold is remembered under its token, which is drawn at random whenever one is saved: whatever
    was rolled back, or written by another process, the same token is the same fold.
    """

    def __init__(self, capacity: int = 20_000) -> None:
        self._capacity = capacity
        self._by_id: dict[int, tuple[int, StoredRecord]] = {}
        self._lock = threading.Lock()

    def get(self, record_id: int, token: int) -> StoredRecord | None:
        """The record, if that very fold of it is remembered."""
        found = self._by_id.get(record_id)
        return found[1] if found is not None and found[0] == token else None

    def forget(self, record_id: int) -> None:
        """Keep nothing of a record in memory."""
        with self._lock:
            self._by_id.pop(record_id, None)

    def put(self, token: int, record: StoredRecord) -> None:
        """Remember a record; beyond the capacity, forget those remembered longest ago."""
        with self._lock:
            self._by_id[record.id] = (token, record)
            if len(self._by_id) > self._capacity:
                for record_id in list(islice(self._by_id, self._capacity // 10)):
                    del self._by_id[record_id]


class SqlRecords:
    """`ports.Records` on a database."""

    def __init__(self, session: Session, folds: Folds) -> None:
        self._session = session
        self._folds = folds

    def get(self, record_id: int) -> StoredRecord:
        try:
            return self.by_ids((record_id,))[record_id]
        except KeyError:
            raise LookupError("no such record") from None

    def by_key(self, key: RecordKey) -> StoredRecord | None:
        row = self._session.first(_BY_KEY, key._asdict())
        return self._record(row) if row else None

    def by_keys(self, keys: Collection[RecordKey]) -> dict[RecordKey, StoredRecord]:
        if not keys:
            return {}
        found = map(self._record, self._session.rows(_BY_KEYS, {"keys": keys}))
        return {record.key: record for record in found}

    def by_ids(self, record_ids: Collection[int]) -> dict[int, StoredRecord]:
        if not record_ids:
            return {}
        return {row[0]: self._record(row) for row in self._session.rows(_BY_IDS, {"ids": record_ids})}

    def by_native_euid(self, euid: str) -> StoredRecord | None:
        row = self._session.first(_BY_NATIVE_EUID, {"euid": euid})
        return self._record(row) if row else None

    def epochs(self, domain: str, value: str) -> list[StoredRecord]:
        return [self._record(row) for row in self._session.rows(_EPOCHS, {"domain": domain, "value": value})]

    def all_ids(self) -> list[int]:
        return [row[0] for row in self._session.rows(_ALL_IDS)]

    def add(self, key: RecordKey, native_euid: str) -> int:
        record_id = self._session.insert(
            _INSERT,
            {**key._asdict(), "native_euid": native_euid, "fold_token": _fold_token(), **_BLANK},
        )
        self._session.unnamed.created(record_id)
        return record_id

    def add_folded(self, record: StoredRecord, *, blocking_keys: Sequence[int]) -> int:
        record_id = self._session.insert(
            _INSERT, {**record.key._asdict(), "native_euid": record.native_euid, **_fold(record)}
        )
        self._session.unnamed.created(record_id)
        self._keep_found(replace(record, id=record_id), blocking_keys)
        return record_id

    def add_statement(
        self, record_id: int, statement: SourceRecord, *, message_id: int, recorded_at: datetime
    ) -> int:
        return self._session.insert(
            _INSERT_STATEMENT,
            {
                "record_id": record_id,
                "message_id": message_id,
                "event_time": statement.event_time,
                "recorded_at": recorded_at,
                "stated": statement_to_json(statement),
            },
        )

    def statements(self, record_id: int) -> list[StoredStatement]:
        return _told(self._session.rows(_STATEMENTS, {"record_id": record_id}))

    def statements_of(self, record_ids: Collection[int]) -> dict[int, list[StoredStatement]]:
        if not record_ids:
            return {}
        of_record: dict[int, list[StoredStatement]] = {}
        for each in _told(self._session.rows(_STATEMENTS_OF, {"ids": record_ids})):
            of_record.setdefault(each.record_id, []).append(each)
        return of_record

    def statement(self, statement_id: int) -> StoredStatement | None:
        told = _told(self._session.rows(_STATEMENT, {"statement_id": statement_id}))
        return told[0] if told else None

    def stated_by(self, message_id: int) -> list[StoredStatement]:
        return _told(self._session.rows(_STATED_BY, {"message_id": message_id}))

    def save_current(self, record: StoredRecord, *, blocking_keys: Sequence[int]) -> None:
        if not self._session.change(_SAVE, {"record_id": record.id, **_fold(record)}):
            raise LookupError("no such record")
        self._keep_found(record, blocking_keys)

    def _keep_found(self, record: StoredRecord, blocking_keys: Sequence[int]) -> None:
        """Write what a record is found by."""
        record_id, wanted = record.id, set(blocking_keys)
        held: set[int] = set()
        is_new = not self._session.unnamed.others("key", (record_id,))
        keep(self._session, record, is_new=is_new)
        if not is_new:
            held = {row[0] for row in self._session.rows(_KEYS_OF, {"record_id": record_id})}
        self._session.unnamed.named("key", (record_id,))
        if gone := sorted(held - wanted):
            self._session.change(_REMEMBER_KEYS, {"of_record": record_id, "keys": gone})
            self._session.change(_DELETE_KEY, [{"of_record": record_id, "of_key": key} for key in gone])
        if new := sorted(wanted - held):
            self._session.insert_all(BLOCKING_KEY, [{"key": key, "record_id": record_id} for key in new])

    def blocking_keys(self, record_ids: Collection[int]) -> dict[int, frozenset[int]]:
        asked = self._session.unnamed.others("key", record_ids)
        if not asked:
            return {}
        held: dict[int, set[int]] = {}
        for record_id, key in self._session.rows(_KEYS_OF_MANY, {"ids": asked}):
            held.setdefault(record_id, set()).add(key)
        return {record_id: frozenset(keys) for record_id, keys in held.items()}

    def candidates(
        self, keys: Sequence[int], *, excluding: int | None, block_cap: int, past: bool = False
    ) -> Candidates:
        blocks, oversized = self._blocks(keys, block_cap, past=past)
        tokens = {record_id: token for block in blocks.values() for record_id, token in block}
        tokens.pop(excluding or 0, None)
        known = self._folded(tokens)
        return Candidates(tuple(known[record_id] for record_id in sorted(known)), oversized)

    def sharing(self, keys: Collection[int], *, block_cap: int) -> dict[int, list[StoredRecord]]:
        blocks, _ = self._blocks(keys, block_cap, past=False)
        known = self._folded({record_id: token for block in blocks.values() for record_id, token in block})
        return {key: [known[record_id] for record_id, _ in sorted(block)] for key, block in blocks.items()}

    def _blocks(
        self, keys: Iterable[int], block_cap: int, *, past: bool
    ) -> tuple[dict[int, list[tuple[int, int]]], int]:
        """By key, its holders with the token of their fold; and how many keys have too many to open."""
        blocks: dict[int, list[tuple[int, int]]] = {}
        distinct = list(dict.fromkeys(keys))
        for start in range(0, len(distinct), _KEYS_PER_STATEMENT):
            chunk = distinct[start : start + _KEYS_PER_STATEMENT]
            parameters = {f"key_{place}": key for place, key in enumerate(chunk)}
            holders = self._session.rows(
                _holders(len(chunk), past=past), {**parameters, "enough": block_cap + 1}
            )
            for place, record_id, token in holders:
                blocks.setdefault(chunk[place], []).append((record_id, token))
        small = {key: block for key, block in blocks.items() if len(block) <= block_cap}
        return small, len(blocks) - len(small)

    def _folded(self, tokens: Mapping[int, int]) -> dict[int, StoredRecord]:
        """The records of these tokens, from memory where they are remembered."""
        known = {record_id: self._folds.get(record_id, token) for record_id, token in tokens.items()}
        read = self.by_ids([record_id for record_id, record in known.items() if record is None])
        return {record_id: record or read[record_id] for record_id, record in known.items()}

    def erase(self, record_id: int) -> None:
        blank = {"record_id": record_id, "fold_token": _fold_token(), **_BLANK}
        if not self._session.change(_SAVE, blank):
            raise LookupError("no such record")
        for erase_keys in _ERASE_KEYS:
            self._session.change(erase_keys, {"record_id": record_id})
        forget(self._session, record_id)
        self._folds.forget(record_id)

    def erase_statements(self, statement_ids: Collection[int]) -> None:
        self._session.change(_ERASE_STATEMENTS, {"ids": statement_ids})

    def _record(self, row: AnyRow) -> StoredRecord:
        record_id, domain, value, epoch, native_euid, token, first, urgency, held, why, traits, stated = row
        record = self._folds.get(record_id, token)
        if record is None:
            record = StoredRecord(
                id=record_id,
                key=RecordKey(domain, value, epoch),
                native_euid=native_euid,
                first_event_time=first,
                demographics=Demographics.from_json(json.loads(stated)),
                traits=Traits.from_json(json.loads(traits)),
                urgency=Urgency(urgency),
                held_since=held,
                held_reason=why,
            )
            self._folds.put(token, record)
        return record


def _fold_token() -> int:
    return secrets.randbits(63)


def _fold(record: StoredRecord) -> dict[str, Any]:
    """What the statements of a record make of it, under a token of its own."""
    return {
        "fold_token": _fold_token(),
        "first_event_time": record.first_event_time,
        "demographics": record.demographics.to_json(),
        "traits": record.traits.to_json(),
        "urgency": int(record.urgency),
        "held_since": record.held_since,
        "held_reason": record.held_reason,
    }


def _told(rows: Iterable[AnyRow]) -> list[StoredStatement]:
    """The statements that still say something."""
    return [
        StoredStatement(
            id=row.id,
            record_id=row.record_id,
            statement=statement_from_json(row.stated, RecordKey(row.domain, row.value), row.event_time),
            message_id=row.message_id,
            recorded_at=row.recorded_at,
        )
        for row in rows
        if row.stated != _ERASED
    ]


def statement_to_json(statement: SourceRecord) -> dict[str, Any]:
    """A statement without what its row says beside it: the record's key and the event time."""
    identifier = _identifier_to_json(statement.identifier)
    del identifier["value"]
    document: dict[str, Any] = {
        "identifier": identifier,
        "source": statement.source,
        "witness": statement.witness.value,
        "demographics": statement.demographics.to_json(),
    }
    if statement.others:
        document["others"] = [_identifier_to_json(other) for other in statement.others]
    if statement.urgency is not Urgency.NONE:
        document["urgency"] = int(statement.urgency)
    if statement.replaces_ins:
        document["replaces_ins"] = list(statement.replaces_ins)
    if statement.warnings:
        document["warnings"] = list(statement.warnings)
    return document


def statement_from_json(stored: Mapping[str, Any], key: RecordKey, event_time: datetime) -> SourceRecord:
    """Read back what `statement_to_json` wrote."""
    return SourceRecord(
        identifier=_identifier_from_json({**stored["identifier"], "value": key.value}),
        domain=key.domain,
        demographics=Demographics.from_json(stored["demographics"]),
        event_time=event_time,
        source=stored["source"],
        others=tuple(map(_identifier_from_json, stored.get("others", ()))),
        witness=Witness(stored["witness"]),
        urgency=Urgency(stored.get("urgency", Urgency.NONE)),
        replaces_ins=tuple(stored.get("replaces_ins", ())),
        warnings=tuple(stored.get("warnings", ())),
    )


def _identifier_to_json(identifier: PatientIdentifier) -> dict[str, Any]:
    authority = identifier.authority
    document = {
        "value": identifier.value,
        "namespace": authority.namespace,
        "universal_id": authority.universal_id,
        "universal_id_type": authority.universal_id_type,
        "type_code": identifier.type_code,
    }
    return {name: text for name, text in document.items() if text or name == "value"}


def _identifier_from_json(stored: Mapping[str, str]) -> PatientIdentifier:
    return PatientIdentifier(
        value=stored["value"],
        authority=AssigningAuthority(
            stored.get("namespace", ""), stored.get("universal_id", ""), stored.get("universal_id_type", "")
        ),
        type_code=stored.get("type_code", ""),
    )
