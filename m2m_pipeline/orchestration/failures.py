"""How the domain's errors look in a run: what happened, whether retrying helps, what to do next."""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from m2m_pipeline.domain.attempt import LeaseLostError, NotClaimableError, OpenDevicesError
from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.orchestration.assets import materialization
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.services.execution.execution import AccessDeniedError

# None of these is mended by running the step again: each says in its own words what does.
_FINAL = (AccessDeniedError, LeaseLostError, NotClaimableError, OpenDevicesError, RequestRejectedError)


@dg.failure_hook(required_resource_keys={"platform"})
def release_lease(context: dg.HookContext) -> None:
    """Give the lease back when a step fails: whoever re-executes the run need not wait for it."""
    platform: Platform = context.resources.platform
    platform.services.execution.release(context.run_id)


@contextmanager
def failing_plainly() -> Generator[None]:
    """Turn an error that the domain names into a Dagster failure that no retry repeats."""
    try:
        yield
    except _FINAL as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


@contextmanager
def ending_in_the_catalog(context: dg.OpExecutionContext, platform: Platform, bulk_change_id: int) -> Generator[None]:
    """Show a bulk change that ends before any device was touched in the catalog, as any other that has ended."""
    try:
        with failing_plainly():
            yield
    except dg.Failure as failure:
        if isinstance(failure.__cause__, AccessDeniedError | RequestRejectedError):
            context.log_event(materialization(platform.services.execution.document(bulk_change_id)))
        raise
