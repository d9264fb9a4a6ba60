"""Requests in hard times: a database that is cut off or refuses, values that mean harm."""

import pytest

from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.storage.database import DatabaseRefusedError, DatabaseUnavailableError
from m2m_pipeline_tests.world import TENANT, World


def test_a_request_cut_off_midway_leaves_nothing(world: World) -> None:
    world.sql(
        """
        CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_terminate_backend(pg_backend_pid());
            RETURN NULL;
        END $$
        """
    )
    world.sql("CREATE TRIGGER cut AFTER INSERT ON m2m.device_change EXECUTE FUNCTION public.cut()")
    with pytest.raises(DatabaseUnavailableError, match="Nothing of it was recorded"):
        world.submit()
    for table in ("bulk_change", "device_change"):
        assert world.count(table) == 0
    world.sql("DROP TRIGGER cut ON m2m.device_change")
    assert world.submit().status is BulkChangeStatus.QUEUED


def test_a_database_that_refuses_a_row_is_told_without_its_words(world: World) -> None:
    world.sql("ALTER TABLE m2m.device_change ADD CONSTRAINT never CHECK (row_number < 3)")
    with pytest.raises(DatabaseRefusedError) as refused:
        world.submit()
    assert world.iccids[0] not in str(refused.value)
    assert "INSERT" not in str(refused.value)
    assert world.count("bulk_change") == 0


@pytest.mark.parametrize(
    "value",
    ["'; DROP TABLE m2m.device; --", "x' OR '1'='1", ":name %s %(name)s {name} $1", "\\", 'ünïcode "quotes" 漢字 🚀'],
)
def test_what_looks_like_sql_is_text(world: World, value: str) -> None:
    world.services.accounts.import_plans(world.provider, [value], [value])
    world.import_devices(world.iccids[:1], value)
    recorded = world.submit(
        world.iccids[1:2], rate_plan=value, communication_plan=value, idempotency_key=value, invalid_rows="skip"
    )

    assert world.sql("SELECT rate_plan, communication_plan, idempotency_key FROM m2m.bulk_change") == [(value,) * 3]
    assert world.submit(
        world.iccids[1:2], rate_plan=value, communication_plan=value, idempotency_key=value, invalid_rows="skip"
    ).replayed
    document = world.services.reporting.document(TENANT, recorded.bulk_change_id)
    assert document.rate_plan == value
    assert "PROVIDER_UNKNOWN" in world.codes(provider=value)
    assert world.count("device") == 3


def test_no_value_reaches_the_database_that_it_cannot_hold(world: World) -> None:
    impossible: list[dict[str, object]] = [
        {"provider": "a\0b"},
        {"rate_plan": "a\0b"},
        {"communication_plan": "a\0b"},
        {"idempotency_key": "a\0b"},
        {"effective_date": "a\0b"},
        {"devices": ["89882\0"]},
        {"devices": ["\ud800"]},
        {"service_provider_id": 10**30, "provider": None},
        {"service_provider_id": -(10**30), "provider": None},
        {"service_provider_id": -1, "provider": None},
    ]
    assert [fields for fields in impossible if not world.problems(**fields)] == []


def test_a_row_that_the_database_cannot_hold_is_recorded_as_malformed(world: World) -> None:
    world.submit(devices=["89882\0"], invalid_rows="skip")
    assert world.sql("SELECT status, reason FROM m2m.device_change") == [("REFUSED", "ICCID_MALFORMED")]
