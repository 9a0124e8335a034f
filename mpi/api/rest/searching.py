"""Look somebody up: birth date first, then some letters of a name."""

from typing import Any

from fastapi import APIRouter

from mpi.api.dependencies import Language, LanguageQuery, MaySearch, Session
from mpi.api.instants import AsOf
from mpi.api.rest import views
from mpi.api.rest.bodies import FoundOut, HoldsOut, SearchIn, SearchOut
from mpi.errors import InvalidIdentity
from mpi.feeds.national import accepted_ins_oids
from mpi.identity.ins import InvalidMatricule, parse_matricule
from mpi.identity.model import PartialDate, RecordKey
from mpi.identity.tabular import demographics_from_mapping, text_of
from mpi.index.criteria import days_of
from mpi.index.search import Found, Period, Search, Text, Why
from mpi.index.spelling import whole_forms

router = APIRouter(tags=["identities"])

_LETTERS = 3
"""Of a name, without a birth date."""
_PARTS = {
    "family": ("nom", "family name"),
    "given": ("prénom", "given name"),
    "birth": ("date de naissance", "birth date"),
    "sex": ("sexe", "sex"),
    "postal_code": ("code postal", "postal code"),
    "identifiers": ("identifiant", "identifier"),
    "ins": ("INS", "INS"),
}
_WAYS = {
    Why.SAME: ("identique", "the same"),
    Why.PREFIX: ("commence ainsi", "begins so"),
    Why.OTHER_NAME: ("autre nom de la personne", "another name of the person"),
    Why.SOUNDS_ALIKE: ("se prononce de même", "sounds alike"),
    Why.ONE_LETTER: ("à une lettre près", "one letter away"),
    Why.COMPATIBLE: ("compatible avec ce qui est connu", "compatible with what is known"),
}
_TOO_BROAD = (
    "Trop de personnes répondent à cette recherche : précisez-la.",
    "Too many people answer this search: be more specific.",
)


@router.post("/search")
def search(body: SearchIn, session: MaySearch, lang: LanguageQuery = "fr", as_of: AsOf = None) -> SearchOut:
    """
    Look somebody up by what is known of them: birth date first, then some letters of a name.

    Accents, case, particles, hyphens and apostrophes say nothing; birth and used names are found alike. When more
    people would answer than may be shown, nobody is. Nothing of the search is stored but that it was made.
    """
    answer = session.registry.search(
        _wanted(session, body),
        visible=session.visible,
        actor=session.caller.actor,
        most=body.limit,
        as_of=as_of,
    )
    return SearchOut(
        people=[_found(session, found, lang) for found in answer.found],
        too_broad=answer.too_broad,
        advice=_in(lang, _TOO_BROAD) if answer.too_broad else None,
    )


def _wanted(session: Session, body: SearchIn) -> Search:
    """
    What is asked.

    Raises:
        InvalidIdentity: a part cannot be read, or they are not enough to look somebody up.
        UnknownAuthority: no such domain, or it is not the caller's to see.
    """
    name, given = _text(body.name, "name"), _text(body.given_name, "given_name")
    postal_code, value = _text(body.postal_code, "postal_code"), _text(body.id, "id")
    birth, ins = _birth(body), _ins(session, body)
    named = _letters(name) >= _LETTERS and (given or postal_code)
    if birth is None and not value and not ins and not named:
        raise InvalidIdentity(
            "birth_date",
            "needed, at least in part; without it an identifier, an INS, or three letters of a name with a given "
            "name or a postal code",
        )
    sex = demographics_from_mapping({"sex": body.sex}).sex
    return Search(
        identifiers=(_identifier(session, body, value),) if value else (),
        ins=ins,
        family=(Text(name, body.spelling),) if name else (),
        given=(Text(given, body.spelling),) if given else (),
        birth=(birth,) if birth is not None else (),
        sex=(sex,) if sex else (),
        postal_code=(Text(postal_code),) if postal_code else (),
    )


def _birth(body: SearchIn) -> Period | None:
    first, last = _date(body.birth_date, "birth_date"), _date(body.birth_date_until, "birth_date_until")
    if first is None:
        if last is not None:
            raise InvalidIdentity("birth_date", "needed with birth_date_until")
        return None
    period = Period(days_of(first)[0], days_of(last or first)[1])
    if period.last < period.first:
        raise InvalidIdentity("birth_date_until", "before birth_date")
    return period


def _date(value: Any, place: str) -> PartialDate | None:
    try:
        return demographics_from_mapping({"birth_date": value}).birth_date
    except InvalidIdentity as error:
        raise InvalidIdentity(place, error.problem) from None


def _ins(session: Session, body: SearchIn) -> tuple[tuple[str, str], ...]:
    """The INS that is asked for, under each OID that issues them here; none when it is not asked for."""
    text = _text(body.ins, "ins")
    if not text:
        return ()
    try:
        matricule = parse_matricule(text).value
    except InvalidMatricule as error:
        raise InvalidIdentity("ins", str(error)) from None
    oids = accepted_ins_oids(accept_test_ins=session.directory.accept_test_ins)
    return tuple((oid, matricule) for oid in sorted(oids))


def _identifier(session: Session, body: SearchIn, value: str) -> RecordKey:
    domain = _text(body.domain, "domain")
    if not domain:
        raise InvalidIdentity("domain", "an identifier needs its domain")
    return RecordKey(session.domain(domain, place="domain").key, value)


def _text(value: Any, place: str) -> str:
    return text_of(place, value)


def _letters(name: str) -> int:
    return max(map(len, whole_forms(name)), default=0)


def _found(session: Session, found: Found, language: Language) -> FoundOut:
    person = found.person
    return FoundOut(
        id=person.id,
        likeness=round(found.likeness, 4),
        doubtful=person.doubtful,
        why={
            part: HoldsOut(way=why, sentence=_sentence(part, why, language))
            for part, why in found.why.items()
        },
        golden=views.golden(session, person.golden),
        identifiers=[views.identifier(one.identifier) for one in person.members if not one.retired],
    )


def _sentence(part: str, why: Why, language: Language) -> str:
    label, way = _in(language, _PARTS[part]), _in(language, _WAYS[why])
    return f"{label}: {way}" if language == "en" else f"{label} : {way}"


def _in(language: Language, sentences: tuple[str, str]) -> str:
    return sentences[1 if language == "en" else 0]
