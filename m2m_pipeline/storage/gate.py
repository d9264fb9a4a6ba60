"""The budget of a carrier account: one row in which every process reserves its calls (generic cell rate algorithm).

A reservation lies in the future: the caller sleeps until it and then calls. Nobody polls and nobody starves; a crash
loses the permits it had reserved, which makes the account slower for a moment, never faster.
"""

from sqlalchemy import Connection, text


def reserve(connection: Connection, account: str, calls: int, spacing_seconds: float) -> float:
    """Reserve `calls` calls, `spacing_seconds` apart; seconds until the first of them."""
    return connection.execute(
        text(
            """
            INSERT INTO m2m.carrier_gate AS g (account, next_call_at)
            VALUES (:account, clock_timestamp() + make_interval(secs => :span))
            ON CONFLICT (account)
            DO UPDATE SET next_call_at = greatest(g.next_call_at, clock_timestamp()) + make_interval(secs =>
                :span)
            RETURNING greatest(0, extract(epoch FROM next_call_at - make_interval(secs => :span) -
                clock_timestamp()))
            """
        ),
        {"account": account, "span": calls * spacing_seconds},
    ).scalar_one()


def hold(connection: Connection, account: str, seconds: float) -> None:
    """Let nobody on the account reserve a call within the next `seconds` seconds."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.carrier_gate AS g (account, next_call_at)
            VALUES (:account, clock_timestamp() + make_interval(secs => :seconds))
            ON CONFLICT (account)
            DO UPDATE SET next_call_at = greatest(g.next_call_at, excluded.next_call_at)
            """
        ),
        {"account": account, "seconds": seconds},
    )
