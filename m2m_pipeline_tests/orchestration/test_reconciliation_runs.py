"""A run of the reconciliation shows what it found, or says why it found nothing."""

from collections.abc import Callable

import dagster as dg
import pytest
from cryptography.fernet import Fernet

from m2m_pipeline.domain.drift import CAUSES, DriftCause
from m2m_pipeline.domain.reasons import REASONS, ReasonCode
from m2m_pipeline.orchestration.catalog import carrier_state, rate_plan_drift
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.orchestration.location import KEY, build, metadata, run_job, words_of
from m2m_pipeline_tests.world import THIRD, Options, World


def test_reconciliation_shows_the_list_and_the_drift_of_its_provider(
    world: World, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))

    run_job(definitions, "reconciliation", instance, KEY)

    listed, drift = metadata(instance, carrier_state), metadata(instance, rate_plan_drift)
    assert (listed["devices listed"], listed["whole list"]) == (3, True)
    assert drift["devices drifted"] == drift[f"devices {CAUSES[DriftCause.MADE_OUTSIDE].title}"] == 1
    assert f"devices that differ, at the end of each day: {DriftCause.MADE_OUTSIDE}" in words_of(str(drift["trend"]))
    assert not any(iccid in str(drift) for iccid in world.iccids)


def test_a_carrier_that_is_away_fails_the_run_and_shows_no_list(
    make_world: Callable[[Options], World], instance: dg.DagsterInstance
) -> None:
    make_world(Options(probe=0.05)).trouble(Rule(name="outage"))

    result = run_job(build(), "reconciliation", instance, KEY, raise_on_error=False)

    assert not result.success
    assert instance.get_latest_materialization_event(carrier_state.key) is None


def test_a_credential_that_cannot_be_had_fails_the_run_with_its_reason_and_the_next_step(
    world: World, definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M2M_ENCRYPTION_KEYS", Fernet.generate_key().decode())

    result = run_job(definitions, "reconciliation", instance, KEY, raise_on_error=False)

    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    told = str(failure.step_failure_data.user_failure_data)
    assert KEY in told
    assert "cannot be decrypted" in told
    assert REASONS[ReasonCode.CREDENTIAL_UNREADABLE].next_step in told
    assert world.control.calls() == []


def test_a_pass_that_another_process_works_on_is_no_failure(
    world: World, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    provider = world.provider
    world.sql(
        "INSERT INTO m2m.reconciliation_pass (tenant_id, service_provider_id, is_full, lease_owner, lease_expires_at) "
        "VALUES (%s, %s, true, 'another', now() + interval '1 hour')",
        provider.tenant_id,
        provider.id,
    )

    assert run_job(definitions, "reconciliation", instance, KEY).success
    assert instance.get_latest_materialization_event(carrier_state.key) is None
