"""Commands about carrier accounts."""

import json

import pytest

from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.cli.conftest import OURS, Shell
from m2m_pipeline_tests.world import API_KEY, COMM_OLD, NEW, OLD, PROVIDER, USERNAME, World


def test_an_account_from_nothing_to_a_synced_inventory(m2m: Shell, world: World) -> None:
    made = m2m(
        *("provider", "set", "fresh", "--integration", "pod19", "--base-url", world.carrier_url),
        *("--username", USERNAME, "--api-key-file", "-", "--calls-per-second", "100", "--writes"),
        stdin=f"{API_KEY}\n",
    )
    assert (made.status, made.err) == (0, "")
    synced = m2m("devices", "sync", "--provider", "fresh")
    assert (synced.status, synced.out.strip()) == (0, "3 devices, 3 new or changed")
    listed = m2m("provider", "list", "--json")

    (provider,) = json.loads(listed.out)
    assert (provider["name"], provider["integration_type"], provider["writes_enabled"]) == ("fresh", "POD19", True)
    assert world.sql(
        "SELECT DISTINCT d.rate_plan, d.communication_plan FROM m2m.device d JOIN m2m.service_provider p "
        "ON p.id = d.service_provider_id WHERE p.name = 'fresh'"
    ) == [(OLD, COMM_OLD)]
    stored = world.sql("SELECT ciphertext FROM m2m.carrier_credential")
    told = f"{made} {synced} {listed} {stored} {world.sql('SELECT * FROM m2m.audit_entry')}"
    assert API_KEY not in told


def test_plans_and_devices_come_from_files(m2m: Shell, world: World) -> None:
    plans = m2m.file("plans.csv", "name,communication_plan\nPlan X,Comm X\nPlan Y,\n")
    devices = m2m.file("devices.csv", f"iccid,rate_plan\n{world.iccids[0]},{NEW}\n8988216716970099999,{OLD}\n")
    assert m2m("plans", "import", plans, "--provider", PROVIDER, *OURS).out == "2 rate plans, 1 communication plans\n"
    assert m2m("devices", "import", devices, "--provider", PROVIDER, *OURS).out == "2 devices, 2 new or changed\n"
    assert world.sql("SELECT rate_plan FROM m2m.device WHERE iccid = %s", world.iccids[0]) == [(NEW,)]


def test_an_integration_that_nobody_serves_is_refused_with_those_that_are(m2m: Shell) -> None:
    ended = m2m("provider", "set", "x", "--integration", "Telegence", "--base-url", "https://carrier.example")
    assert (ended.status, ended.out) == (2, "")
    assert "POD19" in ended.err


@pytest.mark.parametrize("name", ["two\nlines", "bell\a", "", "x" * 201, "line\u2028separator"])
def test_a_name_that_no_mail_and_no_log_can_show_is_refused_to_providers_and_tenants(
    m2m: Shell, world: World, name: str
) -> None:
    """It would stand in subjects, logs and commands."""
    new = ("--integration", "POD19", "--base-url", "https://carrier.example")
    tries = {
        "provider": m2m("provider", "set", name, *new, *OURS),
        "tenant": m2m("provider", "set", "fine", *new, "--tenant", name),
    }
    tries["of a key"] = m2m("key", "create", "--role", "viewer", "--tenant", name)
    for what, ended in tries.items():
        assert (ended.status, ended.out) == (2, ""), what
        assert "printable" in ended.err
        assert name not in ended.err or not name
    assert world.count("service_provider") == 1


def test_half_a_credential_is_refused(m2m: Shell) -> None:
    ended = m2m("provider", "set", PROVIDER, "--username", "someone", *OURS)
    assert ended.status == 2
    assert "set together" in ended.err


def test_a_base_url_with_a_key_in_it_is_refused_without_repeating_it(m2m: Shell) -> None:
    ended = m2m("provider", "set", "x", "--integration", "POD19", "--base-url", "https://u:s3cret@carrier.example")
    assert ended.status == 2
    assert "s3cret" not in ended.err
    assert "Traceback" not in ended.err


def test_a_carrier_that_refuses_the_key_is_told_with_its_code(m2m: Shell, world: World) -> None:
    world.trouble(Rule(name="key_revoked"))
    ended = m2m("devices", "sync", "--provider", PROVIDER, *OURS)
    assert (ended.status, ended.out) == (3, "")
    assert "10000001" in ended.err
    assert "Traceback" not in ended.err


def test_a_credential_that_no_key_opens_is_told_without_a_trace(m2m: Shell, bare: Shell) -> None:
    other = bare("key", "generate").out.strip()
    ended = m2m.with_(M2M_ENCRYPTION_KEYS=other)("devices", "sync", "--provider", PROVIDER, *OURS)
    assert (ended.status, ended.out) == (2, "")
    assert "M2M_ENCRYPTION_KEYS" in ended.err
    assert other not in ended.err


def test_without_an_encryption_key_nothing_is_stored(m2m: Shell, world: World) -> None:
    ended = m2m.with_(M2M_ENCRYPTION_KEYS="")(
        *("provider", "set", PROVIDER, "--username", "new", "--api-key-file", "-", *OURS), stdin="secret-9"
    )
    assert ended.status == 2
    assert "M2M_ENCRYPTION_KEYS" in ended.err
    assert "secret-9" not in ended.err
    assert world.sql("SELECT username FROM m2m.carrier_credential") == [(USERNAME,)]


def test_a_key_in_a_secret_store_is_named_and_shown_by_its_reference(m2m: Shell) -> None:
    reference = "aws-sm:prod/att#api_key"
    assert m2m("provider", "set", PROVIDER, "--username", USERNAME, "--api-key-ref", reference, *OURS).status == 0

    (provider,) = json.loads(m2m("provider", "list", "--json", *OURS).out)
    assert provider["credential"] == reference
    assert f"API key     {reference}" in m2m("provider", "list", *OURS).out


def test_a_key_where_its_reference_should_be_is_refused_without_repeating_it(m2m: Shell, world: World) -> None:
    ended = m2m("provider", "set", PROVIDER, "--username", USERNAME, "--api-key-ref", "s3cret-key", *OURS)
    assert (ended.status, ended.out) == (2, "")
    assert "aws-sm:NAME-OR-ARN" in ended.err
    assert "s3cret-key" not in ended.err
    assert world.sql("SELECT reference FROM m2m.carrier_credential") == [(None,)]


def test_a_secret_store_that_does_not_answer_is_told_and_a_retry_helps(m2m: Shell) -> None:
    away = m2m.with_(
        M2M_SECRETS_MANAGER_REGION="eu-west-1",
        M2M_SECRETS_MANAGER_ENDPOINT_URL="http://127.0.0.1:1",
        AWS_ACCESS_KEY_ID="id",
        AWS_SECRET_ACCESS_KEY="s3cret-key",
    )
    away("provider", "set", PROVIDER, "--username", USERNAME, "--api-key-ref", "aws-sm:prod/att", *OURS)
    ended = away("devices", "sync", "--provider", PROVIDER, *OURS)
    assert (ended.status, ended.out) == (3, "")
    assert "Trying again may help." in ended.err
    assert "s3cret-key" not in ended.err
    assert "Traceback" not in ended.err
