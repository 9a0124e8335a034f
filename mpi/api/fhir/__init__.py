"""FHIR R4, under /fhir."""

from collections.abc import Collection

from fastapi import APIRouter, Depends, FastAPI

from mpi.api.fhir import (
    audit,
    capability,
    feed,
    match,
    patient,
    pix,
    process_message,
    refusals,
    refused,
    search,
    subscription,
)
from mpi.api.fhir.formats import document_format
from mpi.api.fhir.pages import Pages
from mpi.api.problems import FHIR_PREFIX

router = APIRouter(prefix=FHIR_PREFIX, tags=["fhir"], dependencies=[Depends(document_format)])
# Operations before reads: $match is no id.
for part in (capability, feed, pix, match, search, patient, process_message, audit, subscription, refused):
    router.include_router(part.router)


def install(app: FastAPI, *, subscription_hosts: Collection[str] = ()) -> None:
    """
    Give the application what these routes share: their refusals, and the searches that wait for a page.

    Args:
        subscription_hosts: `host` or `host:port` that a subscription may name.
    """
    refusals.install(app)
    app.state.fhir_pages = Pages()
    app.state.subscription_hosts = frozenset(subscription_hosts)


__all__ = ["install", "router"]
