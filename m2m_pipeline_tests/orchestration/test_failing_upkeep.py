"""Scheduled work that fails is told to the operators, and so is that it goes well again."""

import dagster as dg
import pytest
from cryptography.fernet import Fernet

from m2m_pipeline.domain.alerts import AlertName
from m2m_pipeline.orchestration.sweeping import end_silent_runs
from m2m_pipeline.services.pulses import SILENCE_SECONDS
from m2m_pipeline_tests.orchestration.location import KEY, build, run_job
from m2m_pipeline_tests.world import World

DAY = "2026-03-01"


def told(world: World) -> list[tuple[AlertName, str, str]]:
    return [(one.name, one.subject, one.detail) for one in world.services.alerting.health().open_alerts]


def test_a_reconciliation_that_fails_is_told_with_its_provider_and_why(
    world: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("M2M_ENCRYPTION_KEYS", Fernet.generate_key().decode())
        assert not run_job(build(), "reconciliation", instance, KEY, raise_on_error=False).success
    ((name, subject, why),) = told(world)
    assert (name, subject) == (AlertName.UPKEEP_FAILED, f"reconciliation of {KEY}")
    assert "cannot be decrypted" in why

    assert run_job(build(), "reconciliation", instance, KEY).success
    assert told(world) == []


def test_one_that_died_is_told_with_its_provider_and_resolved_by_the_next_run_for_it(
    world: World, instance: dg.DagsterInstance
) -> None:
    job = build().resolve_job_def("reconciliation")
    tags = {**job.run_tags, "dagster/partition": KEY}
    run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    world.sql(
        "INSERT INTO m2m.heartbeat VALUES (%s, now() - make_interval(secs => %s))",
        f"run {run.run_id}",
        SILENCE_SECONDS,
    )
    assert list(end_silent_runs(instance, world.services)) == [run.run_id]
    ((name, subject, _),) = told(world)
    assert (name, subject) == (AlertName.UPKEEP_FAILED, f"reconciliation of {KEY}")

    assert run_job(build(), "reconciliation", instance, KEY).success
    assert told(world) == []


def test_a_day_that_cannot_be_summed_up_is_told(world: World, instance: dg.DagsterInstance) -> None:
    world.sql("ALTER TABLE m2m.bulk_change RENAME TO elsewhere")
    assert not run_job(build(), "daily_statistics_job", instance, DAY, raise_on_error=False).success
    ((name, subject, _),) = told(world)
    assert (name, subject) == (AlertName.UPKEEP_FAILED, "daily_statistics_job")

    world.sql("ALTER TABLE m2m.elsewhere RENAME TO bulk_change")
    assert run_job(build(), "daily_statistics_job", instance, DAY).success
    assert told(world) == []
