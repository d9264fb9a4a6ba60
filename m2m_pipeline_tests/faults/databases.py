"""The database fails under an attempt: it crashes, drops connections, lets nobody in, only reads, cancels work."""

import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from sqlalchemy import make_url

from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline_tests.faults.field import Change, Field, eventually
from m2m_pipeline_tests.faults.verdict import Verdict, judge
from m2m_pipeline_tests.faults.worker import Worker

DEVICES = 200
ANSWER_MS = (40, 80)
"""The carrier's answers take so long, so that there is a middle of the run to fail in."""

BACK_SECONDS = 30.0
"""Within this time of the database being back, the run is at work again or has ended."""

FAILOVER_SECONDS = 8.0
CANCELED_STATEMENTS = 3
_APPLICATION = "m2m_pipeline"


def crash_database(field: Field, server: EmbeddedPostgres, seed: int) -> Verdict:
    """The server dies as by a power cut, and comes back."""

    def fail() -> None:
        server.stop("immediate")
        server.start()

    return _interrupted(field, "database crash", seed, fail)


def stay_away(field: Field, server: EmbeddedPostgres, seed: int) -> Verdict:
    """The server is away as in a failover, and refuses every connection at once; the attempt goes on by itself.

    Its lease outlasts that, as the usual one does: after a shorter one whoever comes first has the bulk change.
    """

    def fail() -> None:
        server.stop("immediate")
        back_at = time.monotonic() + FAILOVER_SECONDS
        eventually(lambda: time.monotonic() >= back_at or None, "the time of a failover")
        server.start()

    with field.lease(4 * FAILOVER_SECONDS):
        return _interrupted(field, "failover", seed, fail, attempts=1)


def refuse_connections(field: Field, server: EmbeddedPostgres, role: str, seed: int) -> Verdict:
    """All connections of the role are ended, and for a while it may open none."""
    refused = f'too many connections for role "{role}"'

    def fail() -> None:
        seen = _said(server, refused)
        field.sql(f"ALTER ROLE {role} CONNECTION LIMIT 0")
        field.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", role)
        eventually(lambda: _said(server, refused) > seen or None, "a connection that is refused")
        field.sql(f"ALTER ROLE {role} CONNECTION LIMIT -1")

    return _interrupted(field, "connection limit", seed, fail)


def only_read(field: Field, server: EmbeddedPostgres, seed: int) -> Verdict:
    """The server answers and only reads, as the standby to which a failover has left the connections.

    The attempt goes on by itself; its lease outlasts that, as in `stay_away`.
    """
    refused = "in a read-only transaction"

    def fail() -> None:
        seen = _said(server, refused)
        field.sql("ALTER SYSTEM SET default_transaction_read_only = on")
        field.sql("SELECT pg_reload_conf()")
        back_at = time.monotonic() + FAILOVER_SECONDS
        eventually(lambda: _said(server, refused) > seen or None, "a statement that is refused")
        eventually(lambda: time.monotonic() >= back_at or None, "the time of a failover")
        field.sql("ALTER SYSTEM RESET default_transaction_read_only")
        field.sql("SELECT pg_reload_conf()")

    with field.lease(4 * FAILOVER_SECONDS):
        return _interrupted(field, "only reads", seed, fail, attempts=1)


def cancel_statements(field: Field, seed: int) -> Verdict:
    """The next statements that change devices are canceled, as by the statement timeout."""

    def fail() -> None:
        field.sql(_CANCELING)
        eventually(lambda: _canceled(field) or None, "the statements that are canceled")
        field.sql("DROP TRIGGER cancel ON m2m.device_change")

    return _interrupted(field, "canceled statements", seed, fail)


def terminate_backends(field: Field, seed: int, backends: int) -> Verdict:
    """One connection of the run after another is ended by the server, a busy one if there is one."""
    draw = random.Random(f"{seed} backends")  # noqa: S311 - reproducible, not secret
    field.control.set_latency(*ANSWER_MS)
    change = field.submit(batch_size=draw.choice((40, 70)))
    worker = field.dispatch(change)
    field.services.close()  # the connections that are left are the run's
    ended = 0
    for puts in sorted(draw.sample(range(5, DEVICES - 10), backends)):
        eventually(lambda puts=puts: field.puts(change) >= puts or not change.workers[-1].alive or None, "its calls")
        if not change.workers[-1].alive:
            field.heal_until(change, lambda: change.workers[-1].alive)
        ended += len(eventually(lambda: field.sql(_TERMINATE, _APPLICATION) or None, "a connection of the run"))
    field.heal(change)
    verdict = judge("terminated backends", field.evidence(change), ended)
    worker.end()
    return verdict


@contextmanager
def under_restricted_role(field: Field, role: str) -> Generator[None]:
    """Runs use a role to which limits apply, as they do not to the superuser."""
    field.sql(f"CREATE ROLE {role} LOGIN PASSWORD '{make_url(field.database_url).password}'")
    for schema in ("m2m", "public"):
        field.sql(f"GRANT ALL ON SCHEMA {schema} TO {role}")
        for kind in ("TABLES", "SEQUENCES"):
            field.sql(f"GRANT ALL ON ALL {kind} IN SCHEMA {schema} TO {role}")
    usual = field.settings
    address = make_url(field.database_url).set(username=role).render_as_string(hide_password=False)
    field.settings = {**usual, "database_url": address}
    try:
        yield
    finally:
        field.settings = usual
        field.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def _interrupted(field: Field, name: str, seed: int, fail: Callable[[], None], attempts: int | None = None) -> Verdict:
    """An attempt under which the database fails in the middle; is it at work again in time, and is all well?"""
    draw = random.Random(f"{seed} {name}")  # noqa: S311 - reproducible, not secret
    field.control.set_latency(*ANSWER_MS)
    change = field.submit(batch_size=draw.choice((40, 70)))
    worker = field.dispatch(change)
    puts = draw.randint(10, DEVICES - 60)
    eventually(lambda: field.puts(change) >= puts or not worker.alive or None, "its calls")
    fail()
    back_at, known = time.monotonic(), _outcomes(field, change)
    eventually(lambda: _at_work(field, change, worker, known), f"{name}: the run at work again", BACK_SECONDS)
    after = time.monotonic() - back_at
    field.heal(change)
    broken = [] if worker.end() == "done" or change.attempt > 1 else ["the run ended and nobody took it up"]
    if attempts and change.attempt > attempts:
        broken.append(f"it took {change.attempt} attempts")
    return judge(f"{name} (at work after {after:.1f} s)", field.evidence(change), 1, *broken)


def _at_work(field: Field, change: Change, worker: Worker, known: int) -> bool | None:
    """Whether the run has written an outcome since, or has ended."""
    return not worker.alive or _outcomes(field, change) > known or None


def _outcomes(field: Field, change: Change) -> int:
    statement = "SELECT count(*) FROM m2m.audit_entry WHERE bulk_change_id = %s AND device_change_id IS NOT NULL"
    ((count,),) = field.sql(statement, change.id)
    return int(str(count))


def _said(server: EmbeddedPostgres, words: str) -> int:
    """How often the server's log says something."""
    return server.log.read_text(encoding="utf-8", errors="replace").count(words)


def _canceled(field: Field) -> bool:
    ((times,),) = field.sql("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM public.canceled")
    return int(str(times)) > CANCELED_STATEMENTS


# A sequence counts what is rolled back, too.
_CANCELING = f"""
CREATE SEQUENCE IF NOT EXISTS public.canceled;
GRANT ALL ON SEQUENCE public.canceled TO PUBLIC;
SELECT setval('public.canceled', 1, false);
CREATE OR REPLACE FUNCTION public.cancel() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.canceled') <= {CANCELED_STATEMENTS} THEN
        RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = 'query_canceled';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER cancel BEFORE UPDATE ON m2m.device_change FOR EACH STATEMENT EXECUTE FUNCTION public.cancel();
"""

_TERMINATE = """
SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE application_name = %s
    AND datname = current_database() ORDER BY state = 'idle', random() LIMIT 1) chosen
"""
