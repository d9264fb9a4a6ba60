"""AMOP's inventory and the plans of a provider."""

from sqlalchemy import text

from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.storage import accounts, inventory, plans
from m2m_pipeline_tests.storage.conftest import ICCIDS, Stock

HOSTILE = '\'; DROP TABLE m2m.device; -- :x %s $1 \\ "q" 漢'


def test_storing_tells_how_many_are_new_or_differ(stock: Stock) -> None:
    readings = [
        DeviceReading(ICCIDS[0], "Old", "Comm"),
        DeviceReading(ICCIDS[1], "Other", "Comm"),
        DeviceReading("8988216716970099999", "Old", "Comm"),
    ]
    with stock.database.begin() as tx:
        assert inventory.store_devices(tx, stock.ours, readings) == 2
        assert inventory.store_devices(tx, stock.ours, readings) == 0


def test_numbers_that_are_not_said_stay_known(stock: Stock) -> None:
    with stock.database.begin() as tx:
        inventory.store_devices(tx, stock.ours, [DeviceReading(ICCIDS[0], "Old", "Comm", msisdn="44", imsi="90")])
        assert inventory.store_devices(tx, stock.ours, [DeviceReading(ICCIDS[0], "Old", "Comm")]) == 0


def test_a_device_with_an_open_change_keeps_its_plan(stock: Stock) -> None:
    stock.record(1)
    readings = [DeviceReading(iccid, "Other", "Comm") for iccid in ICCIDS]
    with stock.database.begin() as tx:
        assert inventory.store_devices(tx, stock.ours, readings) == 2


def test_a_device_is_hindered_where_it_is_not_the_providers_or_a_change_has_it(stock: Stock) -> None:
    holder, stranger = stock.record(1), "8988216716970099999"
    with stock.database.begin() as tx:
        ours = inventory.find_hindered(tx, stock.ours.id, [*ICCIDS[:2], stranger])
        theirs = inventory.find_hindered(tx, stock.theirs.id, ICCIDS)
    assert {(one.iccid, one.known, one.bulk_change_id) for one in ours} == {
        (ICCIDS[0], True, holder),
        (stranger, False, None),
    }
    assert not [one for one in theirs if one.bulk_change_id is not None]


def test_whatever_a_text_looks_like_it_is_stored_as_it_is(stock: Stock) -> None:
    with stock.database.begin() as tx:
        tenant = accounts.ensure_tenant(tx, HOSTILE)
        accounts.insert_provider(tx, tenant.id, HOSTILE, HOSTILE, HOSTILE)
        provider = accounts.find_provider(tx, tenant.id, name=HOSTILE)
        assert provider is not None
        plans.store(tx, provider, [HOSTILE], [HOSTILE])
        accounts.store_credential(tx, provider, HOSTILE, HOSTILE.encode())
        inventory.store_devices(tx, provider, [DeviceReading(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)])
    with stock.database.begin() as tx:
        found = accounts.find_provider(tx, tenant.id, name=HOSTILE)
        assert found == provider
        assert (provider.name, provider.base_url) == (HOSTILE, HOSTILE)
        assert plans.has_rate_plan(tx, provider.id, HOSTILE)
        assert plans.has_communication_plan(tx, provider.id, HOSTILE)
        assert accounts.find_credential(tx, provider.id) == (HOSTILE, HOSTILE.encode())
        assert list(inventory.find_plans(tx, provider.id, [HOSTILE])) == [HOSTILE]
        assert len(inventory.find_plans(tx, stock.ours.id, ICCIDS)) == 3


def test_a_retired_plan_that_is_named_again_is_back(stock: Stock) -> None:
    with stock.database.begin() as tx:
        plans.store(tx, stock.ours, ["A", "A"], [])
        tx.execute(text("UPDATE m2m.carrier_rate_plan SET retired_at = clock_timestamp()"))
        assert not plans.has_rate_plan(tx, stock.ours.id, "A")
        plans.store(tx, stock.ours, ["A"], [])
        assert plans.has_rate_plan(tx, stock.ours.id, "A")
        assert not plans.has_rate_plan(tx, stock.theirs.id, "A")


def test_a_provider_is_found_by_name_by_id_or_by_both_and_never_by_neither(stock: Stock) -> None:
    tenant = stock.ours.tenant_id
    with stock.database.begin() as tx:
        assert accounts.find_provider(tx, tenant, name="att") == stock.ours
        assert accounts.find_provider(tx, tenant, provider_id=stock.ours.id) == stock.ours
        assert accounts.find_provider(tx, tenant, name="att", provider_id=stock.ours.id) == stock.ours
        assert accounts.find_provider(tx, tenant, name="att", provider_id=stock.theirs.id) is None
        assert accounts.find_provider(tx, tenant, provider_id=stock.theirs.id) is None
        assert accounts.find_provider(tx, tenant) is None
