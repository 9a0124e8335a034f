"""FHIR R4, under /fhir."""

from fastapi import APIRouter

from mpi.api.fhir import capability, feed, pix
from mpi.api.problems import FHIR_PREFIX

router = APIRouter(prefix=FHIR_PREFIX, tags=["fhir"])
for part in (capability, feed, pix):
    router.include_router(part.router)

__all__ = ["router"]
