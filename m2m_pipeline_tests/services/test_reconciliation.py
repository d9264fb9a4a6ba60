"""What ended unknown is settled later: by asking, never by sending."""

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.services.checks import Check
from m2m_pipeline.simulator.documents import Drift, LedgerCall
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests import invariants
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import NEW, TENANT, THIRD, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads")

MADE = Rule(name="applied_then_reset")
NOT_MADE = Rule(name="applied_then_reset", applied=False)


def end_unknown(world: World, trouble: Rule, chosen: Sequence[str] | None = None) -> int:
    """A bulk change whose calls meet a trouble, and which ends while the carrier does not answer: nobody knows more."""
    bulk_change_id = world.submit(chosen, batch_size=10).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    world.trouble(trouble)
    world.trouble(Rule(name="outage", methods=frozenset({"GET"})))
    world.drive(batch)
    assert world.services.execution.finalize(bulk_change_id, "run-1").status == "PARTIAL"
    world.control.stop_all()
    return bulk_change_id


def test_a_change_that_was_made_is_confirmed_and_amop_follows(make_world: MakeWorld) -> None:
    world = make_world(Options(patience=0.5))
    bulk_change_id = end_unknown(world, MADE)

    done = world.services.reconciliation.settle(world.provider)

    assert (done.settled, done.unknown) == (3, 0)
    assert [document.status for document in done.bulk_changes] == ["PROCESSED"]
    evidence = world.evidence(bulk_change_id)
    invariants.check_all(evidence)
    assert set(evidence.statuses().values()) == {"PROCESSED"}


def test_a_change_that_was_not_made_is_told_and_not_sent(make_world: MakeWorld) -> None:
    world = make_world(Options(patience=0.5))
    bulk_change_id = end_unknown(world, NOT_MADE)
    puts = world.puts()

    done = world.services.reconciliation.settle(world.provider)

    assert (done.settled, done.unknown) == (3, 0)
    assert [document.status for document in done.bulk_changes] == ["FAILED"]
    assert world.puts() == puts
    invariants.check_all(world.evidence(bulk_change_id))


def test_an_end_that_is_told_anew_stays_where_it_was_for_limits_statistics_and_speed(make_world: MakeWorld) -> None:
    """One of the devices is settled two days later, another is not: its outcome has been unknown for two days."""
    world = make_world(Options(patience=0.5, verify=VerifyMode.EACH))
    bulk_change_id = end_unknown(world, MADE)
    world.sql(
        "UPDATE m2m.bulk_change SET started_at = started_at - interval '2 days', finished_at = finished_at - "
        "interval '2 days', queued_at = queued_at - interval '2 days'"
    )
    before = world.services.reporting.document(TENANT, bulk_change_id).timings
    world.trouble(Rule(name="html_502", methods=frozenset({"GET"}), iccids=frozenset({world.iccids[0]})))

    (document,) = world.services.reconciliation.settle(world.provider).bulk_changes

    assert document.counts == {"PROCESSED": 2, "UNCONFIRMED": 1}
    after = document.timings
    assert before.finished_at is not None
    assert (after.finished_at, after.processing_seconds) == (before.finished_at, before.processing_seconds)
    assert after.settled_at is not None
    assert after.settled_at - before.finished_at > timedelta(days=1)
    assert before.work_seconds < after.work_seconds < before.work_seconds + 60
    (unknown,) = world.services.checks.of_everything([Check.NOTHING_UNKNOWN])
    assert [breach.row for breach in unknown.broken] == [f"bulk change {bulk_change_id}"]
    days = [world.services.statistics.day(moment.date()) for moment in (before.finished_at, after.settled_at)]
    assert [int(day.changes["changes"].sum()) for day in days] == [1, 0]
    assert [sum(calls for _, _, calls, _ in day.calls) for day in days] == [document.carrier_calls, 0]


def test_a_third_plan_is_left_to_a_person(make_world: MakeWorld) -> None:
    world = make_world(Options(patience=0.5))
    end_unknown(world, NOT_MADE)
    for iccid in world.iccids:
        world.control.drift(iccid, Drift(rate_plan=THIRD))

    (document,) = world.services.reconciliation.settle(world.provider).bulk_changes

    assert [one.reason for one in document.failures] == ["PLAN_CONFLICT"]


def test_while_the_carrier_is_away_nothing_is_settled_and_nothing_is_guessed(make_world: MakeWorld) -> None:
    world = make_world(Options(patience=0.5))
    end_unknown(world, MADE)
    world.trouble(Rule(name="outage"))

    done = world.services.reconciliation.settle(world.provider)

    assert (done.settled, done.unknown) == (0, 3)


def test_what_ends_unknown_meanwhile_takes_nothing_from_what_was_settled(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=4, patience=0.5))
    meanwhile = world.submit(world.iccids[:3]).bulk_change_id
    end_unknown(world, MADE, world.iccids[3:])
    world.sql(
        "CREATE FUNCTION public.meanwhile() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"UPDATE m2m.bulk_change SET status = 'PARTIAL', finished_at = now() WHERE id = {meanwhile}; "
        f"UPDATE m2m.device_change SET status = 'UNCONFIRMED' WHERE bulk_change_id = {meanwhile}; RETURN NULL; END $$"
    )
    world.sql("CREATE TRIGGER meanwhile AFTER INSERT ON m2m.audit_entry EXECUTE FUNCTION public.meanwhile()")

    done = world.services.reconciliation.settle(world.provider)

    assert (done.settled, done.unknown) == (1, 3)


def test_a_second_pass_has_nothing_to_do(make_world: MakeWorld) -> None:
    world = make_world(Options(patience=0.5))
    end_unknown(world, MADE)
    world.services.reconciliation.settle(world.provider)
    calls = len(world.control.calls())

    done = world.services.reconciliation.settle(world.provider)

    assert (done.settled, done.unknown, list(done.bulk_changes)) == (0, 0, [])
    assert len(world.control.calls()) == calls


def test_a_bulk_change_that_somebody_else_is_settling_is_passed_over(make_world: MakeWorld) -> None:
    world = make_world(Options(patience=0.5))
    end_unknown(world, MADE)
    world.sql("UPDATE m2m.bulk_change SET lease_owner = 'other', lease_expires_at = now() + interval '1 minute'")

    done = world.services.reconciliation.settle(world.provider)

    assert (done.settled, done.unknown) == (0, 3)


def test_an_amop_update_that_failed_is_driven_to_its_end(make_world: MakeWorld) -> None:
    world = make_world()
    refuse = "CREATE FUNCTION m2m.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$"
    world.sql(refuse)
    world.sql("CREATE TRIGGER refuse BEFORE UPDATE ON m2m.device FOR EACH ROW EXECUTE FUNCTION m2m.refuse()")
    document, _ = world.submit_and_run()
    assert document.counts == {"AMOP_FAILED": 3}
    world.sql("DROP TRIGGER refuse ON m2m.device")

    done = world.services.reconciliation.settle(world.provider)

    assert (done.settled, done.unknown) == (3, 0)
    assert world.sql("SELECT DISTINCT rate_plan FROM m2m.device") == [(NEW,)]


def test_many_unknown_outcomes_are_settled_by_list_pages(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=8, patience=0.2, in_flight=20))
    bulk_change_id = world.submit(batch_size=8).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    world.trouble(Rule(name="error500_applied", methods=frozenset({"PUT"})))
    world.trouble(Rule(name="outage", methods=frozenset({"GET"})))
    world.drive(batch)
    world.services.execution.finalize(bulk_change_id, "run-1")
    world.control.stop_all()
    before = len(world.control.calls())

    assert world.settle() == 0
    assert len(world.control.calls()) - before <= 5
    invariants.check_all(world.evidence(bulk_change_id))


def test_few_devices_among_many_of_the_account_are_not_looked_for_page_after_page(make_world: MakeWorld) -> None:
    """How thinly the pages are sown with them shows after the first; the others are then read at once."""
    world = make_world(Options(devices=400, in_flight=20, verify=VerifyMode.NONE))
    unknown = frozenset(world.iccids[::8])
    bulk_change_id = world.submit(batch_size=400).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    world.trouble(Rule(name="error500_applied", methods=frozenset({"PUT"}), iccids=unknown))
    world.trouble(Rule(name="role_denied", methods=frozenset({"GET"}), iccids=unknown))
    world.drive(batch)
    world.services.execution.finalize(bulk_change_id, "run-1")
    world.control.stop_all()
    world.control.set_latency(50, 50)
    before = len(world.control.calls())

    assert world.settle() == 0
    evidence = world.evidence(bulk_change_id)
    pages = [call for call in evidence.calls[before:] if call.path.endswith("/devices")]
    assert len(pages) <= 400 / 50 + 2
    assert rounds(pages) <= 3
    assert {row.status for row in evidence.rows} == {"PROCESSED"}
    invariants.check_all(evidence)


def rounds(calls: Sequence[LedgerCall]) -> int:
    """How often a call was only made when all before it had been answered."""
    return sum(all(other.end and other.end <= call.start for other in calls[:at]) for at, call in enumerate(calls))


def test_what_was_applied_before_amop_was_told_is_told(world: World) -> None:
    """However a device of an ended change came to be APPLIED: AMOP follows, the audit says so, the end is told anew."""
    bulk_change_id = end_unknown(world, MADE)
    world.sql("UPDATE m2m.device_change SET status = 'APPLIED', verified_at = now(), reason = NULL")

    (document,) = world.services.reconciliation.settle(world.provider).bulk_changes

    assert document.status == "PROCESSED"
    evidence = world.evidence(bulk_change_id)
    assert {entry.outcome for entry in evidence.audit if entry.kind == "AMOP_UPDATE"} == {"PROCESSED"}
    assert evidence.bulk.result
    assert evidence.bulk.result["status"] == "PROCESSED"


def test_a_bulk_change_is_not_starved_by_settling(make_world: MakeWorld) -> None:
    """Beside a change, settling takes its share of the account's calls, by the carrier's own ledger."""
    rate, share = 40, 0.2
    world = make_world(Options(devices=140, calls_per_second=rate, in_flight=4, verify=VerifyMode.EACH))
    unknown = world.submit(world.iccids[:40], process_changes=False).bulk_change_id
    world.sql(
        "UPDATE m2m.device_change SET status = 'UNCONFIRMED', reason = 'OUTCOME_UNKNOWN', sent_at = now(), "
        "device_id = (SELECT id FROM m2m.device d WHERE d.iccid = device_change.iccid)"
    )
    world.sql("UPDATE m2m.bulk_change SET status = 'PARTIAL', finished_at = now()")
    (batch,) = world.prepare(world.submit(world.iccids[40:], batch_size=100).bulk_change_id)
    settling = world.application()
    thread = threading.Thread(target=lambda: settling.reconciliation.settle(world.provider))
    before = len(world.control.calls())
    thread.start()
    world.services.execution.change_devices(batch, "run-1", read_ahead=False)
    during = world.control.calls(before)
    world.services.execution.update_amop(batch, "run-1")
    world.services.execution.finalize(batch.bulk_change_id, "run-1")
    thread.join()
    settling.close()

    puts = [call.start for call in during if call.method == "PUT"]
    seconds = max(puts) - min(puts)
    theirs = set(world.iccids[:40])
    beside = sum(call.iccid in theirs and min(puts) < call.start < max(puts) for call in during)
    assert 1 <= beside <= share * rate * seconds + 2
    assert world.services.reporting.document(TENANT, unknown).counts == {"REFUSED": 40}
