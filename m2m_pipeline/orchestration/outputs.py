"""What a step hands on to the next ones, and what an operator reads where it is missing."""

import dagster as dg


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

        Raises:
            Failure: no run has made it. So it is when a killed run is re-executed from its failure: Dagster leaves out
                mapped steps that never started, and starts those after them.

        """
        try:
            return self._files.load_input(context)
        except dg.DagsterInvariantViolationError:
            missing = context.upstream_output.step_key if context.upstream_output else context.name
            raise dg.Failure(
                f"No output of {missing} is there: neither this run nor the one that it re-executes has finished it. "
                "Nothing was done here, and no device was touched. The same steps again will not help. "
                "Re-execute all steps of the run: devices that are settled are not sent again.",
                allow_retries=False,
            ) from None  # Dagster's words are about itself
