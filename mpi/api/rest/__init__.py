"""REST, under /api/v1."""

from fastapi import APIRouter

from mpi.api.rest import facts, feeds, journal, matching, notifications, patients, reports, reviews, searching

PREFIX = "/api/v1"

router = APIRouter(prefix=PREFIX)
for part in (matching, searching, patients, reviews, facts, journal, feeds, reports, notifications):
    router.include_router(part.router)

metrics_router = feeds.metrics_router

__all__ = ["PREFIX", "metrics_router", "router"]
