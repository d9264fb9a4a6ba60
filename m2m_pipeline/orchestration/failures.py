"""How the domain's errors look in a run: what happened, whether retrying helps, what to do next."""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg
from dagster._core.errors import DagsterInvalidPropertyError
from structlog.contextvars import bound_contextvars

from m2m_pipeline.domain.attempt import (
    LeaseLostError,
    NotClaimableError,
    NothingToDoError,
    NotThisRunsError,
    OpenDevicesError,
)
from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.logs import redacted
from m2m_pipeline.orchestration.checks import show_end
from m2m_pipeline.orchestration.platform import BULK_CHANGE, LEASE_KEPT, Platform
from m2m_pipeline.services.execution.execution import AccessDeniedError, Execution
from m2m_pipeline.storage.best_effort import best_effort

# None of these is mended by running the step again: each says in its own words what does.
_FINAL = (AccessDeniedError, LeaseLostError, NotClaimableError, OpenDevicesError, RequestRejectedError)


@contextmanager
def attempt(
    context: dg.OpExecutionContext, platform: Platform, quiet: type[NotThisRunsError] = NothingToDoError
) -> Generator[Execution]:
    """One step of an attempt: an error that the domain names becomes a failure that no retry repeats.

    Where the claim finds nothing to do (`quiet`), the log says why, the rest of the body is passed over, and the run
    goes on: at whatever step it began, a run over an ended or another's bulk change does nothing and succeeds.

    A step that fails or is terminated gives the lease back: whoever re-executes the run need not wait for its end.
    """
    execution = platform.services.execution
    try:
        with bound_contextvars(run_id=context.run_id, **_bulk_change(context)):
            yield execution
    except BaseException as error:
        with best_effort(LEASE_KEPT):
            execution.release(context.run_id)
        if isinstance(error, quiet):
            context.log.info(redacted(str(error)))
            return
        if isinstance(error, _FINAL):
            raise dg.Failure(description=str(error), allow_retries=False) from error
        raise


def _bulk_change(context: dg.OpExecutionContext) -> dict[str, str]:
    """What a log line tells of the bulk change, where the run carries its tags."""
    names = {"bulk_change_id": BULK_CHANGE, "tenant": "m2m/tenant"}
    try:
        tags = context.run.tags
    except DagsterInvalidPropertyError:  # a step that is called by itself has no run
        return {}
    return {name: tags[tag] for name, tag in names.items() if tag in tags}


@contextmanager
def ending_in_the_catalog(
    context: dg.OpExecutionContext,
    platform: Platform,
    bulk_change_id: int,
    quiet: type[NotThisRunsError] = NothingToDoError,
) -> Generator[Execution]:
    """A step with which a bulk change may end before any device was touched: the catalog shows that end too."""
    try:
        with attempt(context, platform, quiet) as execution:
            yield execution
    except dg.Failure as failure:
        if isinstance(failure.__cause__, AccessDeniedError | RequestRejectedError):
            with best_effort("The catalog was not told of this end: the sweeper does it."):
                show_end(context, platform, platform.services.execution.document(bulk_change_id))
        raise


def refuse_anothers_tags(run: dg.DagsterRun, bulk_change_id: int) -> None:
    """Let no run work on a bulk change while its tags name another, by which Dagster and the sweeper know it.

    The sweeper would take it for dead, since it holds no lease of the other.

    Raises:
        NotClaimableError: they do.

    """
    tagged = run.tags.get(BULK_CHANGE)
    if tagged not in {None, str(bulk_change_id)}:
        raise NotClaimableError(
            f"This run is tagged `{BULK_CHANGE}: {tagged}`, and its configuration names bulk change {bulk_change_id}. "
            "Nothing was done, for either. Trying this run again does not help: launch the one that is meant from an "
            "empty launchpad, without the tags of another."
        )
