"""
Ask an archive for studies by QIDO-RS.

Sites ignore what they do not know: `limit`, `offset`, `includefield` and even keys. So a page is never
believed: studies that came before are dropped, and a page that brings nothing new is the last one.
Wildcards stay literal in the URL, because sites exist that do not decode it.

Source: DICOM PS3.18 10.6 (search transaction); PS3.18 annex F (DICOM JSON model).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx2

from mpi.errors import FeedError
from mpi.feeds.dicom.archive import (
    MAX_ANSWERS,
    PAGE_SIZE,
    WANTED_TAGS,
    Answer,
    CutOff,
    Pause,
    SiteProblem,
    keyword,
)
from mpi.feeds.dicom.header import STUDY_INSTANCE_UID, canonical_bytes, header_from_json

MAX_PAGE_BYTES = 32 * 1024 * 1024
MAX_PAGE_SIZE = 10_000
MAX_RETRY_AFTER_SECONDS = 3600.0

_LITERAL = "*?-._~,:"
_FEWER_PLEASE = 413
_ACCEPT = {"Accept": "application/dicom+json", "Accept-Encoding": "identity"}


class QidoArchive:
    """
    An archive behind a DICOMweb address.

    Args:
        base: the address `/studies` is under.
        client: with the site's certificates, credentials and timeouts; never follows redirects by itself.
    """

    matches_any_text = False

    def __init__(self, base: str, client: httpx2.Client, *, page_size: int = PAGE_SIZE) -> None:
        self._base = base.rstrip("/")
        self._client = client
        self._page_size = page_size
        self._asks_fields = True

    def studies(
        self, keys: Mapping[int, str], *, skip: int = 0, pause: Pause = lambda: None
    ) -> Iterator[tuple[Answer, ...]]:
        """The studies that match; see `Archive.studies`."""
        seen: set[str] = set()
        offset = skip
        while items := self._page(keys, offset, pause):
            fresh = {name: item for item in items if (name := _name(item)) not in seen}
            if not fresh:
                if not self._grows(len(items)):
                    return
                offset = 0  # offsets are ignored: all at once, then
                continue
            seen.update(fresh)
            yield tuple(_answer(item) for item in fresh.values())
            offset += len(items)
            if len(seen) > MAX_ANSWERS:
                raise SiteProblem("more studies than one question can have")

    def _grows(self, repeated: int) -> bool:
        """
        A page came twice. Whether there may be more, and a larger page may show it.

        Raises:
            CutOff: no larger page would.
        """
        if repeated != self._page_size:  # not full, or limits are ignored as well: everything was in it
            return False
        if self._page_size >= MAX_PAGE_SIZE:
            raise CutOff("more studies than a page, and offsets are ignored")
        self._page_size = min(MAX_PAGE_SIZE, self._page_size * 8)
        return True

    def _page(self, keys: Mapping[int, str], offset: int, pause: Pause) -> list[Any]:
        """One page, asked again in the words the site takes: fewer at once, or no fields of our choice."""
        while True:
            pause()
            status, body = self._get(self._address(keys, offset))
            if status == _FEWER_PLEASE and self._page_size > 1:
                self._page_size = max(1, self._page_size // 2)
            elif status == 400 and self._asks_fields:
                self._asks_fields = False
            elif status == 204:
                return []
            elif status == 200:
                return _items(body)
            else:
                raise SiteProblem(f"HTTP status {status}")

    def _address(self, keys: Mapping[int, str], offset: int) -> str:
        pairs = [(keyword(tag), value) for tag, value in keys.items()]
        if self._asks_fields:
            pairs += [("includefield", f"{tag:08X}") for tag in WANTED_TAGS]
        pairs += [("limit", str(self._page_size)), ("offset", str(offset))]
        query = "&".join(f"{name}={quote(value, safe=_LITERAL)}" for name, value in pairs)
        return f"{self._base}/studies?{query}"

    def _get(self, address: str) -> tuple[int, bytes]:
        try:
            with self._client.stream("GET", address, headers=_ACCEPT, follow_redirects=False) as response:
                if response.status_code in (429, 503):
                    raise SiteProblem("asked to wait", _retry_after(response.headers.get("Retry-After", "")))
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise SiteProblem("a compressed answer, which was not asked for")
                body = bytearray()
                for part in response.iter_raw():
                    body += part
                    if len(body) > MAX_PAGE_BYTES:
                        raise SiteProblem("a page too large to read")
                return response.status_code, bytes(body)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
            raise SiteProblem("cannot be reached") from None


def _items(body: bytes) -> list[Any]:
    if not body.strip():
        return []
    try:
        items = json.loads(body)
    except (ValueError, RecursionError):
        raise SiteProblem("the answer is not JSON") from None
    if not isinstance(items, list):
        raise SiteProblem("the answer is not a list of studies")
    return items


def _name(item: object) -> str:
    """What tells one study from another: its UID, or all of it."""
    try:
        return str(item[f"{STUDY_INSTANCE_UID:08X}"]["Value"][0])  # type: ignore[index]
    except (LookupError, TypeError):
        return json.dumps(item, sort_keys=True)


def _answer(item: object) -> Answer:
    try:
        return Answer(header_from_json(item))
    except FeedError as error:
        return Answer(None, error, canonical_bytes({"answer": item}))
    except RecursionError:
        raise SiteProblem("an answer nested too deeply") from None


def _retry_after(stated: str) -> float:
    return min(float(stated), MAX_RETRY_AFTER_SECONDS) if stated.isascii() and stated.isdigit() else 0.0
