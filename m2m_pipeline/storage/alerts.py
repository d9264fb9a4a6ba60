"""What holds now, as queries; and the alerts that are open."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from m2m_pipeline.domain.alerts import (
    AGING,
    BREAKER_LIMIT_SECONDS,
    ENDED_WITHIN_HOURS,
    FRUITLESS_ATTEMPTS,
    AlertName,
    Finding,
)
from m2m_pipeline.storage import checks
from m2m_pipeline.storage.accounts import ACCOUNT_HOST
from m2m_pipeline.storage.breaches import Question, Scope, parameters, words
from m2m_pipeline.storage.checks import STUCK, WORDS_OF_CHANGE

_ENDED = f"""
    SELECT 'bulk change ' || b.id AS subject, 'Tenant ' || t.name || ', provider ' || p.name || '.' AS detail,
        {WORDS_OF_CHANGE}
    FROM m2m.bulk_change b JOIN m2m.tenant t ON t.id = b.tenant_id
    JOIN m2m.service_provider p ON p.id = b.service_provider_id
    WHERE b.status = '{{status}}' AND b.finished_at > clock_timestamp() - make_interval(hours => :hours)
"""

STATEMENTS: Mapping[AlertName, str] = {
    AlertName.CHANGE_FAILED: _ENDED.format(status="FAILED"),
    AlertName.CHANGE_PARTIAL: _ENDED.format(status="PARTIAL"),
    AlertName.BREAKER_OPEN: f"""
        SELECT 'provider ' || p.name || ' of ' || t.name AS subject,
            CASE WHEN g.lost > 0 THEN 'No answer to a change since ' ELSE 'No answer since ' END
            || to_char(to_timestamp(g.open_since) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC.' AS detail,
            p.name AS "NAME", t.name AS "TENANT"
        FROM m2m.carrier_credential c JOIN m2m.service_provider p ON p.id = c.service_provider_id
        JOIN m2m.carrier_gate g
            ON g.account = {ACCOUNT_HOST} || '/' || c.username
        JOIN m2m.tenant t ON t.id = p.tenant_id
        CROSS JOIN LATERAL (SELECT extract(epoch FROM clock_timestamp()) - :breaker_seconds AS at) long_ago
        WHERE g.open_since < long_ago.at AND (g.probe_at IS NOT NULL OR g.lost_at > long_ago.at)
    """,
    AlertName.QUEUE_STUCK: f"""
        SELECT 'provider ' || p.name || ' of ' || t.name AS subject,
            'Bulk change ' || min(b.id) || ' waits, and ' || count(*) - 1 || ' more.' AS detail,
            min(b.id) AS "ID", p.name AS "NAME", t.name AS "TENANT"
        FROM m2m.bulk_change b JOIN m2m.service_provider p ON p.id = b.service_provider_id
        JOIN m2m.tenant t ON t.id = b.tenant_id
        WHERE {STUCK} GROUP BY p.name, t.name
    """,
    AlertName.ATTEMPTS_DIE: f"""
        SELECT 'bulk change ' || b.id AS subject, b.fruitless_attempts || ' attempts in a row came to nothing.'
            AS detail, {WORDS_OF_CHANGE}
        FROM m2m.bulk_change b WHERE b.status IN ('QUEUED', 'PROCESSING') AND b.fruitless_attempts >= :attempts
    """,
    AlertName.NOTICES_DEAD: """
        SELECT 'destination ' || d.id || coalesce(' of ' || t.name, ' of the operators') AS subject,
            count(*) || ' notices, the last: ' || max(n.last_failure) AS detail,
            max(n.id) AS "ID", d.id AS "N", t.name AS "TENANT"
        FROM m2m.notice n JOIN m2m.notice_destination d ON d.id = n.destination_id
        LEFT JOIN m2m.tenant t ON t.id = d.tenant_id
        WHERE n.status = 'DEAD' AND d.removed_at IS NULL
            AND n.ended_at > clock_timestamp() - make_interval(hours => :hours) GROUP BY d.id, t.name
    """,
}
"""Subject, detail, and the placeholders of the commands, of what holds now."""

QUESTIONS: Mapping[AlertName, Question] = {
    AlertName.DRIFT: checks.too_much_drift,
    AlertName.RECONCILIATION_STALE: checks.not_reconciled,
}
"""Promises about a provider that have an alert of their own: what breaks them."""

WATCHED = frozenset({*STATEMENTS, *QUESTIONS})
"""The alerts that the database can tell of."""

_EVER = 24 * 365 * 100


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert from when it was raised until it is resolved."""

    name: AlertName
    subject: str
    detail: str
    since: datetime


def find(connection: Connection, limits: Scope) -> Sequence[Finding]:
    """Everything that holds now."""
    stated = [one for name in STATEMENTS for one in _find(connection, limits, name, int(ENDED_WITHIN_HOURS))]
    return stated + [
        Finding(name, f"provider {breach.words['NAME']} of {breach.words['TENANT']}", f"{breach.wrong}.", breach.words)
        for name, question in QUESTIONS.items()
        for breach in question(connection, limits)
    ]


def only_old(connection: Connection, limits: Scope, name: AlertName) -> frozenset[str]:
    """The subjects of which an alert that ages would hold still, however old they are."""
    return frozenset(one.subject for one in _find(connection, limits, name, _EVER)) if name in AGING else frozenset()


def _find(connection: Connection, limits: Scope, name: AlertName, hours: int) -> Sequence[Finding]:
    values = {"hours": hours, "breaker_seconds": BREAKER_LIMIT_SECONDS, "attempts": FRUITLESS_ATTEMPTS}
    rows = connection.execute(text(STATEMENTS[name]), {**parameters(limits), **values})
    columns = tuple(rows.keys())
    return [Finding(name, row.subject, row.detail, words(columns, row)) for row in rows]


def lock(connection: Connection) -> None:
    """One watcher at a time, until the end of the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('m2m.alert'))"))


def list_open(connection: Connection) -> Sequence[OpenAlert]:
    """The open alerts, the oldest first."""
    rows = connection.execute(
        text("SELECT name, subject, detail, since FROM m2m.alert WHERE resolved_at IS NULL ORDER BY id")
    )
    return [OpenAlert(AlertName(row.name), row.subject, row.detail, row.since) for row in rows]


def see(connection: Connection, found: Iterable[Finding]) -> Sequence[Finding]:
    """Raise what is new, and note of the rest that it still holds; what is new."""
    statement = text(
        """
        INSERT INTO m2m.alert (name, subject, detail) VALUES (:name, :subject, :detail)
        ON CONFLICT (name, subject) WHERE resolved_at IS NULL
        DO UPDATE SET last_seen = clock_timestamp(), detail = excluded.detail RETURNING xmax = 0 AS is_new
        """
    )
    return [
        one
        for one in found
        if connection.execute(
            statement, {"name": one.name.value, "subject": one.subject, "detail": one.detail}
        ).scalar_one()
    ]


def resolve(connection: Connection, name: AlertName, subject: str) -> None:
    """It holds no longer."""
    connection.execute(
        text(
            """
            UPDATE m2m.alert SET resolved_at = clock_timestamp()
            WHERE name = :name AND subject = :subject AND resolved_at IS NULL
            """
        ),
        {"name": name.value, "subject": subject},
    )
