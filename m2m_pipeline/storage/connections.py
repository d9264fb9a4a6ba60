"""Opens connections to the business database: how long they are silent or busy at most, and when one is thrown away."""

from psycopg import errors
from sqlalchemy import Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

CONNECT_TIMEOUT_SECONDS = 5
SILENCE_MS = 20_000
KEEPALIVE_SECONDS = 5
STATEMENT_TIMEOUT_MS = 60_000  # the largest statement, the details of 100,000 devices, takes about 3 s
LOCK_TIMEOUT_MS = 10_000
# A process that is stopped in the middle of a transaction holds its locks so long, and nobody takes up its work.
IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000

READS_ONLY = errors.ReadOnlySqlTransaction
"""SQLSTATE 25006: the server answers, and is the standby since a failover, or is kept from writing for a while."""

OVERTAKEN = errors.DeadlockDetected | errors.SerializationFailure
"""SQLSTATE 40P01 and 40001: the server took a transaction back, so that another could go on.

Ours are READ COMMITTED, to which it does so where two wait for each other; to others it may also where they collide.
"""


def open_engine(url: str) -> Engine:
    """The pool of this process. A server that only reads is thrown out of it like one that is gone."""
    options = (
        f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} "
        f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS} -c timezone=UTC"
    )
    engine = create_engine(
        url,
        pool_size=5,
        max_overflow=5,
        pool_pre_ping=True,
        # An error's text ends up in logs and in Dagster: it must not list customers' SIMs.
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            # A network that swallows packets without a word must not hold a run for as long as the kernel likes.
            "tcp_user_timeout": SILENCE_MS,
            "keepalives_idle": KEEPALIVE_SECONDS,
            "keepalives_interval": KEEPALIVE_SECONDS,
            "keepalives_count": 3,
            "options": options,
            "application_name": "m2m_pipeline",
        },
    )
    event.listen(engine, "handle_error", _throw_out_what_only_reads)
    return engine


def is_away(error: DBAPIError) -> bool:
    """Whether the same may go well in a while: the server is gone, starting, full, busy, or only reads.

    The driver calls all but the last operational: lost connections (08…), shutdown and recovery (57P01 to 57P03), too
    many connections (53300), timeouts (57014, 55P03), a full disk (53100), deadlocks (40P01).
    """
    return isinstance(error, OperationalError) or error.connection_invalidated or isinstance(error.orig, READS_ONLY)


def _throw_out_what_only_reads(context: ExceptionContext) -> None:
    """Such a connection is alive, and would be handed out for ever; the next one may lead to who is the primary now."""
    if isinstance(context.original_exception, READS_ONLY):
        context.is_disconnect = True
