"""The sensor by which crashes heal: it finds attempts that died and has the next one queued.

It is a sensor that writes, which is safe here because the truth is in rows: each write is one guarded transaction that
a repeated, lost or concurrent tick (or a preview in the UI) cannot do twice, and nothing of it waits for the tick to
end. A schedule would start a run for each look, and those pile up just when the platform is in trouble.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping

import dagster as dg

from m2m_pipeline.bootstrap import Application
from m2m_pipeline.logs import redacted
from m2m_pipeline.orchestration.assets import headline
from m2m_pipeline.orchestration.checks import show_end_without_a_run
from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change
from m2m_pipeline.orchestration.platform import BULK_CHANGE, Platform
from m2m_pipeline.orchestration.upkeep import is_upkeep, subject_of
from m2m_pipeline.services.pulses import SILENCE_SECONDS
from m2m_pipeline.services.sweeping import Sweeping, Swept

_BELIEVED_ALIVE = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)

_NO_FAILURE = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED)


def sweep_sensor(interval_seconds: int) -> dg.SensorDefinition:
    """The sweeper, looking every `interval_seconds`."""

    @dg.sensor(minimum_interval_seconds=interval_seconds, default_status=dg.DefaultSensorStatus.RUNNING)
    def sweep_abandoned_attempts(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SkipReason:
        """Take up what died: attempts without a lease, dispatches without a run, dead runs, untold ends."""
        services = platform.services
        told = [f"Run {one} was taken for dead." for one in end_dead_runs(context.instance, services.sweeping)]
        waiting = {one.id: one.attempt for one in services.queue.head()}
        swept = [
            *services.sweeping.sweep_leases(),
            *give_up_lost_dispatches(context.instance, services.sweeping, waiting),
        ]
        told += [_told(one) for one in swept]
        told += [f"Run {one} was taken for dead." for one in end_silent_runs(context.instance, services)]
        untold = services.showing.list_untold()
        show_end_without_a_run(context.instance, platform, [*(one.document for one in swept if one.document), *untold])
        told += [f"The catalog was told of the end of bulk change {one.id}." for one in untold]
        for line in told:
            context.log.info(redacted(line))
        return dg.SkipReason(" ".join(told) or "Nothing was abandoned.")

    return sweep_abandoned_attempts


def give_up_lost_dispatches(
    instance: dg.DagsterInstance, sweeping: Sweeping, waiting: Mapping[int, int]
) -> Iterator[Swept]:
    """Give up attempts (bulk change → attempt) that wait in the queue though each of their runs has ended.

    Dagster never launches their run key again. `waiting` must have been read before: a run seen to have ended after it
    can no longer take the bulk change.
    """
    if not waiting:
        return
    runs: dict[tuple[str, str], list[dg.DagsterRun]] = defaultdict(list)
    tags = {BULK_CHANGE: [str(one) for one in waiting]}
    for run in instance.get_runs(dg.RunsFilter(job_name=bulk_carrier_rate_plan_change.name, tags=tags)):
        runs[run.tags[BULK_CHANGE], run.tags.get("m2m/attempt", "")].append(run)
    for bulk_change_id, attempt in waiting.items():
        dispatched = runs[str(bulk_change_id), str(attempt)]
        if dispatched and all(run.is_finished for run in dispatched):
            why = f"run {dispatched[0].run_id} ended as {dispatched[0].status.value} before it took the bulk change."
            swept = sweeping.give_up_dispatch(bulk_change_id, attempt, why)
            if swept:
                yield swept


def end_dead_runs(instance: dg.DagsterInstance, sweeping: Sweeping) -> Iterator[str]:
    """End, for Dagster, runs that it takes for alive while their lease is long gone; their ids.

    Nothing else ever would where the host has died, and each holds one of the slots.
    """
    alive = dg.RunsFilter(job_name=bulk_carrier_rate_plan_change.name, statuses=list(_BELIEVED_ALIVE))
    for record in instance.get_run_records(alive):
        run, begun = record.dagster_run, record.start_time or record.update_timestamp.timestamp()
        bulk_change_id = bulk_change_of(run)
        if bulk_change_id is None or time.time() - begun < sweeping.grace_seconds:
            continue
        if not sweeping.disown(bulk_change_id, run.run_id):
            continue
        message = "No sign of life: this run holds no lease, or no longer. Writes by it would be refused."
        if _end(instance, run.run_id, message):
            yield run.run_id


def end_silent_runs(instance: dg.DagsterInstance, services: Application) -> Iterator[str]:
    """End, for Dagster, runs that hold no lease and have long given no sign of life; their ids.

    The operators are told of each dead run of a scheduled job, also of one whose end Dagster has seen by itself.
    """
    alive = instance.get_run_records(dg.RunsFilter(statuses=list(_BELIEVED_ALIVE)))
    quiet = services.pulses.quiet_seconds()
    silent = [run_id for run_id, seconds in quiet.items() if seconds >= SILENCE_SECONDS]
    for record in alive:
        run, begun = record.dagster_run, record.start_time or record.update_timestamp.timestamp()
        is_leased = run.job_name == bulk_carrier_rate_plan_change.name
        if not is_leased and run.run_id not in quiet and time.time() - begun >= services.sweeping.grace_seconds:
            silent.append(run.run_id)
    for run_id in silent:
        if _end(instance, run_id, "No sign of life: its process has died, or its host. What it did stays."):
            yield run_id
        run = instance.get_run_by_id(run_id)
        if run and is_upkeep(run) and run.status not in _NO_FAILURE:
            subject = subject_of(run.job_name, run.tags.get("dagster/partition"))
            services.alerting.end_upkeep(subject, f"Run {run_id} gave no sign of life and was taken for dead.")
        services.pulses.forget(run_id)


def _end(instance: dg.DagsterInstance, run_id: str, message: str) -> bool:
    """End a run, unless it has ended by itself since it was looked at."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return False
    if run.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, message)
    else:
        instance.report_run_failed(run, message)
    return True


def bulk_change_of(run: dg.DagsterRun) -> int | None:
    """The bulk change that a run works on: by its tag, or, where it was launched by hand, by its configuration."""
    named: object = run.tags.get(BULK_CHANGE)
    config: object = run.run_config
    for key in ("ops", "validate_request", "config", "bulk_change_id"):
        config = config.get(key) if isinstance(config, Mapping) else None
    found = str(named or config)
    return int(found) if found.isdecimal() else None


def _told(swept: Swept) -> str:
    if swept.document:
        return f"Bulk change {swept.bulk_change_id} was ended after attempt {swept.attempt}: {headline(swept.document)}"
    return f"Bulk change {swept.bulk_change_id}: attempt {swept.attempt} was given up, the next one is queued."
