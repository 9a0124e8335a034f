"""The feed monitor: how every source does, for people and for Prometheus."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from fastapi import APIRouter, Request
from starlette.responses import Response

from mpi.api.dependencies import MayReadMessages, Session
from mpi.api.rest.bodies import CertificateOut, CountedOut, FeedOut, FeedsOut, HarvestOut, ProblemCountOut
from mpi.feeds.exposition import CONTENT_TYPE, exposition
from mpi.feeds.monitor import Certificate, FeedReport, FeedStatus, look
from mpi.security.policy import visible_sources

router = APIRouter(tags=["feeds"])
metrics_router = APIRouter(tags=["feeds"])


@router.get("/feeds")
def feeds(session: MayReadMessages, request: Request) -> FeedsOut:
    """What each source sent lately, what became of it, and what somebody should look into."""
    seen = _seen(session, request)
    session.record_read("feeds.read")
    return FeedsOut(
        at=seen.at,
        feeds=[_feed(one) for one in seen.feeds],
        certificates=[_certificate(one) for one in seen.certificates],
    )


@metrics_router.get("/metrics", response_class=Response)
def metrics(session: MayReadMessages, request: Request) -> Response:
    """The same in numbers, as Prometheus reads them."""
    return Response(exposition(_seen(session, request)), media_type=CONTENT_TYPE)


def _seen(session: Session, request: Request) -> FeedReport:
    """The report, less the sources the caller may not see."""
    certificates = cast(Mapping[str, datetime], request.app.state.certificates)
    report = look(session.store, session.directory, at=datetime.now(UTC), certificates=certificates)
    seen = visible_sources(session.caller, session.directory)
    return replace(report, feeds=tuple(one for one in report.feeds if seen is None or one.source in seen))


def _feed(status: FeedStatus) -> FeedOut:
    return FeedOut(
        source=status.source,
        configured=status.is_configured,
        last_received_at=status.last_received_at,
        counts={str(state): count for state, count in status.counts.items()},
        quarantined=[
            ProblemCountOut(place=place, problem=problem, count=count)
            for (place, problem), count in status.quarantined
        ],
        warnings=[CountedOut(warning=text, count=count) for text, count in status.warnings],
        clock_ahead_seconds=status.clock_ahead_seconds,
        delay_seconds=status.delay_seconds,
        harvest=HarvestOut(through=status.harvest.through, skip=status.harvest.skip)
        if status.harvest
        else None,
        expected_sequence=status.expected_sequence,
        alarms=[str(alarm) for alarm in status.alarms],
    )


def _certificate(shown: Certificate) -> CertificateOut:
    return CertificateOut(
        key=shown.key, expires_at=shown.expires_at, alarms=[str(alarm) for alarm in shown.alarms]
    )
