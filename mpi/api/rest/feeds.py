"""The feed monitor: how every source does, for people and for Prometheus."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from fastapi import APIRouter, Request
from starlette.responses import Response

from mpi.api.dependencies import MayReadMessages, Session
from mpi.api.rest.bodies import (
    CertificateOut,
    CountedOut,
    FeedOut,
    FeedsOut,
    HarvestOut,
    ProblemCountOut,
    RatesOut,
)
from mpi.feeds.exposition import CONTENT_TYPE, exposition, outbox_exposition
from mpi.feeds.monitor import Certificate, FeedReport, FeedStatus, HarvestStatus, look
from mpi.security.policy import sees_every_queue, visible_sources

router = APIRouter(tags=["feeds"])
metrics_router = APIRouter(tags=["feeds"])


@router.get("/feeds")
def feeds(session: MayReadMessages, request: Request) -> FeedsOut:
    """What each source sent lately, what became of it, and what somebody should look into."""
    seen = _seen(session, request)
    session.record_read("feeds.read")
    return document(seen)


@metrics_router.get("/metrics", response_class=Response)
def metrics(session: MayReadMessages, request: Request) -> Response:
    """The same in numbers, as Prometheus reads them."""
    seen = _seen(session, request)
    text = exposition(seen)
    if sees_every_queue(session.caller, session.directory):
        with session.store.read() as uow:
            backlogs, paused = uow.outbox.backlogs(), uow.outbox.paused()
        text += outbox_exposition(backlogs, paused, at=seen.at)
    return Response(text, media_type=CONTENT_TYPE)


def _seen(session: Session, request: Request) -> FeedReport:
    """The report, less the sources the caller may not see."""
    certificates = cast(Mapping[str, datetime], request.app.state.certificates)
    report = look(
        session.store,
        session.directory,
        at=datetime.now(UTC),
        certificates=certificates,
        full=session.registry.full_quarantines(),
    )
    seen = visible_sources(session.caller, session.directory)
    return replace(report, feeds=tuple(one for one in report.feeds if seen is None or one.source in seen))


def document(seen: FeedReport) -> FeedsOut:
    """A report as it is sent, and printed."""
    return FeedsOut(
        at=seen.at,
        feeds=[_feed(one) for one in seen.feeds],
        certificates=[_certificate(one) for one in seen.certificates],
    )


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
        backlog=status.backlog,
        per_minute=RatesOut(hour=status.rates.hour, day=status.rates.day, usual=status.rates.usual),
        charset_deviations=status.charset_deviations,
        profile_deviations=status.profile_deviations,
        excluded={str(why): count for why, count in status.excluded.items()},
        unreadable=status.unreadable,
        harvest=_harvest(status.harvest) if status.harvest else None,
        expected_sequence=status.expected_sequence,
        alarms=[str(alarm) for alarm in status.alarms],
    )


def _harvest(status: HarvestStatus) -> HarvestOut:
    return HarvestOut(
        state=str(status.state),
        through=status.cursor.through,
        skip=status.cursor.skip,
        days_behind=status.days_behind,
        problem=status.condition.problem,
        failing_since=status.condition.failing_since,
        succeeded_at=status.condition.succeeded_at,
        next_at=status.condition.next_at,
    )


def _certificate(shown: Certificate) -> CertificateOut:
    return CertificateOut(
        key=shown.key, expires_at=shown.expires_at, alarms=[str(alarm) for alarm in shown.alarms]
    )
