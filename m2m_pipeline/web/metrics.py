"""The numbers in Prometheus' words, read from PostgreSQL when they are asked for."""

import hmac
from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.services.monitoring import Measured
from m2m_pipeline.storage.gauges import Counted
from m2m_pipeline.web.documentation import problems
from m2m_pipeline.web.identity import BEARER, front_door
from m2m_pipeline.web.problems import ProblemError

router = APIRouter(tags=["operations"])

CONTENT_TYPE = "text/plain; version=0.0.4"
_WHOSE = ("tenant", "provider")


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The text format"},
        **problems("not-signed-in", "database-unavailable"),
    },
)
def get_metrics(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> Response:
    """Open, unless the setting `M2M_METRICS_TOKEN` names a bearer token."""
    door = front_door(request)
    wanted = door.settings.metrics_token.get_secret_value()
    if wanted and not (given and hmac.compare_digest(given.credentials.encode(), wanted.encode())):
        if given:
            log = door.application.security_log
            log.denied(
                AuditKind.SIGN_IN_FAILED, "metrics:?", "The metrics were asked for with a token that does not hold."
            )
        raise ProblemError("not-signed-in", "The metrics ask for the bearer token of M2M_METRICS_TOKEN.")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(door.application.monitoring.measure()))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE)


class _Once(Collector):
    """Tells the numbers of one moment."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """All families."""
        now = self._measured
        yield _single("m2m_queue_depth", "Bulk changes that wait for a run", now.queue.depth)
        yield _single("m2m_queue_oldest_seconds", "How long the oldest of them waits", now.queue.oldest_seconds)
        yield _single("m2m_leases_held", "Attempts that hold a bulk change", now.leases.held)
        yield _single("m2m_leases_expired", "Those whose lease ran out: the sweeper takes them up", now.leases.expired)
        yield _single("m2m_lease_oldest_seconds", "How long the oldest attempt runs", now.leases.oldest_seconds)
        yield _by_status("m2m_bulk_changes", "Bulk changes by status", now.bulk_changes)
        yield _by_status("m2m_devices_open", "Devices that are not settled, by status", now.open_devices)
        yield _by_status("m2m_devices_ended", "Devices of ended bulk changes, by how they ended", now.ended_devices)
        yield from _accounts(now)
        if now.quiet_seconds is not None:
            meaning = "How long ago the watcher in the Dagster daemon ticked"
            yield _single("m2m_watcher_quiet_seconds", meaning, now.quiet_seconds)
        opened = GaugeMetricFamily("m2m_alerts_open", "Alerts that are open, by name", labels=("name",))
        for name, count in now.open_alerts.items():
            opened.add_metric((name.value,), count)
        yield opened


def _accounts(now: Measured) -> Iterable[GaugeMetricFamily]:
    meanings = {
        "m2m_account_calls_per_second_configured": "Calls a second that the account allows",
        "m2m_account_calls_per_second": "Calls a second that are made at most now, as the carrier has taught us",
        "m2m_account_calls_in_flight": "Calls under way",
        "m2m_account_calls_made": "Carrier calls that the bulk changes and passes on record have committed; "
        "a call under way comes with its outcome, and what is deleted by retention goes",
        "m2m_account_breaker_open": "1 while the carrier does not answer and nothing is sent",
        "m2m_account_writes_enabled": "1 where changes may be sent",
    }
    families = {name: GaugeMetricFamily(name, meaning, labels=_WHOSE) for name, meaning in meanings.items()}
    for one in now.accounts:
        standing = one.standing
        values = (
            standing.configured,
            standing.pace,
            standing.in_flight,
            one.calls,
            standing.open_for is not None,
            one.writes_enabled,
        )
        for family, value in zip(families.values(), values, strict=True):
            family.add_metric((one.tenant, one.provider), float(value))
    return families.values()


def _single(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value=value)


def _by_status(name: str, meaning: str, counted: Iterable[Counted]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=(*_WHOSE, "status"))
    for one in counted:
        family.add_metric((one.tenant, one.provider, one.status), one.count)
    return family
