"""
Bundles of people, as searches and matches answer.

Source: FHIR R4 bundle.html, search.html; IHE PDQm 3.2.
"""

from collections.abc import Iterable, Sequence
from typing import Any

GRADE_URL = "http://hl7.org/fhir/StructureDefinition/match-grade"


def searchset(
    entries: Sequence[dict[str, Any]],
    *,
    total: int | None,
    links: Iterable[tuple[str, str]] = (),
    issues: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """
    A Bundle of type searchset.

    Args:
        total: how many match, on all pages; outcomes are not counted. None when nobody counted.
        links: relation and address.
        issues: what to say beside, as one OperationOutcome.
    """
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    if total is not None:
        bundle["total"] = total
    if found := [{"relation": relation, "url": url} for relation, url in links]:
        bundle["link"] = found
    more = [_outcome(issues)] if issues else []
    if entries or more:
        bundle["entry"] = [*entries, *more]
    return bundle


def match(resource: dict[str, Any], *, base: str, score: float, grade: str = "") -> dict[str, Any]:
    """One entry that answers."""
    search: dict[str, Any] = {"mode": "match", "score": round(min(max(score, 0.0), 1.0), 4)}
    if grade:
        search = {"extension": [{"url": GRADE_URL, "valueCode": grade}], **search}
    return {"fullUrl": f"{base}/Patient/{resource['id']}", "resource": resource, "search": search}


def issue(severity: str, code: str, text: str) -> dict[str, Any]:
    """One issue; the sentence is in both places, as in `problems.outcome`."""
    return {"severity": severity, "code": code, "details": {"text": text}, "diagnostics": text}


def _outcome(issues: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "resource": {"resourceType": "OperationOutcome", "issue": list(issues)},
        "search": {"mode": "outcome"},
    }
