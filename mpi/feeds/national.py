"""
Admit the INS of an identity that came by a table or by FHIR, under the conditions of PID.

The conditions themselves are those of the HL7 v2 feed (`pid`), so that one identity bears one INS
whichever way it came.

Source: PAM-FR 2.11 section 4 (INS only with VALI), PID-5, 7, 8, 11; Annex N 1.8.1 (OIDs).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mpi.feeds.hl7v2.pid import _why_no_ins
from mpi.identity.domains import TEST_INS_OIDS, ins_oid
from mpi.identity.ins import (
    INS_NIA_OID,
    INS_NIR_OID,
    INS_TEST_OID,
    InvalidMatricule,
    embedded_differences,
    parse_matricule,
)
from mpi.identity.model import PatientIdentifier


@dataclass(frozen=True, slots=True)
class AdmittedIns:
    """
    What of the INS of one identity may be used.

    Args:
        ins, oid: empty when none is admitted.
        kept: the admitted identifiers, as sent.
        warnings: places and problems, of those left aside too.
    """

    ins: str = ""
    oid: str = ""
    kept: tuple[PatientIdentifier, ...] = ()
    warnings: tuple[str, ...] = ()


def own_ins_oid(*, accept_test_ins: bool) -> str:
    """The OID of an INS that was stated without one: the NIR's, or the test one on a test platform."""
    return INS_TEST_OID if accept_test_ins else INS_NIR_OID


def admit_ins(
    stated: Iterable[tuple[str, PatientIdentifier]],
    values: Mapping[str, Any],
    *,
    accept_test_ins: bool,
) -> AdmittedIns:
    """
    Admit the INS an identity may bear; a refused one is left out with a warning, and the identity stands.

    Args:
        stated: each with its place.
        values: fields of `Demographics` it is stated with; names and identity codes at least.
    """
    accepted = TEST_INS_OIDS if accept_test_ins else {INS_NIR_OID, INS_NIA_OID}
    reason = _why_no_ins(values)
    warnings = []
    kept: list[tuple[bool, str, str, PatientIdentifier]] = []
    for place, identifier in stated:
        oid = ins_oid(identifier)
        if reason:
            warnings.append(f"{place}: INS {reason}; dropped")
            continue
        if oid not in accepted:
            warnings.append(f"{place}: INS of the wrong kind, real or test, for this platform; dropped")
            continue
        try:
            matricule = parse_matricule(identifier.value)
        except InvalidMatricule:
            warnings.append(f"{place}: not a matricule INS, or a wrong key; dropped")
            continue
        kept.append((oid == INS_NIA_OID, matricule.value, oid, identifier))
        differences = embedded_differences(matricule, sex=values["sex"], birth_date=values["birth_date"])
        if differences:
            warnings.append(f"{place}: the matricule differs from the stated {', '.join(differences)}; kept")
    if not kept:
        return AdmittedIns(warnings=tuple(warnings))
    if not values.get("birth_place_code"):
        warnings.append(f"{kept[0][3].type_code}: no birth place code beside an INS")
    _, ins, oid, _ = min(kept, key=lambda item: item[:3])
    return AdmittedIns(ins, oid, tuple(item[3] for item in kept), tuple(warnings))
