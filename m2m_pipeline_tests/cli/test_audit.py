"""`m2m audit`: what it says, and with what status it ends."""

import json
import subprocess
import sys

import pytest

from m2m_pipeline.services.audit.signing import Signatures, generate
from m2m_pipeline_tests.cli.conftest import OURS, Shell
from m2m_pipeline_tests.world import TENANT, World

EVER = ("--from", "2000-01-01", "--to", "2100-01-01")
TAMPER = """
    ALTER TABLE m2m.audit_entry DISABLE TRIGGER USER;
    UPDATE m2m.audit_entry SET actor = 'somebody else' WHERE id = (
        SELECT entry_id FROM m2m.audit_link WHERE number = 3 AND tenant_id = (
            SELECT id FROM m2m.tenant WHERE name = '{tenant}'));
    ALTER TABLE m2m.audit_entry ENABLE TRIGGER USER
"""


@pytest.fixture
def signing(m2m: Shell, world: World) -> Shell:
    """A shell with a key and a place for digests; a bulk change is in the log."""
    world.submit_and_run()
    place = str(m2m.folder / "digests")
    return m2m.with_(M2M_AUDIT_SIGNING_KEY=generate()[0], M2M_AUDIT_DIGEST_TARGET=place)


def tamper(world: World) -> None:
    world.sql(TAMPER.format(tenant=TENANT))


def test_what_was_signed_is_verified(signing: Shell) -> None:
    signed = signing("audit", "digest")
    again = signing("audit", "digest")
    verified = signing("audit", "verify", *OURS)

    assert signed.status == again.status == verified.status == 0, (signed, again, verified)
    assert f"{TENANT}: signed 1 to " in signed.out
    assert again.out == "Nothing has come since the last digests.\n"
    assert f"{TENANT}: the chain proves 1 to " in verified.out
    assert "were signed 2" in verified.out
    assert "0 not sealed yet" in verified.out


def test_a_row_that_was_tampered_with_is_named_and_the_exit_status_is_1(signing: Shell, world: World) -> None:
    signing("audit", "digest")
    tamper(world)
    said = signing("audit", "verify", *OURS)
    (machine,) = json.loads(signing("audit", "verify", *OURS, "--json").out)

    assert said.status == 1
    assert f"{TENANT}: the chain proves 1 to 2;" in said.out
    assert "FAULT. Number 3" in said.out
    assert "not the one that was sealed" in said.out
    assert (machine["holds"], machine["proven"], machine["fault"]["number"]) == (False, 2, 3)


def test_what_was_tampered_with_is_not_signed(signing: Shell, world: World) -> None:
    world.services.auditing.seal()
    tamper(world)
    said = signing("audit", "digest")
    (machine,) = (one for one in json.loads(signing("audit", "digest", "--json").out) if one["tenant"] == TENANT)

    assert said.status == 1
    assert f"{TENANT}: not signed. FAULT. " in said.out
    assert machine["digest"] is None
    assert machine["fault"]["number"] == 3


def test_a_new_key_signs_and_its_public_half_is_for_auditors(bare: Shell) -> None:
    said = bare("audit", "key")
    setting, told = said.out.splitlines()
    secret = setting.removeprefix("M2M_AUDIT_SIGNING_KEY=")

    assert said.status == 0
    assert list(Signatures(secret, ()).public_keys.values()) == [told.rpartition(" ")[2]]
    assert bare("audit", "key").out != said.out


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_export_is_checked_by_its_own_program_and_a_row_changed_in_it_is_noticed(signing: Shell, kind: str) -> None:
    signing("audit", "digest")
    said = signing("audit", "export", *OURS, *EVER, "--format", kind, "--output", "given")
    folder = signing.folder / "given"

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", folder / "check_export.py", folder], capture_output=True, text=True, check=False
        )

    assert (said.status, f"given: {TENANT}, numbers 1 to " in said.out) == (0, True), said
    sound = check()
    entries = folder / f"entries.{kind}"
    entries.write_text(entries.read_text().replace("CARRIER_CALL", "CARRIER_READ", 1))
    forged = check()
    assert (sound.returncode, forged.returncode) == (0, 1), (sound, forged)


def test_an_export_never_writes_over_a_folder(signing: Shell) -> None:
    (signing.folder / "given").mkdir()
    said = signing("audit", "export", *OURS, *EVER, "--output", "given")

    assert said.status == 2
    assert "given exists. Nothing was written" in said.err


@pytest.mark.parametrize(
    ("missing", "named"), [("M2M_AUDIT_SIGNING_KEY", "M2M_AUDIT_SIGNING_KEY"), ("M2M_AUDIT_DIGEST_TARGET", "TARGET")]
)
def test_without_a_key_or_a_place_nothing_is_signed_and_the_setting_is_named(
    signing: Shell, missing: str, named: str
) -> None:
    said = signing.with_(**{missing: ""})("audit", "digest")

    assert said.status != 0
    assert named in said.err
    assert "Traceback" not in said.err
