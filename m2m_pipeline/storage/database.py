"""Connections and transactions. Every statement elsewhere in this package runs on a connection opened here."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from copy import copy
from typing import TypeVar

import stamina
from psycopg import errors
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoFreeConnectionError
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from m2m_pipeline.domain.attempt import Attempt
from m2m_pipeline.storage import marks
from m2m_pipeline.storage.connections import OVERTAKEN, is_away, open_engine
from m2m_pipeline.storage.wall import confine

TRANSIENT_PATIENCE_SECONDS = 60.0
"""A failover takes 8 to 20 s. Tries are a tenth of a second apart at first, and five seconds and a bit at most."""
SHORT_PATIENCE_SECONDS = 5.0
"""For whoever is waited for: a client at the front door, and a sensor's tick, which comes again by itself."""
LOOKS = 4
"""How often a decision is made anew because somebody else's commit came between, before it is given up."""

_Decision = TypeVar("_Decision")


class DatabaseUnavailableError(Exception):
    """The database does not answer, or only reads. Nothing was recorded; trying again helps once it is back."""


class OvertakenError(DatabaseUnavailableError):
    """The server let another transaction go first, and took this one back: at once it may be said again."""

    def __init__(self, error: DBAPIError) -> None:
        super().__init__(
            f"The database let other work go first ({_kind(error)}). Nothing was recorded. Trying again helps."
        )


class CommitUnknownError(DatabaseUnavailableError):
    """The connection broke while the commit was under way: what it was to record stands whole, or not at all."""

    def __init__(self) -> None:
        super().__init__(
            "The connection to the database broke at the commit. Whether the work was recorded is not known: look "
            "whether it is there, and do it again where it is not. A request with an Idempotency-Key may be sent again "
            "at once: it is recorded once."
        )


class DatabaseRefusedError(Exception):
    """The database answers and does not do it. Nothing was recorded; trying again does not help."""

    def __init__(self, error: DBAPIError) -> None:
        not_migrated = isinstance(error.orig, errors.UndefinedTable | errors.UndefinedColumn | errors.InvalidSchemaName)
        remedy = "bring its tables up to date with `m2m migrate`" if not_migrated else "its log has the cause"
        super().__init__(
            f"The database refused the work ({_kind(error)}). Nothing of it was recorded. Trying again does not help: "
            f"{remedy}."
        )


class Database:
    """The business database of this process."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = open_engine(url)
        self._tenant_id: int | None = None

    def of_tenant(self, tenant_id: int) -> "Database":
        """The same database behind a wall: its transactions see and write the rows of one tenant alone.

        Whatever the statements say: the server itself holds back the rest (row-level security).
        """
        walled = copy(self)
        walled._tenant_id = tenant_id  # noqa: SLF001 -- our own kind
        return walled

    @contextmanager
    def begin(self, *, snapshot: bool = False) -> Generator[Connection]:
        """One transaction: committed at the end, rolled back on any exception.

        `snapshot`: everything in it is seen as at its first statement.

        Raises:
            DatabaseUnavailableError: no connection, or it was lost before the commit.
            CommitUnknownError: it was lost at the commit.
            IntegrityError: a rule of the schema was broken; whoever knows the rule says what it means.
            DatabaseRefusedError: any other refusal.

        """
        ending = False
        try:
            with self.engine.begin() as connection:
                if snapshot:
                    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                if self._tenant_id is not None:
                    confine(connection, self._tenant_id)
                yield connection
                ending = True
        except IntegrityError:
            raise
        except NoFreeConnectionError as error:
            raise DatabaseUnavailableError(
                "All connections to the database are in use. Nothing was recorded. Trying again in a moment helps."
            ) from error
        except DBAPIError as error:
            if ending and error.connection_invalidated:
                raise CommitUnknownError from error
            if isinstance(error.orig, OVERTAKEN):
                raise OvertakenError(error) from error
            if is_away(error):
                raise unavailable(error) from error
            raise DatabaseRefusedError(error) from error

    def decide(self, look: Callable[[Connection], _Decision]) -> _Decision:
        """What `look` sees and writes, in one transaction; made anew where it lost a race.

        Somebody else may record a change of the same device between the look and the commit: the next look sees that.
        Two who retry bulk changes with the same devices may wait for each other, until the server takes one back.
        A commit whose answer was lost is looked up, so that what was recorded is told as that.

        Raises:
            DatabaseUnavailableError: nothing was recorded.
            CommitUnknownError: the answer to the commit was lost, and the server cannot be asked what became of it.
            DatabaseRefusedError: nothing was recorded.

        """
        for number in range(1, LOOKS + 1):
            mark, written = marks.new(), list[tuple[_Decision, bool]]()
            try:
                with self.begin() as connection:
                    decision = look(connection)
                    written.append((decision, marks.leave(connection, mark, self._tenant_id)))
            except CommitUnknownError as lost:
                ((decision, has_written),) = written
                if not has_written or self._stands(mark, lost):
                    return decision
                raise DatabaseUnavailableError(
                    "The connection to the database broke before the commit. Nothing was recorded. Trying again helps."
                ) from lost
            except OvertakenError:
                if number == LOOKS:
                    raise
            except IntegrityError as error:
                if number == LOOKS:
                    raise DatabaseRefusedError(error) from error
            else:
                return decision
        raise AssertionError

    @contextmanager
    def marked(self, tenant_id: int | None = None) -> Generator[tuple[Connection, str]]:
        """One transaction that leaves the mark it is given with its work: where both stand, it has not failed.

        Raises:
            DatabaseUnavailableError: nothing was recorded, or no mark was left; or the server cannot be asked.

        """
        mark, ending = marks.new(), False
        try:
            with self.begin() as connection:
                yield connection, mark
                ending = True
        except DatabaseUnavailableError:
            # The answer to the commit may be all that was lost: said again, the same work would be done twice.
            if not (ending and retrying_transient(self._was_committed)(mark, tenant_id)):
                raise

    @contextmanager
    def fenced(self, attempt: Attempt, *, shared: bool = False) -> Generator[Connection]:
        """One transaction that only the owner of the lease can make.

        The row lock keeps another attempt from taking the lease between this check and the commit. `shared`: other such
        transactions of the owner need not wait for this one, which does not write to the bulk change itself.

        Raises:
            LeaseLostError: another attempt holds the bulk change, or it has ended.
            DatabaseUnavailableError: as `begin`.

        """
        with self.marked(attempt.tenant_id) as (connection, mark):
            marks.leave_as_owner(connection, attempt, mark, shared=shared)
            yield connection

    def once(self, attempt: Attempt, mark: str, work: Callable[[Connection], None]) -> None:
        """Do the work as in `fenced`, unless it was done before under the same mark: it may be said again at any time.

        Raises:
            LeaseLostError: as `fenced`.
            DatabaseUnavailableError: whether the work was recorded is known when it is said again.

        """
        with self.begin() as connection:
            if marks.leave_as_owner(connection, attempt, mark, shared=False):
                work(connection)

    def _stands(self, mark: str, lost: CommitUnknownError) -> bool:
        """Whether the transaction that left the mark was committed. Raises `lost` where nobody can be asked."""
        try:
            return retrying_briefly(self._was_committed)(mark, self._tenant_id)
        except DatabaseUnavailableError:
            raise lost from None

    def _was_committed(self, mark: str, tenant_id: int | None) -> bool:
        """Whether a transaction was committed whose connection was lost."""
        with self.begin() as connection:
            return marks.is_left(connection, mark, tenant_id)

    def dispose(self) -> None:
        """Close the pool."""
        self.engine.dispose()


retrying_transient = stamina.retry(on=DatabaseUnavailableError, attempts=None, timeout=TRANSIENT_PATIENCE_SECONDS)
"""For whole, idempotent transactions that nobody waits for: says them again while the database is away.

The front door does not: whoever waits is told at once to come back.
"""
retrying_briefly = stamina.retry(on=DatabaseUnavailableError, attempts=None, timeout=SHORT_PATIENCE_SECONDS)
"""The same for what is waited for, such as what became of a client's commit whose answer was lost."""


def _note_retry(details: RetryDetails) -> None:
    """Take the place of stamina's own words, which list the arguments: devices by the hundred, with their ICCIDs."""
    logging.getLogger(__name__).warning("%s: again in %.1f s. %s", details.name, details.wait_for, details.caused_by)


set_on_retry_hooks([_note_retry])


def unavailable(error: DBAPIError) -> DatabaseUnavailableError:
    """The same error under our name: without statement, values or address."""
    return DatabaseUnavailableError(
        f"The database did not carry out the work ({_kind(error)}). Nothing of it was recorded. "
        "Trying again helps once the database is back; see M2M_DATABASE_URL."
    )


def _kind(error: DBAPIError) -> str:
    """What the driver calls it: without statement, values or rows."""
    return type(error.orig).__name__ if error.orig else type(error).__name__
