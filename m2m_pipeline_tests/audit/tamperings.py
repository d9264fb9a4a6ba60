"""What the owner of the tables can do to them. Each says at which number it must be noticed."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import LiteralString

import psycopg

from m2m_pipeline_tests.audit.log import OURS, THEIRS, Log


@dataclass(frozen=True)
class Occasion:
    """What a tampering has: the log, the owner's transaction, and up to which number digests were signed."""

    log: Log
    owner: psycopg.Connection
    chance: Random
    signed: int


Tampering = Callable[[Occasion], int]

_ENTRY: LiteralString = "(SELECT entry_id FROM m2m.audit_link WHERE tenant_id = 1 AND number = %(n)s)"
_CHANGES: tuple[LiteralString, ...] = (
    "actor = 'somebody else'",
    "outcome = 'REFUSED'",
    "iccid = '89000000000000000000'",
    "old_rate_plan = NULL",
    "new_rate_plan = 'Plan  New'",
    "message = coalesce(message, '')||' '",
    "at = at + interval '1 microsecond'",
    "retry = retry + 1",
    "request = request || '{\"attempt\": 99}'",
    "response = coalesce(response, 'null')||'[1]'",
    "kind = 'CARRIER_READ'",
    "device_change_id = NULL",
    "bulk_change_id = bulk_change_id + 1",
    "reason = 'BECAUSE'",
    "service_provider_id = 7",
)
_FORGED: LiteralString = """
    INSERT INTO m2m.audit_entry (tenant_id, at, kind, actor, outcome, iccid)
    SELECT 1, at, kind, 'forger', outcome, '89111111111111111111' FROM m2m.audit_entry WHERE id = """


def change(on: Occasion) -> int:
    number = on.chance.randint(1, on.log.length())
    on.owner.execute(
        "UPDATE m2m.audit_entry SET " + on.chance.choice(_CHANGES) + " WHERE id = " + _ENTRY, {"n": number}
    )
    return number


def delete(on: Occasion) -> int:
    number = on.chance.randint(1, on.log.length())
    on.owner.execute("DELETE FROM m2m.audit_entry WHERE id = " + _ENTRY, {"n": number})
    return number


def delete_with_seal(on: Occasion) -> int:
    number = on.chance.randint(1, on.signed)
    _remove(on.owner, number)
    return number


def delete_and_close_the_gap(on: Occasion) -> int:
    number = delete_with_seal(on)
    _shift(on.owner, number, -1)
    return number


def delete_and_chain_anew(on: Occasion) -> int:
    number = delete_and_close_the_gap(on)
    on.log.chain_anew(on.owner)
    return number


def change_and_chain_anew(on: Occasion) -> int:
    number = on.chance.randint(1, on.signed)
    on.owner.execute(
        "UPDATE m2m.audit_entry SET " + on.chance.choice(_CHANGES) + " WHERE id = " + _ENTRY, {"n": number}
    )
    on.log.chain_anew(on.owner)
    return number


def insert(on: Occasion) -> int:
    """Only an entry: it is sealed as the next one, and does not belong there."""
    on.owner.execute(_FORGED + _ENTRY, {"n": on.chance.randint(1, on.log.length() - 3)})
    return on.log.length() + 1


def insert_with_seal(on: Occasion) -> int:
    number = on.chance.randint(1, on.signed)
    _shift(on.owner, number - 1, 1)
    on.owner.execute(
        "WITH e AS (" + _FORGED + "(SELECT entry_id FROM m2m.audit_link WHERE tenant_id = 1 AND number = %(n)s + 1) "
        "RETURNING id) INSERT INTO m2m.audit_link SELECT 1, %(n)s, e.id, clock_timestamp(), l.hash "
        "FROM e, m2m.audit_link l WHERE l.tenant_id = 1 AND l.number = %(n)s + 1",
        {"n": number},
    )
    return number


def insert_and_chain_anew(on: Occasion) -> int:
    number = insert_with_seal(on)
    on.log.chain_anew(on.owner)
    return number


def swap(on: Occasion) -> int:
    """Two entries change places."""
    one, other = sorted(on.chance.sample(range(1, on.signed + 1), 2))
    on.owner.execute(
        "UPDATE m2m.audit_link l SET entry_id = -o.entry_id FROM m2m.audit_link o WHERE l.tenant_id = 1 "
        "AND o.tenant_id = 1 AND (l.number, o.number) IN ((%(one)s, %(other)s), (%(other)s, %(one)s))",
        {"one": one, "other": other},
    )
    on.owner.execute("UPDATE m2m.audit_link SET entry_id = -entry_id WHERE entry_id < 0")
    return one


def swap_and_chain_anew(on: Occasion) -> int:
    number = swap(on)
    on.log.chain_anew(on.owner)
    return number


def cut_the_tail(on: Occasion) -> int:
    number = on.chance.randint(1, on.signed)
    _cut(on.owner, number)
    return number


def cut_and_write_on(on: Occasion) -> int:
    """Of what is cut, what comes afterwards takes the place."""
    number = cut_the_tail(on)
    on.owner.commit()
    on.log.write(2 * on.signed)
    on.log.auditing.seal()
    return number


def remove_a_tenants_log(on: Occasion) -> int:
    _cut(on.owner, 1)
    return 1


def give_to_another_tenant(on: Occasion) -> int:
    number = on.chance.randint(1, on.log.length())
    on.owner.execute("UPDATE m2m.audit_entry SET tenant_id = %(to)s WHERE id = " + _ENTRY, {"to": THEIRS, "n": number})
    return number


def change_a_seal(on: Occasion) -> int:
    number = on.chance.randint(1, on.log.length())
    what: LiteralString = on.chance.choice(("hash = sha256(hash)", "sealed_at = sealed_at - interval '1 s'"))
    on.owner.execute("UPDATE m2m.audit_link SET " + what + " WHERE tenant_id = 1 AND number = %s", (number,))
    return number


ALL: tuple[Tampering, ...] = (
    change,
    delete,
    delete_with_seal,
    delete_and_close_the_gap,
    delete_and_chain_anew,
    change_and_chain_anew,
    insert,
    insert_with_seal,
    insert_and_chain_anew,
    swap,
    swap_and_chain_anew,
    cut_the_tail,
    cut_and_write_on,
    remove_a_tenants_log,
    give_to_another_tenant,
    change_a_seal,
)


def _remove(owner: psycopg.Connection, number: int) -> None:
    owner.execute("DELETE FROM m2m.audit_entry WHERE id = " + _ENTRY, {"n": number})
    owner.execute("DELETE FROM m2m.audit_link WHERE tenant_id = 1 AND number = %s", (number,))


def _cut(owner: psycopg.Connection, number: int) -> None:
    owner.execute(
        "DELETE FROM m2m.audit_entry WHERE id IN (SELECT entry_id FROM m2m.audit_link WHERE tenant_id = %s "
        "AND number >= %s)",
        (OURS, number),
    )
    owner.execute("DELETE FROM m2m.audit_link WHERE tenant_id = %s AND number >= %s", (OURS, number))


def _shift(owner: psycopg.Connection, after: int, by: int) -> None:
    """Links beyond a number move; by way of negative numbers, since none may be there twice."""
    owner.execute("UPDATE m2m.audit_link SET number = -(number + %s) WHERE tenant_id = 1 AND number > %s", (by, after))
    owner.execute("UPDATE m2m.audit_link SET number = -number WHERE tenant_id = 1 AND number < 0")
