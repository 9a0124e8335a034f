"""
What a harvester asks of an archive, however it is asked: QIDO-RS or C-FIND.

An archive answers studies. Each answer is a header, or what was wrong with it; a problem of the
site as a whole is `SiteProblem`, and the site is asked again later.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from pydicom.datadict import dictionary_keyword
from unidecode import unidecode

from mpi.errors import FeedError, MpiError
from mpi.feeds.dicom.header import (
    ACCESSION_NUMBER,
    INSTITUTION_NAME,
    ISSUER_OF_PATIENT_ID,
    ISSUER_QUALIFIERS_SEQUENCE,
    MODALITIES_IN_STUDY,
    OTHER_PATIENT_IDS_SEQUENCE,
    PATIENT_BIRTH_DATE,
    PATIENT_BIRTH_NAME,
    PATIENT_ID,
    PATIENT_IDENTITY_REMOVED,
    PATIENT_MOTHER_BIRTH_NAME,
    PATIENT_NAME,
    PATIENT_SEX,
    QUALITY_CONTROL_SUBJECT,
    STUDY_DATE,
    STUDY_INSTANCE_UID,
    STUDY_TIME,
    TIMEZONE_OFFSET_FROM_UTC,
    TYPE_OF_PATIENT_ID,
    Header,
    HeaderText,
)
from mpi.feeds.dicom.names import parse_person_name
from mpi.identity.traits import normal_text

WANTED_TAGS = (
    STUDY_DATE, STUDY_TIME, ACCESSION_NUMBER, MODALITIES_IN_STUDY, INSTITUTION_NAME, TIMEZONE_OFFSET_FROM_UTC,
    PATIENT_NAME, PATIENT_ID, ISSUER_OF_PATIENT_ID, TYPE_OF_PATIENT_ID, ISSUER_QUALIFIERS_SEQUENCE,
    PATIENT_BIRTH_DATE, PATIENT_SEX, QUALITY_CONTROL_SUBJECT, OTHER_PATIENT_IDS_SEQUENCE, PATIENT_BIRTH_NAME,
    PATIENT_MOTHER_BIRTH_NAME, PATIENT_IDENTITY_REMOVED, STUDY_INSTANCE_UID,
)  # fmt: skip
"""Asked of every study. A site may ignore what is not of its default list, and the source says the rest."""

PAGE_SIZE = 200
MAX_ANSWERS = 100_000
"""A question that is answered by more studies than this is not of one day."""

Pause = Callable[[], None]
"""Called before each request, so that a site is never asked faster than it agreed to."""


class SiteProblem(MpiError):
    """
    A site cannot be asked, or answers nonsense: try again later.

    Args:
        retry_after_seconds: when the site said so itself.
    """

    def __init__(self, problem: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(problem)
        self.retry_after_seconds = retry_after_seconds


class CutOff(SiteProblem):
    """A site answers only the first so many studies, and never the rest: ask a narrower question."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    One study of an archive.

    Args:
        header: None when it cannot be read; then `error` says why and `raw` is what came.
    """

    header: Header | None
    error: FeedError | None = None
    raw: bytes = b""

    def text(self, tag: int) -> str:
        """The first value of an element, or empty."""
        return HeaderText(self.header).first(tag) if self.header is not None else ""


class Archive(Protocol):
    """A site's studies."""

    matches_any_text: bool
    """Whether a matching key may hold accents and spaces."""

    def studies(
        self, keys: Mapping[int, str], *, skip: int = 0, pause: Pause = lambda: None
    ) -> Iterator[tuple[Answer, ...]]:
        """
        The studies that match, page by page; each study once, however often the site repeats it.

        Args:
            keys: tag -> value, with the wildcards and ranges of the standard.
            skip: answers of an earlier, interrupted call that need not come again; a hint.

        Raises:
            CutOff: there are more, which it does not give; those it gave came first.
            SiteProblem: the site cannot be asked, or its answer is no answer.
        """


def day_key(day: date, hour: int | None = None) -> Mapping[int, str]:
    """The studies of one day, or of an hour of it, as a range: some sites match ranges only."""
    keys = {STUDY_DATE: f"{day:%Y%m%d}-{day:%Y%m%d}"}
    return keys if hour is None else keys | {STUDY_TIME: f"{hour:02}0000-{hour:02}5959"}


def keyword(tag: int) -> str:
    """The keyword of a tag of the standard."""
    return dictionary_keyword(tag)


@dataclass(frozen=True, slots=True)
class Person:
    """Who is looked for in an archive that may know nothing of accents."""

    family: str
    given: str = ""
    birth_date: date | None = None


def name_forms(name: str) -> tuple[str, ...]:
    """
    The ways one name is written in archives: as it is, without accents and ligatures, joined and hyphenated.

    An archive that compares bytes finds `NOËL` under one of them; most find all.
    """
    forms = dict.fromkeys(form for form in (name, name.upper()) if form)
    for form in list(forms):
        forms.setdefault(unidecode(form).upper())
    for form in list(forms):
        for separator in (" ", "-", "'"):
            if separator in form:
                forms.update(dict.fromkeys(form.replace(separator, other) for other in (" ", "-", "")))
    return tuple(forms)


def studies_of(archive: Archive, person: Person, *, pause: Pause = lambda: None) -> tuple[Answer, ...]:
    """
    The studies an archive keeps under any form of a person's name, or under the birth date.

    The archive's answers are compared again here, without accents: what it matched too much is left out.

    Raises:
        SiteProblem: the site cannot be asked.
    """
    found: dict[str, Answer] = {}
    for keys in _questions(archive, person):
        for page in archive.studies(keys, pause=pause):
            for answer in page:
                if _is_of(answer, person):
                    found.setdefault(answer.text(STUDY_INSTANCE_UID), answer)
    return tuple(found.values())


def _questions(archive: Archive, person: Person) -> Iterator[Mapping[int, str]]:
    """One by birth date when it is known, which no site spells otherwise; else one for each form of the name."""
    if person.birth_date is not None:
        yield {PATIENT_BIRTH_DATE: f"{person.birth_date:%Y%m%d}"}
        return
    for form in name_forms(person.family):
        if archive.matches_any_text or (form.isascii() and " " not in form):
            yield {PATIENT_NAME: f"{form}*"}


def _is_of(answer: Answer, person: Person) -> bool:
    parsed = parse_person_name(answer.text(PATIENT_NAME))
    if parsed is None:
        return False
    names = [parsed.name, *([parsed.birth] if parsed.birth else [])]
    wanted = normal_text(person.family).replace(" ", ""), normal_text(person.given).split(" ")[0]
    return any(
        normal_text(name.family).replace(" ", "") == wanted[0]
        and normal_text(name.given).startswith(wanted[1])
        for name in names
    )
