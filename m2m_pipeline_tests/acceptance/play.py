"""The bulk changes of the six ends: all are submitted first and run side by side, each on an account of its own."""

import json
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.acceptance.accounts import BARRED, CANARY, NEW, Account
from m2m_pipeline_tests.acceptance.gateway import closed_gateway
from m2m_pipeline_tests.acceptance.site import Ended, Site
from m2m_pipeline_tests.acceptance.waiting import eventually

REFUSED, UNKNOWN_THERE, ANSWER_LOST, NOT_APPLIED, DARK = 1, 2, 3, 4, 5
"""The places of the devices of the partial change that meet trouble."""


@dataclass(frozen=True, slots=True)
class Said:
    """What `m2m submit --wait --json` said and how it exited."""

    status: int
    document: dict[str, Any]


class Play:
    """Submits every bulk change; `ends` waits for all of them."""

    def __init__(self, site: Site, folder: Path, stack: ExitStack) -> None:
        self._site = site
        self._folder = folder
        self._stack = stack
        self.submitted: dict[str, tuple[Account, int]] = {}
        self._commands: dict[str, tuple[Account, subprocess.Popen[str]]] = {}
        self.ends: dict[str, Ended] = {}
        self.said: dict[str, Said] = {}

    def perform(self) -> None:
        """Submit them all, and wait for the ends; afterwards the sensor has ticked once more."""
        self.partial()
        self.success()
        self.carrier_away()
        self.success_in_batches()
        self.denied()
        self.amop_refuses_one_row()
        self.never_processed()
        self.plan_retired_meanwhile()
        self.carrier_back_in_time()
        self._to_the_end()

    def success(self) -> None:
        account = self._site.account()
        self._command("success", account, account.iccids[:3], "--priority", "7")

    def success_in_batches(self) -> None:
        account = self._site.account()
        self._submit("batches", account, devices=9, batch_size=3)

    def partial(self) -> None:
        account = self._site.account()
        iccids = account.iccids[:7]
        for rule in (
            Rule(name="device_refused", iccids=frozenset({iccids[REFUSED]})),
            Rule(name="device_transferred", iccids=frozenset({iccids[UNKNOWN_THERE]})),
            Rule(name="applied_then_reset", iccids=frozenset({iccids[ANSWER_LOST], iccids[DARK]})),
            Rule(name="ok_not_applied", iccids=frozenset({iccids[NOT_APPLIED]})),
            Rule(name="role_denied", iccids=frozenset({iccids[DARK]}), methods=frozenset({"GET"})),
        ):
            self._site.control.start(rule)
        self._command("partial", account, iccids, "--batch-size", "4")

    def denied(self) -> None:
        site = self._site
        self._submit("wrong_key", site.account(ProviderSettings(api_key=f"{CANARY}-wrong")))
        self._submit("blocked_address", site.account(username=BARRED))
        self._submit("writes_disabled", site.account(ProviderSettings(writes_enabled=False)))
        self._submit("no_credential", site.account_without_credential())

    def plan_retired_meanwhile(self) -> None:
        account = self._site.account()
        bulk_change_id = self._submit("retired", account, process_changes=False)
        self._site.sql(
            "UPDATE m2m.carrier_rate_plan p SET retired_at = now() FROM m2m.service_provider s "
            "WHERE p.service_provider_id = s.id AND s.name = %s AND p.name = %s",
            account.provider,
            NEW,
        )
        said = self._site.command("process", str(bulk_change_id), "--tenant", account.tenant)
        assert said.stdout.strip() == "QUEUED", said

    def carrier_away(self) -> None:
        gateway = self._stack.enter_context(closed_gateway(self._site.carrier_url))
        account = self._site.account(ProviderSettings(base_url=gateway.url))
        self._submit("away", account)

    def carrier_back_in_time(self) -> None:
        gateway = self._stack.enter_context(closed_gateway(self._site.carrier_url))
        account = self._site.account(ProviderSettings(base_url=gateway.url))
        bulk_change_id = self._submit("back", account)
        started = "SELECT 1 FROM m2m.bulk_change WHERE id = %s AND status = 'PROCESSING'"
        eventually(
            lambda: self._site.sql(started, bulk_change_id) or None,
            "the run that waits for the carrier",
            lambda: self._site.story(bulk_change_id),
        )
        gateway.open()

    def amop_refuses_one_row(self) -> None:
        account = self._site.account()
        self._site.sql(_REFUSE_ROW.format(iccid=account.iccids[1]))
        self._submit("amop", account, devices=4, batch_size=4)

    def never_processed(self) -> None:
        account = self._site.account()
        self.submitted["new"] = (account, self._site.submit(account, account.iccids[:1], process_changes=False))

    def _to_the_end(self) -> None:
        for name, (account, process) in self._commands.items():
            output, errors = process.communicate(timeout=240)
            assert output, errors
            document = json.loads(output)
            self.said[name] = Said(process.returncode, document)
            self.submitted[name] = (account, document["id"])
        for name, (account, bulk_change_id) in self.submitted.items():
            if name != "new":
                self.ends[name] = self._site.ended(bulk_change_id, account)
        self._site.next_tick()

    def _submit(self, name: str, account: Account, devices: int = 3, **fields: object) -> int:
        bulk_change_id = self._site.submit(account, account.iccids[:devices], **fields)
        self.submitted[name] = (account, bulk_change_id)
        return bulk_change_id

    def _command(self, name: str, account: Account, iccids: Sequence[str], *options: str) -> None:
        file = self._folder / f"{name}.csv"
        arguments = self._site.submit_command(account, file, iccids, *options, "--wait", "--json")
        process = self._stack.enter_context(self._site.start_command(*arguments))
        self._commands[name] = (account, process)


_REFUSE_ROW = """
CREATE FUNCTION public.refuse_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'this row is bad'; END $$;
CREATE TRIGGER refuse_row BEFORE UPDATE ON m2m.device FOR EACH ROW WHEN (NEW.iccid = '{iccid}')
EXECUTE FUNCTION public.refuse_row();
"""
