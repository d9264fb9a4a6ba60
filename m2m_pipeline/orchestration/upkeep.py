"""What all scheduled work has in common: bulk changes go first."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._utils.schedules import cron_string_iterator

from m2m_pipeline.logs import redacted
from m2m_pipeline.services.alerting import Alerting

RECONCILIATION = "reconciliation"
"""The scheduled job that has a run for each provider."""

_UPKEEP = "m2m/upkeep"

UPKEEP: Mapping[str, str] = {
    # `dagster.yaml` lets few of them run at once: a reconciliation for each provider comes due in the same minute.
    _UPKEEP: "true",
    "dagster/priority": "-10",
    # Each look goes on where the last one ended, so the next tick is the retry.
    "dagster/max_retries": "0",
    # A run that hangs and gives signs of life all the same would keep its slot for ever; seconds.
    "dagster/max_runtime": "21600",
}
"""Tags of every scheduled job."""


def is_upkeep(run: dg.DagsterRun) -> bool:
    """Whether a run is one of a scheduled job."""
    return _UPKEEP in run.tags


def subject_of(job: str, partition: str | None) -> str:
    """What the operators are told of, where a run of a scheduled job fails; of one for a provider, with its name."""
    return f"{job} of {partition}" if job == RECONCILIATION else job


@contextmanager
def operators_told(alerting: Alerting, job: str, partition: str | None = None) -> Generator[None]:
    """Tell the operators where this work of a scheduled job fails, and when it goes well again."""
    subject = subject_of(job, partition)
    try:
        yield
    except dg.Failure as failure:
        alerting.end_upkeep(subject, redacted(failure.description or "It does not say why."))
        raise
    except Exception as error:
        # Words of whatever fails below are for the run's page: they may hold SQL.
        alerting.end_upkeep(subject, f"{type(error).__name__}: the job's last run in Dagster says more.")
        raise
    alerting.end_upkeep(subject)


def regularly(name: str, job: dg.JobDefinition | UnresolvedAssetJobDefinition, cron: str) -> dg.ScheduleDefinition:
    """A schedule that asks for one run of a job, on by default."""
    return dg.ScheduleDefinition(
        name=name, job=job, cron_schedule=cron, default_status=dg.DefaultScheduleStatus.RUNNING
    )


def due_after(cron: str, moment: datetime) -> datetime:
    """When a schedule (UTC) asks for a run the next time from a moment on."""
    return next(cron_string_iterator(moment.timestamp(), cron, "UTC"))
