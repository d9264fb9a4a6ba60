"""The sensor that delivers notices.

It writes, and may: each notice is claimed and settled by guarded transactions, and to be delivered twice is what
receivers of notices are prepared for.
"""

from collections.abc import Mapping
from functools import partial

import dagster as dg

from m2m_pipeline.logs import redacted
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.upkeep import due_after

INTERVAL_SECONDS = 5
"""Dagster's floor."""


def notice_sensor() -> dg.SensorDefinition:
    """The deliverer of the outbox."""

    @dg.sensor(minimum_interval_seconds=INTERVAL_SECONDS, default_status=dg.DefaultSensorStatus.RUNNING)
    def deliver_notices(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SkipReason:
        """Deliver the notices that are due; what fails is tried again later, and in the end given up with a reason."""
        done = platform.services.outbox.deliver()
        if done.dead:
            context.log.warning("%d notices were given up: see `m2m notices --status DEAD`.", done.dead)
        if not (done.delivered or done.postponed or done.dead):
            return dg.SkipReason("No notice is due.")
        return dg.SkipReason(f"{done.delivered} delivered, {done.postponed} to be tried again, {done.dead} given up.")

    return deliver_notices


WATCH_SECONDS = 30


def watch_sensor(scheduled: Mapping[str, str]) -> dg.SensorDefinition:
    """The watcher of the platform. `scheduled`: the jobs that are missed where they do not run, each with its cron."""
    due = {job: partial(due_after, cron) for job, cron in scheduled.items()}

    @dg.sensor(minimum_interval_seconds=WATCH_SECONDS, default_status=dg.DefaultSensorStatus.RUNNING)
    def watch_platform(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SkipReason:
        """Raise and resolve alerts. `m2m health`, asked from outside, tells whether this sensor still ticks."""
        watched = platform.services.alerting.watch(due)
        for one in watched.raised:
            context.log.warning(redacted(f"{one.name}, {one.subject}: {one.detail}"))
        for one in watched.resolved:
            context.log.info(redacted(f"{one.name}, {one.subject}: resolved."))
        if not (watched.raised or watched.resolved):
            return dg.SkipReason("Nothing has changed.")
        return dg.SkipReason(f"{len(watched.raised)} alerts raised, {len(watched.resolved)} resolved.")

    return watch_platform
