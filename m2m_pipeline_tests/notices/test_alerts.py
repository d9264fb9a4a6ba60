"""Each alert is raised once and resolved once, and its words are those of the table and of the documentation."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from m2m_pipeline.cli import app
from m2m_pipeline.domain.alerts import AGING, ALERTS, AlertName
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.services.alerting import NextDue
from m2m_pipeline.services.checks import Check
from m2m_pipeline.storage.alerts import WATCHED
from m2m_pipeline_tests.notices.conftest import application
from m2m_pipeline_tests.notices.mailbox import SmtpStand
from m2m_pipeline_tests.world import NEW, OLD, PROVIDER, TENANT, USERNAME, World

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def break_(world: World, name: AlertName) -> str:
    """Make one condition hold; the alert's subject."""
    world.sql(
        "INSERT INTO m2m.carrier_gate (account) VALUES (%s) ON CONFLICT DO NOTHING",
        f"{world.carrier_url.partition('://')[2].rstrip('/')}/{USERNAME}",
    )
    match name:
        case AlertName.CHANGE_FAILED | AlertName.CHANGE_PARTIAL:
            bulk_change_id = world.submit().bulk_change_id
            status = name.value.removeprefix("CHANGE_")
            world.sql("UPDATE m2m.bulk_change SET status = %s, finished_at = clock_timestamp()", status)
            return f"bulk change {bulk_change_id}"
        case AlertName.BREAKER_OPEN:
            began = world.sql("SELECT extract(epoch FROM clock_timestamp()) - 601")[0][0]
            world.sql("UPDATE m2m.carrier_gate SET open_since = %s, probe_at = 1", began)
        case AlertName.QUEUE_STUCK:
            world.submit()
            world.sql("UPDATE m2m.bulk_change SET attempt_queued_at = attempt_queued_at - interval '31 minutes'")
        case AlertName.ATTEMPTS_DIE:
            bulk_change_id = world.submit().bulk_change_id
            world.sql("UPDATE m2m.bulk_change SET fruitless_attempts = 2")
            return f"bulk change {bulk_change_id}"
        case AlertName.DRIFT:
            drift_away(world)
        case AlertName.RECONCILIATION_STALE:
            world.sql("UPDATE m2m.service_provider SET created_at = created_at - interval '49 hours'")
        case AlertName.NOTICES_DEAD:
            stored = world.services.destinations.store(
                TENANT, DestinationKind.WEBHOOK, "https://hooks.example.com/", None, "test"
            )
            world.submit_and_run()
            world.sql("UPDATE m2m.notice SET status = 'DEAD', ended_at = clock_timestamp(), last_failure = 'no'")
            return f"destination {stored.destination.id} of {TENANT}"
        case AlertName.PROMISE_BROKEN | AlertName.UPKEEP_FAILED | AlertName.UPKEEP_LATE | AlertName.PLATFORM_SILENT:
            raise AssertionError(name)
    return f"provider {PROVIDER} of {TENANT}"


def drift_away(world: World) -> None:
    """More devices than are borne differ, for a cause that is drift."""
    provider = world.provider
    world.sql(
        "INSERT INTO m2m.reconciliation_pass (tenant_id, service_provider_id, is_full, phase, finished_at) "
        "VALUES (%s, %s, true, 'DONE', clock_timestamp())",
        provider.tenant_id,
        provider.id,
    )
    world.sql(
        "INSERT INTO m2m.drift (tenant_id, service_provider_id, pass_id, iccid, cause) "
        "SELECT tenant_id, service_provider_id, id, 'x' || n, 'MADE_OUTSIDE' "
        "FROM m2m.reconciliation_pass, generate_series(1, 101) n"
    )


def mend(world: World) -> None:
    """End whatever `break_` made hold."""
    world.sql("UPDATE m2m.bulk_change SET status = 'PROCESSED', fruitless_attempts = 0")
    world.sql("UPDATE m2m.carrier_gate SET open_since = NULL, probe_at = NULL")
    world.sql("UPDATE m2m.notice SET status = 'DELIVERED' WHERE status = 'DEAD'")
    world.sql("DELETE FROM m2m.drift")
    world.sql("UPDATE m2m.service_provider SET created_at = clock_timestamp()")


@pytest.mark.parametrize("name", sorted(WATCHED))
def test_an_alert_is_raised_once_and_resolved_once(world: World, name: AlertName) -> None:
    watch = world.services.alerting.watch
    assert (watch().raised, watch().resolved) == ([], [])

    subject = break_(world, name)
    (raised,) = watch().raised
    assert (raised.name, raised.subject) == (name, subject)
    assert watch().raised == [], "it still holds, and has been told"
    mend(world)
    (resolved,) = watch().resolved
    assert (resolved.name, resolved.subject) == (name, subject)
    assert watch().resolved == []
    break_(world, name) if name is AlertName.BREAKER_OPEN else mend(world)
    assert len(watch().raised) == (name is AlertName.BREAKER_OPEN), "what comes back is told again"


@pytest.mark.parametrize(("lost_ago", "told"), [(599, True), (601, False)])
def test_a_carrier_that_answers_reads_alone_is_told_as_long_as_changes_are_lost(
    world: World, lost_ago: int, *, told: bool
) -> None:
    """A read has closed the breaker. Where nobody tries a change any more, nobody knows of an outage either."""
    break_(world, AlertName.BREAKER_OPEN)
    world.sql(
        "UPDATE m2m.carrier_gate SET probe_at = NULL, lost_at = extract(epoch FROM clock_timestamp()) - %s", lost_ago
    )

    assert bool(world.services.alerting.watch().raised) is told


@pytest.mark.parametrize("name", sorted(AGING))
def test_what_nobody_has_mended_closes_in_silence_when_it_is_old(world: World, name: AlertName) -> None:
    world.services.destinations.store(None, DestinationKind.EMAIL, "oncall@example.com", None, "test")
    break_(world, name)
    assert len(world.services.alerting.watch().raised) == 1

    world.sql("UPDATE m2m.bulk_change SET finished_at = finished_at - interval '25 hours'")
    world.sql("UPDATE m2m.notice SET ended_at = ended_at - interval '25 hours' WHERE status = 'DEAD'")
    watched = world.services.alerting.watch()

    assert (watched.raised, watched.resolved) == ([], [])
    assert world.services.alerting.health().open_alerts == []
    assert world.sql("SELECT DISTINCT event_type FROM m2m.notice WHERE tenant_id IS NULL") == [("alert.raised",)]


def test_work_on_another_account_does_not_hide_one_that_stands_still(world: World) -> None:
    accounts = world.services.accounts
    other = accounts.configure(TENANT, "other", world.provider_settings(), actor="test")
    accounts.import_plans(other, [OLD, NEW], [])
    accounts.import_devices(other, [DeviceReading(one, OLD, None) for one in world.iccids])
    worked_on, waiting = (world.submit(world.iccids[n : n + 1]).bulk_change_id for n in range(2))
    elsewhere = world.submit(world.iccids[:1], provider="other").bulk_change_id
    world.sql("UPDATE m2m.bulk_change SET attempt_queued_at = attempt_queued_at - interval '31 minutes'")
    world.prepare(worked_on)
    world.prepare(elsewhere, "run-2")
    assert world.services.alerting.watch().raised == [], "its own account is at work"
    assert _queue_moves(world)
    world.run(worked_on)

    (raised,) = world.services.alerting.watch().raised
    assert (raised.name, raised.words["ID"]) == (AlertName.QUEUE_STUCK, str(waiting))
    assert not _queue_moves(world), "the check is of the alert's mind"


def _queue_moves(world: World) -> bool:
    return world.services.checks.of_everything([Check.QUEUE_MOVES])[0].holds


def test_drift_is_too_much_for_the_alert_where_it_is_for_the_check(world: World) -> None:
    drift_away(world)
    bearable = application(world, drift_limit_share=1.0)
    world.sql("DELETE FROM m2m.drift WHERE iccid NOT IN ('x1', 'x2')")

    assert bearable.alerting.watch().raised == []
    assert bearable.checks.of_everything([Check.DRIFT_IN_BOUNDS])[0].holds
    bearable.close()
    assert not world.services.checks.of_everything([Check.DRIFT_IN_BOUNDS])[0].holds
    assert [one.name for one in world.services.alerting.watch().raised] == [AlertName.DRIFT]


DUE = datetime(2026, 3, 1, 2, tzinfo=UTC)
SCHEDULED: Mapping[str, NextDue] = {"checks": lambda _: DUE, "retention": lambda last: last + timedelta(days=1)}


def test_scheduled_work_that_has_not_ended_well_since_it_was_due_is_told_until_it_does(world: World) -> None:
    alerting = world.services.alerting
    waiting: Mapping[str, NextDue] = dict.fromkeys(SCHEDULED, lambda last: last + timedelta(days=1))
    assert alerting.watch(waiting).raised == [], "it is given the time from the first look on"
    world.sql("UPDATE m2m.heartbeat SET at = at - interval '28 hours'")
    alerting.end_upkeep("retention")
    alerting.end_upkeep("checks", "it failed")

    (late,) = alerting.watch(SCHEDULED).raised
    assert (late.name, late.subject) == (AlertName.UPKEEP_LATE, "checks")
    assert late.detail == "It was due at 2026-03-01 02:00 (UTC), and no run has ended well since."
    alerting.end_upkeep("checks")
    assert [one.name for one in alerting.watch(waiting).resolved] == [AlertName.UPKEEP_LATE]
    assert alerting.health().open_alerts == []


def test_work_that_is_not_scheduled_is_not_missed(world: World) -> None:
    waiting: Mapping[str, NextDue] = dict.fromkeys(["retention"], lambda last: last + timedelta(days=1))
    alerting = world.services.alerting
    alerting.watch({**waiting, "audit_digest": waiting["retention"]})
    world.sql("UPDATE m2m.heartbeat SET at = at - interval '90 days' WHERE name ~ 'digest'")
    alerting.end_upkeep("reconciliation of acme/att")  # of which RECONCILIATION_STALE tells

    assert alerting.watch(waiting).raised == [], "no place for digests is configured any more"
    assert alerting.watch({**waiting, "audit_digest": waiting["retention"]}).raised == [], "it begins anew"
    assert world.sql("SELECT name FROM m2m.heartbeat WHERE name ~ '^job ' ORDER BY name") == [
        ("job audit_digest",),
        ("job retention",),
    ]


def test_the_operators_are_mailed_what_it_means_and_what_to_type(world: World) -> None:
    with SmtpStand() as mailbox:
        services = application(world, **mailbox.settings)
        services.destinations.store(None, DestinationKind.EMAIL, "oncall@example.com", None, "test")
        services.destinations.store(TENANT, DestinationKind.EMAIL, "tenant@example.com", None, "test")
        break_(world, AlertName.BREAKER_OPEN)
        services.alerting.watch()
        mend(world)
        services.alerting.watch()
        assert services.outbox.deliver().delivered == 2
        services.close()
    resolved, raised = sorted((mail.decode() for mail in mailbox.mails), key=lambda mail: "Resolved:" not in mail)
    assert "To: oncall@example.com" in raised
    assert "Subject: [m2m] a carrier does not answer: provider att of acme" in raised
    assert f"m2m provider list --tenant {TENANT}" in raised
    assert "Resolved: a carrier does not answer" in resolved


@pytest.mark.parametrize(("refusal", "kept"), [("451 later", "PENDING"), ("550 never", "DEAD")])
def test_a_server_that_says_later_is_asked_later(world: World, refusal: str, kept: str) -> None:
    with SmtpStand(refusal) as mailbox:
        services = application(world, **mailbox.settings)
        services.destinations.store(None, DestinationKind.EMAIL, "oncall@example.com", None, "test")
        break_(world, AlertName.BREAKER_OPEN)
        services.alerting.watch()
        services.outbox.deliver()
        services.close()
    assert world.sql("SELECT status FROM m2m.notice") == [(kept,)]


def test_whoever_asks_from_outside_learns_that_nothing_ticks(world: World) -> None:
    health = world.services.alerting.health
    assert not health().is_alive, "it never ticked"
    world.services.alerting.watch()
    assert health().is_alive
    world.sql("UPDATE m2m.heartbeat SET at = at - interval '181 s'")
    assert not health().is_alive


@pytest.mark.parametrize("name", AlertName)
def test_the_documentation_says_what_the_table_says(name: AlertName) -> None:
    alert = ALERTS[name]
    (row,) = [line for line in OPERATIONS.splitlines() if line.startswith(f"| `{name}` |")]
    _, _, when, look_at, typed, _ = (cell.strip() for cell in row.split("|"))
    assert when == f"{alert.title}: {alert.raised_when}"
    assert look_at == alert.look_at
    assert re.findall(r"`([^`]+)`", typed) == list(alert.commands)


@pytest.mark.parametrize("command", sorted({command for alert in ALERTS.values() for command in alert.commands}))
def test_what_is_to_be_typed_exists(command: str) -> None:
    word, *more = command.split()[1:]
    commands: dict[str, Any] = getattr(get_command(app), "commands")  # noqa: B009 - a group has them
    found = commands[word]
    if more and not more[0].startswith("-") and hasattr(found, "commands"):
        assert more[0] in found.commands
