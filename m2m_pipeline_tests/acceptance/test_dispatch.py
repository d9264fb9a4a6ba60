"""What the sensor and the graph make of a bulk change: runs, steps, tags; and of one that nobody may have."""

import pytest

from m2m_pipeline_tests.acceptance.play import Play
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.invariants import check_all

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]

STRANGER = "globex"
BATCH_STEPS = ("change_devices", "update_amop", "write_audit")


def test_a_small_change_is_one_step_a_device_with_its_iccid_as_the_key(play: Play, site: Site) -> None:
    end = play.ends["success"]

    expected = [f"{step}[{iccid}]" for iccid in end.account.iccids[:3] for step in BATCH_STEPS]
    assert [step for step in site.steps(end.run.run_id) if "[" in step] == expected


def test_a_batch_is_in_amop_and_audited_before_the_one_after_the_next_calls_the_carrier(play: Play, site: Site) -> None:
    end = play.ends["batches"]
    batches = [set(end.account.iccids[first : first + 3]) for first in (0, 3, 6)]

    expected = [f"{step}[batch_{number:04}]" for number in (1, 2, 3) for step in BATCH_STEPS]
    assert [step for step in site.steps(end.run.run_id) if "[" in step] == expected
    first_calls = [min(call.wall for call in end.evidence.puts() if call.iccid in batch) for batch in batches]
    audited = [_audited_at(site, end.document.id, batch) for batch in batches]
    assert audited[0] < first_calls[2]
    assert first_calls[1] < audited[0]  # that one is sent while this one is settled
    check_all(end.evidence)


def _audited_at(site: Site, bulk_change_id: int, batch: set[str]) -> float:
    ((at,),) = site.sql(
        "SELECT max(extract(epoch FROM at))::float8 FROM m2m.audit_entry "
        "WHERE bulk_change_id = %s AND kind = 'AMOP_UPDATE' AND iccid = ANY(%s)",
        bulk_change_id,
        sorted(batch),
    )
    assert isinstance(at, float)
    return at


def test_a_run_carries_priority_tenant_provider_and_attempt_and_no_user_of_the_carrier(play: Play) -> None:
    end = play.ends["success"]
    tags = end.run.tags

    assert tags["dagster/priority"] == "7"
    assert tags["dagster/run_key"] == f"bulk-change-{end.document.id}-attempt-1"
    assert (tags["m2m/tenant"], tags["m2m/provider"]) == (end.account.tenant, end.account.provider)
    assert tags["m2m/account"] not in {"", end.account.username}


def test_a_change_recorded_as_new_waits_for_somebody_to_say_process(play: Play, site: Site) -> None:
    account, bulk_change_id = play.submitted["new"]

    assert site.document(bulk_change_id).status == "NEW"
    assert site.runs(bulk_change_id) == []
    assert site.puts(account) == 0


def test_another_tenants_bulk_change_is_unknown(play: Play, site: Site) -> None:
    _, bulk_change_id = play.submitted["new"]

    for command in ("status", "result", "process"):
        said = site.command(command, str(bulk_change_id), "--tenant", STRANGER)
        assert (said.returncode, said.stdout) == (2, ""), said
        assert f"no bulk change {bulk_change_id}" in said.stderr
    assert site.document(bulk_change_id).status == "NEW"
