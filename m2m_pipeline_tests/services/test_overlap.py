"""Changes that share devices, where the later may wait: one at a time has a device, and the last accepted wins."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import pytest
from pydantic import SecretStr

from m2m_pipeline.bootstrap import build
from m2m_pipeline.domain.attempt import NotClaimableError
from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.domain.request import parse_request
from m2m_pipeline.services.reporting import ResultDocument
from m2m_pipeline.settings import Settings
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests import invariants
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import NEW, OLD, PROVIDER, TENANT, THIRD, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads")


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(Options(overlap="wait"))


def head(world: World) -> list[int]:
    """What the dispatch sensor would start."""
    return [queued.id for queued in world.services.queue.head()]


def statuses(world: World, bulk_change_id: int) -> dict[str, str]:
    rows = world.sql("SELECT iccid, status FROM m2m.device_change WHERE bulk_change_id = %s", bulk_change_id)
    return {str(iccid): str(status) for iccid, status in rows}


def plans(world: World) -> dict[str, str]:
    """What the carrier has."""
    return {device.iccid: device.rate_plan for device in world.control.devices()}


def run_all(world: World) -> list[ResultDocument]:
    """Run what the queue gives, in its order, until it gives nothing."""
    ended: list[ResultDocument] = []
    while waiting := head(world):
        ended.append(world.run(waiting[0], f"run-{len(ended)}"))
    return ended


def test_the_later_change_waits_for_the_earlier_and_wins(world: World) -> None:
    first, second, third = world.iccids
    earlier = world.submit([first, second]).bulk_change_id
    later = world.submit([second, third], rate_plan=THIRD).bulk_change_id

    assert statuses(world, later) == {second: "WAITING", third: "PENDING"}
    assert head(world) == [earlier]
    assert world.services.queue.waits_for(later) == earlier
    with pytest.raises(NotClaimableError, match=rf"waits for bulk change {earlier},"):
        world.run(later)

    assert [(one.id, one.status) for one in run_all(world)] == [(earlier, "PROCESSED"), (later, "PROCESSED")]
    assert plans(world) == {first: NEW, second: THIRD, third: THIRD}
    assert world.services.queue.waits_for(later) is None
    evidence = world.evidence(later)
    invariants.i3_the_status_agrees_with_carrier_and_amop(evidence)
    invariants.i4_every_device_is_audited(evidence)
    invariants.i7_only_legal_transitions(evidence)
    assert [change.to_plan for change in world.control.changes() if change.iccid == second] == [NEW, THIRD]


def test_a_device_that_a_change_is_done_with_is_waited_for_no_longer(world: World) -> None:
    earlier = world.submit(batch_size=1).bulk_change_id
    later = world.submit(world.iccids[:1], rate_plan=OLD).bulk_change_id
    first, second, third = world.prepare(earlier)
    world.drive(first)

    assert head(world) == [later]
    assert world.run(later, "run-2").status == "PROCESSED"
    for batch in (second, third):
        world.drive(batch)
    assert world.services.execution.finalize(earlier, "run-1").status == "PROCESSED"
    assert sorted(plans(world).values()) == [NEW, NEW, OLD]


def test_of_three_each_waits_for_all_before_it(world: World) -> None:
    chain = [world.submit(rate_plan=plan).bulk_change_id for plan in (NEW, THIRD, OLD)]

    assert head(world) == chain[:1]
    assert world.services.queue.waits_for(chain[2]) == chain[1]
    assert [one.id for one in run_all(world)] == chain
    assert set(plans(world).values()) == {OLD}


def test_one_that_waits_is_waited_for_though_it_holds_nothing_yet(world: World) -> None:
    earlier = world.submit().bulk_change_id
    later = world.submit(rate_plan=THIRD).bulk_change_id
    world.run(earlier)
    last = world.submit(rate_plan=OLD).bulk_change_id

    assert head(world) == [later]
    assert set(statuses(world, last).values()) == {"WAITING"}


def test_a_failed_change_lets_the_next_begin(world: World) -> None:
    rule = world.trouble(Rule(name="device_refused"))
    world.submit()
    later = world.submit(rate_plan=THIRD).bulk_change_id
    failed = world.run(head(world)[0])
    world.control.stop(rule)

    assert failed.status == "FAILED"
    assert [(one.id, one.status) for one in run_all(world)] == [(later, "PROCESSED")]


def test_a_device_whose_outcome_the_earlier_never_learned_is_refused_by_name(world: World) -> None:
    first, second, _ = world.iccids
    earlier = world.submit([first]).bulk_change_id
    later = world.submit([first, second], rate_plan=THIRD).bulk_change_id
    world.prepare(earlier)
    world.sql("UPDATE m2m.device_change SET status = 'SENDING' WHERE bulk_change_id = %s", earlier)
    world.sql("UPDATE m2m.device_change SET status = 'UNCONFIRMED' WHERE bulk_change_id = %s", earlier)
    world.services.execution.finalize(earlier, "run-1")
    document = world.run(later, "run-2")

    assert (document.status, document.counts) == ("PARTIAL", {"PROCESSED": 1, "REFUSED": 1})
    (reason,) = document.failures
    assert (reason.reason, reason.examples) == ("OPEN_CHANGE", (first,))
    assert f"bulk change {earlier}" in str(reason.message)


def test_nobody_waits_for_a_change_that_waits_for_a_persons_word(world: World) -> None:
    recorded = world.submit(process_changes=False).bulk_change_id

    (problem, *_) = world.problems(rate_plan=THIRD)
    assert problem.code == "OPEN_CHANGE"
    assert f"bulk change {recorded}," in problem.message


def test_a_waiting_request_that_holds_no_longer_is_rejected_with_all_its_devices(world: World) -> None:
    world.submit()
    later = world.submit(rate_plan=THIRD).bulk_change_id
    world.run(head(world)[0])
    world.sql("DELETE FROM m2m.carrier_rate_plan WHERE name = %s", THIRD)
    with pytest.raises(RequestRejectedError):
        world.run(later, "run-2")

    assert set(statuses(world, later).values()) == {"REFUSED"}
    assert world.services.reporting.document(TENANT, later).status == "REJECTED"


@pytest.mark.parametrize("overlap", ["refuse", "wait"])
def test_from_many_processes_at_once_each_device_has_one_change_and_nobody_waits_for_ever(
    make_world: MakeWorld, overlap: str
) -> None:
    world = make_world(Options(devices=40, overlap="wait" if overlap == "wait" else "refuse"))
    orders = [world.iccids, tuple(reversed(world.iccids)), world.iccids[20:], world.iccids[:30]]
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        told = list(pool.map(_submit, [(world.database_url, overlap, order) for order in orders * 2]))

    assert world.sql(
        "SELECT count(*) FROM (SELECT iccid FROM m2m.device_change WHERE status = 'PENDING' GROUP BY iccid "
        "HAVING count(*) > 1) twice"
    ) == [(0,)]
    ended = run_all(world)
    assert all(one.status == "PROCESSED" for one in ended)
    assert [one.id for one in ended] == sorted(one.id for one in ended)
    accepted = [one for one in told if one]
    assert sorted(accepted) == [one.id for one in ended]
    assert len(accepted) == 8 if overlap == "wait" else 1 <= len(accepted) < 8


def _submit(given: tuple[str, str, Sequence[str]]) -> int | None:
    """Submit from a process of its own; None where it is rejected for devices that another change has."""
    url, overlap, chosen = given
    services = build(
        Settings(database_url=SecretStr(url), overlap="wait" if overlap == "wait" else "refuse"),
    )
    try:
        request = parse_request({"provider": PROVIDER, "rate_plan": NEW, "devices": list(chosen)})
        return services.submission.submit(TENANT, request, "tester").bulk_change_id
    except RequestRejectedError as rejected:
        if {problem.code for problem in rejected.problems} != {"OPEN_CHANGE"}:
            raise
        return None
    finally:
        services.close()
