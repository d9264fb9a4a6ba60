"""What a step hands on to the next ones, and what an operator reads where it is missing."""

from contextlib import closing

import dagster as dg

from m2m_pipeline.domain.change import Batch
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.sweeping import bulk_change_of


class StepOutputs(dg.ConfigurableIOManagerFactory[dg.IOManager]):
    """Dagster's own files. A step whose input is not among them fails with what to do, not with how Dagster is made."""

    def create_io_manager(self, context: dg.InitResourceContext) -> dg.IOManager:
        """The files of this run, and of the runs that it re-executes."""
        return _StepOutputs(dg.FilesystemIOManager().create_io_manager(context))


class _StepOutputs(dg.IOManager):
    def __init__(self, files: dg.IOManager) -> None:
        self._files = files

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        self._files.handle_output(context, obj)

    def load_input(self, context: dg.InputContext) -> object:
        """Load one input.

        One that no run has made stands for nothing where there is nothing left to do, which the step then says. So it
        is when a killed run is re-executed from its failure: Dagster leaves out mapped steps that never started, and
        starts those after them.

        Raises:
            Failure: it is missing, and the bulk change has not ended.

        """
        try:
            return self._files.load_input(context)
        except dg.DagsterInvariantViolationError:
            bulk_change_id = bulk_change_of(context.step_context.dagster_run)
            if bulk_change_id is not None and _nothing_to_do(bulk_change_id, context.step_context.run_id):
                return {"bulk_change_id": bulk_change_id, "batch": Batch(bulk_change_id, 0, 0, ""), "audited": 0}[
                    context.name
                ]
            missing = context.upstream_output.step_key if context.upstream_output else context.name
            raise dg.Failure(
                f"No output of {missing} is there: neither this run nor the one that it re-executes has finished it. "
                "Nothing was done here, and no device was touched. The same steps again will not help. "
                "Re-execute all steps of the run: devices that are settled are not sent again.",
                allow_retries=False,
            ) from None  # Dagster's words are about itself


def _nothing_to_do(bulk_change_id: int, run_id: str) -> bool:
    with closing(Platform()) as platform:
        return platform.services.execution.why_nothing_to_do(bulk_change_id, run_id) is not None
