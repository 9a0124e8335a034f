"""
The sheet of a request: what a site is asked, in words, for people to read. French first, and English.

Pure. A sheet holds a patient's data: it goes to the site whose patient it is, and to who asks it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from mpi.identity.domains import Domains
from mpi.identity.model import RecordKey
from mpi.index.corrections import TRIGGER, Correction, CorrectionKind, CorrectionState

Language = Literal["fr", "en"]

_TITLE = {"fr": "Demande de correction d'identité n° {}", "en": "Request to correct an identity, no. {}"}
_ASKED: Mapping[CorrectionKind, tuple[str, str]] = {
    CorrectionKind.MERGE: (
        "Les identifiants {left} et {right} désignent une seule personne. Fusionner les deux dossiers ; "
        "l'identifiant proposé comme conservé est {left}.",
        "The identifiers {left} and {right} are one person's. Merge the two records; the one proposed to "
        "stay is {left}.",
    ),
    CorrectionKind.RESTATE: (
        "L'identité enregistrée sous {left} est mise en doute. Contrôler l'identité avec la pièce du patient, "
        "corriger le dossier et renvoyer l'identité.",
        "The identity under {left} is in doubt. Check it against the patient's document, correct the record "
        "and send the identity again.",
    ),
    CorrectionKind.WITHDRAW_INS: (
        "L'INS enregistrée sous {left} est celle d'une autre personne. Supprimer l'INS du dossier et le dire.",
        "The INS under {left} is somebody else's. Remove the INS from the record and say so.",
    ),
    CorrectionKind.LINK: (
        "Les identifiants {left} et {right} désignent une seule personne. Rétablir le rapprochement.",
        "The identifiers {left} and {right} are one person's. Link them again.",
    ),
    CorrectionKind.UNLINK: (
        "Les identifiants {left} et {right} désignent deux personnes. Défaire le rapprochement.",
        "The identifiers {left} and {right} are two people's. Unlink them.",
    ),
    CorrectionKind.SEPARATE: (
        "L'identifiant {right} a été fusionné dans {left}, et c'est une autre personne. Séparer les deux "
        "dossiers, ranger chaque examen sous le bon, puis renvoyer l'identité sous {right}.",
        "The identifier {right} was merged into {left}, and it is another person's. Separate the two records, "
        "file each exam under the right one, then send the identity of {right} again.",
    ),
    CorrectionKind.REATTRIBUTE: (
        "Un examen rangé sous {left} est celui d'une autre personne. Le ranger sous le bon dossier.",
        "An exam filed under {left} is of somebody else. File it under the right record.",
    ),
}
_TRAITS = {
    "birth_name": ("nom de naissance", "birth name"),
    "used_name": ("nom utilisé", "used name"),
    "given_names": ("prénoms de naissance", "birth given names"),
    "birth_date": ("date de naissance", "birth date"),
    "sex": ("sexe", "sex"),
    "birth_place": ("lieu de naissance (code INSEE)", "birth place (INSEE code)"),
    "ins": ("INS", "INS"),
}
_HEADINGS = {
    "stated": ("Enregistré aujourd'hui", "Recorded today"),
    "expected": ("Attendu", "Expected"),
    "unknown": ("à contrôler par l'établissement", "for the site to check"),
    "exam": ("Examen (Study Instance UID)", "Exam (Study Instance UID)"),
    "message": ("Message attendu en réponse", "Message that will answer"),
    "any": ("l'identité renvoyée par un message", "the identity, sent again by a message"),
    "due": ("Avant le", "Before"),
    "reason": ("Motif", "Because of"),
    "withdrawn": (
        "CETTE DEMANDE EST RETIRÉE : ne rien faire.",
        "THIS REQUEST IS WITHDRAWN: there is nothing to do.",
    ),
    "followed": (
        "La demande se clôt d'elle-même quand vos messages montrent la correction. Un accusé de réception "
        "ne suffit pas.",
        "The request closes by itself once your messages show the correction. An acknowledgement is not enough.",
    ),
}


def write_sheet(correction: Correction, state: CorrectionState, domains: Domains, language: Language) -> str:
    """The sheet of a request, in plain text."""
    wanted = correction.wanted
    left, right = (_identifier(key, domains) for key in (wanted.left, wanted.right))
    lines = [_TITLE[language].format(correction.id), ""]
    if state is CorrectionState.WITHDRAWN:
        lines += [_say("withdrawn", language), ""]
    lines += [_of(_ASKED[wanted.kind], language).format(left=left, right=right), ""]
    if wanted.study_uid:
        lines += [f"{_say('exam', language)} : {wanted.study_uid}", ""]
    shown = wanted.traits or tuple(name for name in _TRAITS if name in wanted.before)
    for name in shown:
        words = _of(_TRAITS[name], language)
        said = wanted.before.get(name, "-")
        line = f"- {words} : {_say('stated', language)} « {said} »"
        if wanted.kind is CorrectionKind.RESTATE:
            expected = wanted.expected.get(name)
            line += f" ; {_say('expected', language)} : " + (
                f"« {expected} »" if expected else _say("unknown", language)
            )
        lines.append(line)
    trigger = TRIGGER.get(wanted.kind)
    answer = f"ADT^{trigger}" if trigger else _say("any", language)
    if shown:
        lines.append("")
    lines += [
        f"{_say('message', language)} : {answer}",
        f"{_say('due', language)} : {_day(correction.due_at)}",
        f"{_say('reason', language)} : {wanted.cause}",
        "",
        _say("followed", language),
    ]
    return "\n".join(lines) + "\n"


def _identifier(key: RecordKey, domains: Domains) -> str:
    domain = domains.get(key.domain)
    return f"{key.value} ({domain.authority.namespace if domain is not None else key.domain})"


def _say(name: str, language: Language) -> str:
    return _of(_HEADINGS[name], language)


def _of(both: tuple[str, str], language: Language) -> str:
    return both[1 if language == "en" else 0]


def _day(instant: datetime) -> str:
    return instant.date().isoformat()
