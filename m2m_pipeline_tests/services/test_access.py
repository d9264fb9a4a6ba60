"""A provider that does not let us in: the bulk change ends as FAILED, no device is touched, the security log knows."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cryptography.fernet import Fernet

from m2m_pipeline.domain.accounts import Credential
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.services.execution.execution import AccessDeniedError
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import API_KEY, NEW, OWNER, PROVIDER, TENANT, USERNAME, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads")

SECRET_KEY = "wr0ng-s3cret"


@dataclass(frozen=True)
class Case:
    """What keeps us out, and the reason that must be given."""

    name: str
    spoil: Callable[[World], object]
    reason: str


def configure(world: World, settings: ProviderSettings) -> None:
    world.services.accounts.configure(TENANT, PROVIDER, settings, actor="test")


def lose_the_encryption_key(world: World) -> None:
    world.services.close()
    world.services = world.application(keys=[Fernet.generate_key().decode()])


CASES = (
    Case("no credential", lambda world: world.sql("DELETE FROM m2m.carrier_credential"), "CREDENTIAL_MISSING"),
    Case("another encryption key", lose_the_encryption_key, "CREDENTIAL_UNREADABLE"),
    Case(
        "writes disabled",
        lambda world: configure(world, ProviderSettings(writes_enabled=False)),
        "WRITES_DISABLED",
    ),
    Case(
        "a wrong API key",
        lambda world: configure(world, ProviderSettings(username=USERNAME, api_key=SECRET_KEY)),
        "CARRIER_SIGN_IN_REFUSED",
    ),
    Case("our address blocked", lambda world: world.trouble(Rule(name="ip_blocked")), "CARRIER_SIGN_IN_REFUSED"),
    Case("a role without access", lambda world: world.trouble(Rule(name="role_denied")), "CARRIER_ROLE_REFUSED"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_provider_that_keeps_us_out_ends_the_bulk_change_as_failed_with_no_device_touched(
    make_world: MakeWorld, case: Case
) -> None:
    world = make_world(Options(patience=0.2))
    bulk_change_id = world.submit().bulk_change_id
    case.spoil(world)
    with pytest.raises(AccessDeniedError) as denied:
        world.run(bulk_change_id)
    evidence = world.evidence(bulk_change_id)

    assert evidence.bulk.status == BulkChangeStatus.FAILED
    assert evidence.bulk.reason == case.reason
    assert not evidence.puts()
    assert {(row.status, row.reason, row.attempts) for row in evidence.rows} == {("REFUSED", case.reason, 0)}
    (alarm,) = [entry for entry in evidence.audit if entry.kind == "CARRIER_SIGN_IN_FAILED"]
    assert (alarm.reason, alarm.actor) == (case.reason, f"run {OWNER}")
    told = f"{denied.value} {alarm.message}"
    assert API_KEY not in told
    assert SECRET_KEY not in told
    check_all(evidence)


def test_a_carrier_that_is_away_ends_the_bulk_change_and_is_no_matter_of_security(make_world: MakeWorld) -> None:
    world = make_world(Options(patience=0.2))
    bulk_change_id = world.submit().bulk_change_id
    world.trouble(Rule(name="outage"))
    with pytest.raises(AccessDeniedError):
        world.run(bulk_change_id)
    evidence = world.evidence(bulk_change_id)

    assert (evidence.bulk.status, evidence.bulk.reason) == (BulkChangeStatus.FAILED, "CARRIER_UNREACHABLE")
    assert not evidence.puts()
    assert not [entry for entry in evidence.audit if entry.kind == "CARRIER_SIGN_IN_FAILED"]
    check_all(evidence)


def test_a_change_that_needs_no_call_is_not_done_where_the_account_keeps_us_out(make_world: MakeWorld) -> None:
    world = make_world()
    world.import_devices(world.iccids, NEW)
    bulk_change_id = world.submit().bulk_change_id
    world.sql("UPDATE m2m.service_provider SET writes_enabled = false")
    with pytest.raises(AccessDeniedError):
        world.run(bulk_change_id)

    assert world.evidence(bulk_change_id).bulk.status == BulkChangeStatus.FAILED


def test_writes_that_are_disabled_cost_no_call_at_all(make_world: MakeWorld) -> None:
    world = make_world(Options(writes=False))
    with pytest.raises(AccessDeniedError):
        world.run(world.submit().bulk_change_id)
    assert not world.control.calls()


def test_a_carrier_that_comes_back_within_the_patience_is_waited_for(make_world: MakeWorld) -> None:
    world = make_world(Options(patience=20.0))
    world.trouble(Rule(name="outage", lasts_s=0.5))
    document, evidence = world.submit_and_run()

    assert document.status is BulkChangeStatus.PROCESSED
    check_all(evidence)


def test_a_credential_that_is_lost_after_the_sign_in_stops_what_is_not_sent(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    first, *rest = world.prepare(bulk_change_id)
    world.drive(first)
    world.sql("DELETE FROM m2m.carrier_credential")
    for batch in rest:
        world.drive(batch)
    document = world.services.execution.finalize(bulk_change_id, OWNER)

    assert document.status is BulkChangeStatus.PARTIAL
    assert document.counts == {"PROCESSED": 1, "REFUSED": 2}
    assert document.reason == "CREDENTIAL_MISSING"
    assert world.puts() == 1


def refuse(world: World, event: str) -> None:
    """From now on the database refuses such a statement."""
    world.sql(
        "CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; "
        f"CREATE TRIGGER no BEFORE {event} EXECUTE FUNCTION public.no()"
    )


def test_calls_that_cannot_be_counted_at_the_end_do_not_hide_what_kept_us_out(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.services.execution.validate_request(bulk_change_id, OWNER)
    world.trouble(Rule(name="role_denied"))
    refuse(world, "UPDATE OF carrier_calls ON m2m.bulk_change")

    with pytest.raises(AccessDeniedError):
        world.services.execution.authenticate_carrier(bulk_change_id, OWNER)
    assert "carrier calls not counted: 1. The database refused the work" in caplog.text


def test_permits_that_cannot_be_given_back_at_the_end_hide_no_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a run ends while it asks for permits."""
    attempt = world.services.execution.claim(world.submit().bulk_change_id, OWNER)
    credential = world.services.sessions.credential(world.provider)
    assert isinstance(credential, Credential)
    refuse(world, "DELETE ON m2m.carrier_call FOR EACH ROW")

    async def end_while_it_asks() -> None:
        session = world.services.sessions.open(attempt, world.provider, credential)
        asking = asyncio.create_task(session.carrier.check_access())
        while session.carrier.pacer._asking is None:  # noqa: ASYNC110 -- it must not get further than that
            await asyncio.sleep(0)
        asking.cancel()
        await session.close()

    asyncio.run(end_while_it_asks())
    assert "The account was not told" in caplog.text
