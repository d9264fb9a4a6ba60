"""The budget of a carrier account, kept as one row that every process decides on under its lock.

What is decided is `domain.budget`; this module reads and writes. Its transactions do not wait for the disk: the commit
of the intent to call, which follows each reservation, writes the log up to there before any call leaves.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Row, text

from m2m_pipeline.domain.budget.gate import Gate, Limits, Turn
from m2m_pipeline.domain.budget.turns import Grant
from m2m_pipeline.storage.accounts import ACCOUNT_HOST

CALL_ENDS_SECONDS = 45.0
"""A call whose end nobody reported, counted from its moment, has ended by then: its process died, or waited for the
answer no longer. Nothing frees its place earlier, not even another attempt that takes the bulk change over: that the
caller is gone ends nothing at the carrier, and the attempt's calls would be more than the account may have in flight.
Longer than any call is waited for; what a carrier does for longer after we hung up, nobody could learn."""

_GATE_COLUMNS = "next_call_at, pace, paced_at, recent, probe_at, waiting, open_since, lost, lost_at, rests_until"
_PROVIDERS = f"""
    m2m.carrier_credential k JOIN m2m.service_provider p ON p.id = k.service_provider_id
        AND k.username = :username AND {ACCOUNT_HOST} = :host
"""
_LIMITS = f"(SELECT min(p.calls_per_second) AS calls_per_second, min(p.in_flight) AS at_once FROM {_PROVIDERS})"


@dataclass(frozen=True, slots=True)
class SeenGate:
    """The account as it was at a moment; others go on deciding."""

    gate: Gate
    now: float  # seconds of the database's clock
    in_flight: int
    limits: Limits | None = None  # the least that a provider of the account is configured to allow


class LockedGate(SeenGate):
    """The account as it is while this transaction lasts."""

    __slots__ = ()


def lock(connection: Connection, account: str, ended: Sequence[int] = ()) -> LockedGate:
    """The account's gate, locked until the end of the transaction. The `ended` calls and those of the dead are over."""
    found = text(
        f"""
        SELECT {_GATE_COLUMNS}, set_config('synchronous_commit', 'off', true)
        FROM m2m.carrier_gate WHERE account = :account FOR UPDATE
        """
    )
    row = connection.execute(found, {"account": account}).first()
    if row is None:
        connection.execute(
            text("INSERT INTO m2m.carrier_gate (account) VALUES (:account) ON CONFLICT DO NOTHING"),
            {"account": account},
        )
        row = connection.execute(found, {"account": account}).one()
    # A statement of its own: the one that waited for the lock does not see what was counted meanwhile.
    counted = connection.execute(
        text(
            f"""
            WITH over AS (
                DELETE FROM m2m.carrier_call WHERE account = :account
                AND (ends_at < extract(epoch FROM clock_timestamp()) OR id = ANY(:ended)) RETURNING id
            )
            SELECT extract(epoch FROM clock_timestamp()) AS now,
                (SELECT count(*) FROM m2m.carrier_call WHERE account = :account)
                - (SELECT count(*) FROM over) AS in_flight, limits.*
            FROM {_LIMITS} limits
            """
        ),
        {**_named(account), "ended": list(ended)},
    ).one()
    return LockedGate(_gate(row), float(counted.now), counted.in_flight, _limits(counted))


def read(connection: Connection, account: str) -> SeenGate | None:
    """The account's gate for somebody who decides nothing: waits for nobody and holds up nobody. None: never used."""
    row = connection.execute(
        text(
            f"""
            SELECT {_GATE_COLUMNS}, extract(epoch FROM clock_timestamp()) AS now,
                (SELECT count(*) FROM m2m.carrier_call c
                    WHERE c.account = g.account AND c.ends_at >= extract(epoch FROM clock_timestamp())) AS in_flight,
                limits.*
            FROM m2m.carrier_gate g CROSS JOIN {_LIMITS} limits WHERE account = :account
            """
        ),
        _named(account),
    ).first()
    return SeenGate(_gate(row), float(row.now), row.in_flight, _limits(row)) if row else None


def change_is_under_way(connection: Connection, account: str) -> bool:
    """Whether a bulk change is being worked on at this carrier account, whoever's it is."""
    return connection.execute(
        text(
            f"""
            SELECT EXISTS (SELECT 1 FROM {_PROVIDERS}
                JOIN m2m.bulk_change b ON b.service_provider_id = p.id WHERE b.status = 'PROCESSING')
            """
        ),
        _named(account),
    ).scalar_one()


def store(
    connection: Connection,
    account: str,
    gate: Gate,
    holder: str = "",
    grant: Grant | None = None,
    *,
    mark: str | None = None,
) -> list[int]:
    """Write the account's gate back, and count the new places that `holder` is granted as in flight; their ids.

    `mark`: left with it (see `marks`).
    """
    last_at = grant.first_at + (grant.calls - 1) * grant.spacing if grant else 0.0
    rows = connection.execute(
        text(
            """
            WITH gate AS (
                UPDATE m2m.carrier_gate
                SET next_call_at = :next_call_at, pace = :pace, paced_at = :paced_at, recent = :recent,
                    probe_at = :probe_at, waiting = CAST(:waiting AS jsonb), open_since = :open_since, lost = :lost,
                    lost_at = :lost_at, rests_until = :rests_until
                WHERE account = :account
            ), mark AS (
                INSERT INTO m2m.transaction_mark (id) SELECT CAST(:mark AS uuid) WHERE CAST(:mark AS uuid) IS NOT NULL
            )
            INSERT INTO m2m.carrier_call (account, holder, ends_at)
            SELECT :account, :holder, :ends_at FROM generate_series(1, :places) RETURNING id
            """
        ),
        {
            "account": account,
            "next_call_at": gate.next_call_at,
            "pace": gate.pace,
            "paced_at": gate.paced_at,
            "recent": list(gate.recent),
            "probe_at": gate.probe_at,
            "waiting": json.dumps([asdict(turn) for turn in gate.waiting]),
            "open_since": gate.open_since,
            "lost": gate.lost,
            "lost_at": gate.lost_at,
            "rests_until": gate.rests_until,
            "holder": holder,
            "ends_at": last_at + CALL_ENDS_SECONDS,
            "places": grant.places if grant else 0,
            "mark": mark,
        },
    )
    return [row.id for row in rows]


def keep(connection: Connection, places: Sequence[int], now: float) -> None:
    """Count these calls in flight as if they were granted `now`: others follow in their places."""
    connection.execute(
        text("UPDATE m2m.carrier_call SET ends_at = :ends_at WHERE id = ANY(:places)"),
        {"ends_at": now + CALL_ENDS_SECONDS, "places": list(places)},
    )


def _gate(row: Row[tuple[object, ...]]) -> Gate:
    return Gate(
        next_call_at=row.next_call_at,
        pace=row.pace,
        paced_at=row.paced_at,
        recent=tuple(row.recent),
        probe_at=row.probe_at,
        waiting=tuple(Turn(**turn) for turn in row.waiting),
        open_since=row.open_since,
        lost=row.lost,
        lost_at=row.lost_at,
        rests_until=row.rests_until,
    )


def _named(account: str) -> dict[str, object]:
    """The account with its parts, as `domain.accounts.account_key` joins them."""
    host, _, username = account.partition("/")
    return {"account": account, "host": host, "username": username}


def _limits(row: Row[tuple[object, ...]]) -> Limits | None:
    return None if row.at_once is None else Limits(float(row.calls_per_second), row.at_once)
