"""
Admit the INS of an identity: one identity bears one INS, whichever feed it came by.

Source: PAM-FR 2.11 section 4 (INS only with PID-32 VALI), PID-5, 7, 8, 11 (strict traits); RNIV;
Annex N 1.8.1 (real, test and demonstration OIDs).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mpi.identity.domains import TEST_INS_OIDS, ins_oid
from mpi.identity.ins import (
    INS_NIA_OID,
    INS_NIR_OID,
    INS_TEST_OID,
    IdentityAttribute,
    InvalidMatricule,
    embedded_differences,
    parse_matricule,
)
from mpi.identity.model import NameUse, PartialDate, PatientIdentifier


@dataclass(frozen=True, slots=True)
class StatedIns:
    """
    An INS as it was sent, and where.

    Args:
        place: in the sender's own terms.
        value_place, authority_place: of its parts, where they have places of their own.
    """

    identifier: PatientIdentifier
    place: str
    value_place: str = ""
    authority_place: str = ""


@dataclass(frozen=True, slots=True)
class AdmittedIns:
    """
    What of the INS of one identity may be used.

    Args:
        ins, oid: empty when none is admitted.
        kept: the admitted identifiers, as sent.
    """

    ins: str = ""
    oid: str = ""
    kept: tuple[PatientIdentifier, ...] = ()


def own_ins_oid(*, accept_test_ins: bool) -> str:
    """The OID of an INS that was stated without one: the NIR's, or the test one on a test platform."""
    return INS_TEST_OID if accept_test_ins else INS_NIR_OID


def accepted_ins_oids(*, accept_test_ins: bool) -> frozenset[str]:
    """The OIDs an INS may be stated or asked for under: real ones, or those of a test platform; never both."""
    return frozenset(TEST_INS_OIDS) if accept_test_ins else frozenset({INS_NIR_OID, INS_NIA_OID})


def admit_ins(
    stated: Iterable[StatedIns],
    values: Mapping[str, Any],
    *,
    accept_test_ins: bool,
    birth_place: str,
    warn: Callable[[str, str], None],
) -> AdmittedIns:
    """
    Admit the INS an identity may bear; a refused one is left out with a warning, and the identity stands.

    A NIR is preferred to a NIA. Traits that differ from those the matricule embeds, or a missing birth
    place, only warn.

    Args:
        values: fields of `Demographics` it is stated with; names and identity codes at least.
        birth_place: where its birth place is, or would be, stated.
        warn: told of each place and problem.
    """
    accepted = accepted_ins_oids(accept_test_ins=accept_test_ins)
    reason = _why_no_ins(values)
    kept: list[tuple[bool, str, str, PatientIdentifier]] = []
    for one in stated:
        oid = ins_oid(one.identifier)
        value_place = one.value_place or one.place
        if reason:
            warn(one.place, f"INS {reason}; dropped")
            continue
        if oid not in accepted:
            authority_place = one.authority_place or one.place
            warn(authority_place, "INS of the wrong kind, real or test, for this platform; dropped")
            continue
        try:
            matricule = parse_matricule(one.identifier.value)
        except InvalidMatricule:
            warn(value_place, "not a matricule INS, or a wrong key; dropped")
            continue
        kept.append((oid == INS_NIA_OID, matricule.value, oid, one.identifier))
        differences = embedded_differences(matricule, sex=values["sex"], birth_date=values["birth_date"])
        if differences:
            warn(value_place, f"the matricule differs from the stated {', '.join(differences)}; kept")
    if not kept:
        return AdmittedIns()
    if not values.get("birth_place_code"):
        warn(birth_place, "no birth place code beside an INS")
    _, ins, oid, _ = min(kept, key=lambda item: item[:3])
    return AdmittedIns(ins, oid, tuple(item[3] for item in kept))


def _why_no_ins(values: Mapping[str, Any]) -> str:
    """
    What keeps an identity from bearing an INS; empty when nothing does.

    Source: PAM-FR 2.11 (PID-32, PID-5 L, PID-7, PID-8, ZFD-4); RNIV (strict traits).
    """
    codes = set(values["identity_codes"])
    birth_names = [name for name in values["names"] if name.use is NameUse.BIRTH and name.family.strip()]
    date: PartialDate | None = values.get("birth_date")
    if "VALI" not in codes:
        return "of an identity that is not validated"
    if codes & {IdentityAttribute.DOUBTFUL, IdentityAttribute.FICTITIOUS}:
        return "of a doubtful or fictitious identity"
    if not birth_names:
        return "without a birth name"
    if not any((name.given + name.given_list).strip() for name in birth_names):
        return "without a birth given name"
    if date is None or date.day is None:
        return "without a full birth date"
    if values.get("birth_date_interpreted"):
        return "beside an interpreted birth date"
    if values.get("sex") not in ("M", "F"):
        return "without sex M or F"
    return ""
