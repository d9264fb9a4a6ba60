"""The services, as a Dagster resource: built once for each process that runs steps or evaluates sensors."""

from contextlib import ExitStack

import dagster as dg
from pydantic import PrivateAttr

from m2m_pipeline.bootstrap import Application, build
from m2m_pipeline.logs import configure
from m2m_pipeline.orchestration.event_log import keep_connection
from m2m_pipeline.settings import load_settings
from m2m_pipeline.storage.best_effort import best_effort

BULK = "m2m/bulk"
"""The tag of a run over a bulk change."""

LEASE_KEPT = "The lease was not given back: it runs out by itself."
"""What the log says of a run that ends while the database does not take it."""

BULK_CHANGE = "m2m/bulk_change"
"""The tag that says over which; a run that was launched by hand has it in its configuration alone."""


class Platform(dg.ConfigurableResource["Platform"]):
    """Holds no configuration: settings come from the environment, so that no run or tick ever stores one."""

    _application: Application | None = PrivateAttr(default=None)
    _pulse: ExitStack = PrivateAttr(default_factory=ExitStack)

    @property
    def services(self) -> Application:
        """The services of this process."""
        if self._application is None:
            settings = load_settings()
            configure(settings.log_format)
            self._application = build(settings)
        return self._application

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Make storing the run's events cheap, which a sensor's tick stores none of; give signs of life.

        The lease of a bulk change is its run's.
        """
        if context.run and context.instance:
            keep_connection(context.instance)
        if context.run and BULK not in context.run.tags:
            self._pulse.enter_context(self.services.pulses.kept(context.run.run_id))

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Give back the lease and the connections.

        A run that is terminated between two steps holds its lease still: Dagster enters no step any more.
        """
        if context.run and self._application:
            with best_effort(LEASE_KEPT):
                self._application.execution.release(context.run.run_id)
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._pulse.close()
        if self._application is not None:
            self._application.close()
            self._application = None
