"""Idempotency keys and tenants: who asked, and whether it was asked before."""

import pytest

from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.domain.request import parse_request
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.reporting import BulkChangeUnknownError
from m2m_pipeline_tests.world import NEW, PROVIDER, World


def test_the_same_key_and_content_is_the_same_bulk_change(world: World) -> None:
    first = world.submit(idempotency_key="k1")
    again = world.submit(idempotency_key="k1")

    assert (again.bulk_change_id, again.replayed) == (first.bulk_change_id, True)
    assert world.count("bulk_change") == 1


def test_a_replay_tells_how_far_the_bulk_change_is(world: World) -> None:
    first = world.submit(idempotency_key="k1")
    world.run(first.bulk_change_id)
    assert world.submit(idempotency_key="k1").status is BulkChangeStatus.PROCESSED
    assert world.puts() == 3


def test_the_same_key_with_other_content_is_a_conflict(world: World) -> None:
    world.submit(world.iccids[:1], idempotency_key="k1")
    assert world.codes(devices=list(world.iccids[1:]), idempotency_key="k1") == ["IDEMPOTENCY_CONFLICT"]


def test_the_same_key_of_another_tenant_is_another_request(world: World) -> None:
    world.submit(idempotency_key="k1")
    other = world.services.accounts.configure("rival", PROVIDER, world.provider_settings(), actor="test")
    world.services.accounts.import_plans(other, [NEW], [])
    with pytest.raises(RequestRejectedError, match="inventory"):
        world.services.submission.submit(
            "rival",
            parse_request({"provider": PROVIDER, "rate_plan": NEW, "devices": world.iccids, "idempotency_key": "k1"}),
            "tester",
        )


@pytest.mark.parametrize("tenant", ["rival", "nobody"])
def test_another_tenants_provider_and_bulk_change_do_not_exist_for_me(world: World, tenant: str) -> None:
    bulk_change_id = world.submit(process_changes=False).bulk_change_id
    world.services.accounts.configure("rival", "other", world.provider_settings(), actor="test")

    for provider in ({"provider": PROVIDER}, {"service_provider_id": world.provider.id}):
        request = parse_request({**provider, "rate_plan": NEW, "devices": world.iccids})
        with pytest.raises(RequestRejectedError) as rejected:
            world.services.submission.submit(tenant, request, "spy")
        assert [problem.code.value for problem in rejected.value.problems] == ["PROVIDER_UNKNOWN"]
    with pytest.raises(BulkChangeUnknownError):
        world.services.submission.process(tenant, bulk_change_id, "spy")
    with pytest.raises(BulkChangeUnknownError):
        world.services.reporting.document(tenant, bulk_change_id)
    with pytest.raises(BulkChangeUnknownError):
        list(world.services.reporting.rows(tenant, bulk_change_id))
