"""What writes over HTTP were answered, by idempotency key."""

from datetime import datetime

from sqlalchemy import bindparam, delete, insert, select, update

from mpi.index.ports import KeptAnswer
from mpi.store.session import Session
from mpi.store.tables import KEPT_ANSWER

_K = KEPT_ANSWER.c
_OF_KEY = (_K.caller == bindparam("of_caller"), _K.key == bindparam("of_key"))
_FIND = select(_K.fingerprint, _K.status, _K.media_type, _K.body).where(*_OF_KEY)
_CLAIM = insert(KEPT_ANSWER)
_KEEP = update(KEPT_ANSWER).where(*_OF_KEY)
_FORGET = delete(KEPT_ANSWER).where(_K.claimed_at < bindparam("before", type_=_K.claimed_at.type))
_BLANK = update(KEPT_ANSWER).values(status=0, media_type="", body=b"")


class SqlKeptAnswers:
    """`ports.KeptAnswers` on a database. There is one writer at a time, so what was not found is free."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, caller: str, key: str) -> KeptAnswer | None:
        row = self._session.first(_FIND, {"of_caller": caller, "of_key": key})
        return KeptAnswer(row.fingerprint, row.status, row.media_type, bytes(row.body)) if row else None

    def claim(self, caller: str, key: str, fingerprint: str, *, at: datetime) -> bool:
        if self.find(caller, key) is not None:
            return False
        nothing_yet = {"status": 0, "media_type": "", "body": b""}
        claimed = {"caller": caller, "key": key, "fingerprint": fingerprint, "claimed_at": at}
        self._session.change(_CLAIM, {**claimed, **nothing_yet})
        return True

    def keep(self, caller: str, key: str, *, status: int, media_type: str, body: bytes) -> None:
        answer = {"status": status, "media_type": media_type, "body": body}
        self._session.change(_KEEP, {"of_caller": caller, "of_key": key, **answer})

    def forget(self, *, before: datetime) -> None:
        self._session.change(_FORGET, {"before": before})

    def blank(self) -> None:
        self._session.change(_BLANK, {})
