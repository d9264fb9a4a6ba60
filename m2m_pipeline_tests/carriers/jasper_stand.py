"""The simulator as the Jasper adapter's stand."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

from m2m_pipeline.domain.accounts import Credential
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.simulator.documents import Account, Device, World
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.carriers.contract import NEW_PLAN, OLD_PLAN, Stand, Trouble

SCENARIOS = {
    Trouble.APPLIED_THEN_RESET: "applied_then_reset",
    Trouble.APPLIED_THEN_SILENCE: "applied_then_silence",
    Trouble.APPLIED_THEN_SERVER_ERROR: "error500_applied",
    Trouble.GATEWAY_ERROR: "html_502",
    Trouble.RATE_LIMITED: "rate_limited",
    Trouble.ROLE_REFUSED: "role_denied",
    Trouble.KEY_REVOKED: "key_revoked",
    Trouble.ACCEPTED_NOT_YET_APPLIED: "accepted_202_never",
    Trouble.SUCCESS_FOR_ANOTHER_DEVICE: "foreign_iccid",
    Trouble.OVERSIZED: "oversized",
}


class JasperStand:
    """A running simulator."""

    integration_type = "POD19"
    credential = Credential("amop", "amop-5ecret")
    devices = tuple(f"89882167169700{number:05}" for number in range(120))
    unknown_device = "8988216716970099999"

    def __init__(self, base_url: str, control: SimulatorControl) -> None:
        self.base_url = base_url
        self._control = control
        self._world = World(
            accounts=(Account(username=self.credential.username, api_key=self.credential.api_key),),
            rate_plans=(OLD_PLAN, NEW_PLAN),
            communication_plans=("Comm",),
            devices=tuple(Device(iccid=iccid, rate_plan=OLD_PLAN, communication_plan="Comm") for iccid in self.devices),
        )

    def begin(self) -> None:
        """A fresh world."""
        self._control.replace_world(self._world)

    def make(self, trouble: Trouble) -> None:
        """A scenario in force."""
        self._control.start(Rule(name=SCENARIOS[trouble]))

    def plan_of(self, device: str) -> str:
        """As the simulator has it."""
        return next(view.rate_plan for view in self._control.devices() if view.iccid == device)

    def calls(self) -> int:
        """As the ledger has them."""
        return self._control.summary().calls


@contextmanager
def jasper_stand() -> Generator[Stand]:
    """A simulator process for as long as the context lasts."""
    command = [sys.executable, "-m", "m2m_pipeline.simulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            announced: dict[str, str] = json.loads(process.stdout.readline())
            url = announced["simulator_url"]
            with SimulatorControl(url) as control:
                yield JasperStand(url, control)
        finally:
            process.terminate()
