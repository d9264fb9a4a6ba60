"""The process that lives the history: bulk changes, drift, passes. Some changes are real runs of the Dagster job.

The others are driven by the same services in the same order, and told to the catalog as the sweeper tells an end, with
the events of a real run (materializations, checks): a run costs a second and more, and hundreds of them would tell no
more.
"""

import random
import time
from collections.abc import Mapping

import dagster as dg

from benchmarks.change import job
from benchmarks.history.company import PLANS, Member, Plan, establish
from benchmarks.protocol import Worker
from m2m_pipeline.domain.request import parse_request
from m2m_pipeline.orchestration.assets import bulk_change_partitions
from m2m_pipeline.orchestration.checks import show_end_without_a_run
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.sensors import run_request
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.simulator.documents import Drift

SEED = 14
DEVICES_OF_A_CHANGE, DRIFTED_A_DAY = 10, 4


def prepare(_: str) -> Worker:
    """Everything is imported and wired. The order is a Plan in JSON; told is when it `began` (s since the epoch)."""
    platform, instance = Platform(), dg.DagsterInstance.get()
    assert platform.services

    def work(order: str) -> Mapping[str, str]:
        plan, began = Plan.model_validate_json(order), time.time()
        with SimulatorControl(plan.carrier_url) as control:
            _Life(platform, instance, control, plan).live()
        platform.close()
        return {"began": str(began)}

    return work


class _Life:
    def __init__(self, platform: Platform, instance: dg.DagsterInstance, control: SimulatorControl, plan: Plan) -> None:
        self._platform = platform
        self._services = platform.services
        self._instance = instance
        self._control = control
        self._plan = plan
        self._members = establish(self._services, plan.carrier_url)
        self._draws = random.Random(SEED)  # noqa: S311 - reproducible, not secret

    def live(self) -> None:
        """Day after day: what somebody does in the carrier's console, a pass over it, and what operators ask for."""
        changes, days, runs = self._plan.changes, self._plan.days, self._plan.runs
        members = list(self._members)
        for day in range(days):
            for member in members:
                self._drift(member)
                self._compare(member)
            for number in range(changes * day // days, changes * (day + 1) // days):
                by_job = number * runs // changes != (number + 1) * runs // changes
                self._change(members[number % len(members)], by_job=by_job)

    def _change(self, member: Member, *, by_job: bool) -> None:
        devices = self._draws.sample([*member.devices, *member.lost], DEVICES_OF_A_CHANGE)
        request = parse_request(
            {"provider": member.name, "rate_plan": self._draws.choice(PLANS), "devices": devices, "batch_size": 10}
        )
        bulk_change_id = self._services.submission.submit(member.tenant, request, "bench").bulk_change_id
        self._instance.add_dynamic_partitions(str(bulk_change_partitions.name), [str(bulk_change_id)])
        if by_job:
            self._run(bulk_change_id)
        else:
            self._drive(bulk_change_id)

    def _run(self, bulk_change_id: int) -> None:
        (queued,) = [one for one in self._services.queue.head() if one.id == bulk_change_id]
        request = run_request(queued)
        dg.execute_job(
            dg.reconstructable(job),
            instance=self._instance,
            run_config=request.run_config,
            tags=request.tags,
            raise_on_error=True,
        )

    def _drive(self, bulk_change_id: int) -> None:
        execution, owner = self._services.execution, f"bench-{bulk_change_id}"
        execution.validate_request(bulk_change_id, owner)
        execution.build_change_details(bulk_change_id, owner)
        execution.authenticate_carrier(bulk_change_id, owner)
        for batch in execution.plan_batches(bulk_change_id, owner):
            execution.change_devices(batch, owner, read_ahead=True)
            execution.update_amop(batch, owner)
            execution.write_audit(batch, owner)
        document = execution.finalize(bulk_change_id, owner)
        show_end_without_a_run(self._instance, self._platform, [document])

    def _drift(self, member: Member) -> None:
        for iccid in self._draws.sample(member.devices, DRIFTED_A_DAY):
            self._control.drift(iccid, Drift(rate_plan=self._draws.choice(PLANS)))

    def _compare(self, member: Member) -> None:
        found = self._services.drifting.find(self._members[member], full=True)
        if found.stopped:
            raise RuntimeError(found.stopped)
