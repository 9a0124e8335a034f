"""REST, under /api/v1."""

from fastapi import APIRouter

from mpi.api.rest import facts, feeds, journal, matching, patients, reviews
from mpi.api.rest.bodies import ProblemOut

PREFIX = "/api/v1"

router = APIRouter(
    prefix=PREFIX,
    responses={
        "default": {
            "description": "Refused: the place and the problem, never a value (RFC 9457).",
            "model": ProblemOut,
        }
    },
)
for part in (matching, patients, reviews, facts, journal, feeds):
    router.include_router(part.router)

metrics_router = feeds.metrics_router

__all__ = ["PREFIX", "metrics_router", "router"]
