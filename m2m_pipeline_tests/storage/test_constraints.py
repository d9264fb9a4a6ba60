"""The schema itself refuses what must never be, whoever writes it."""

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import IntegrityError

from m2m_pipeline_tests.storage.conftest import ICCIDS, Stock


@pytest.fixture
def raw(database_url: str) -> psycopg.Connection:
    return psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True)


@pytest.fixture(autouse=True)
def closed(raw: psycopg.Connection) -> object:
    yield
    raw.close()


def test_a_device_has_one_open_change_at_a_provider(stock: Stock) -> None:
    stock.record()
    with pytest.raises(IntegrityError, match="uq_device_change_open"):
        stock.record(1, first=2)
    stock.record(provider=stock.theirs)


@pytest.mark.parametrize("status", ["PENDING", "SENDING", "UNCONFIRMED", "APPLIED", "AMOP_FAILED"])
def test_a_device_is_held_in_every_open_state(stock: Stock, raw: psycopg.Connection, status: str) -> None:
    first = stock.record(1)
    raw.execute("UPDATE m2m.device_change SET status = 'PROCESSED' WHERE bulk_change_id = %s", (first,))
    second = stock.record(1)
    with pytest.raises(errors.UniqueViolation):
        raw.execute("UPDATE m2m.device_change SET status = %s WHERE bulk_change_id = %s", (status, first))
    assert stock.statuses(second) == ["PENDING"]


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE m2m.bulk_change SET status = 'DONE'", "ck_bulk_change_status"),
        ("UPDATE m2m.device_change SET status = 'DONE'", "ck_device_change_status"),
        ("UPDATE m2m.device_change SET status = 'REFUSED'", "no_end_without_reason"),
        ("UPDATE m2m.device_change SET status = 'SKIPPED'", "no_end_without_reason"),
        ("UPDATE m2m.bulk_change SET batch_size = 0", "batch_size"),
        ("UPDATE m2m.bulk_change SET batch_size = 2001", "batch_size"),
        ("UPDATE m2m.service_provider SET calls_per_second = 0", "calls_per_second"),
        ("UPDATE m2m.service_provider SET in_flight = 0", "in_flight"),
        ("UPDATE m2m.service_provider SET verify = 'maybe'", "verify"),
        (
            "INSERT INTO m2m.audit_entry (tenant_id, kind, actor, outcome) SELECT id, 'GOSSIP', '', '' FROM m2m.tenant",
            "ck_audit_entry_kind",
        ),
    ],
)
def test_a_value_outside_the_closed_list_is_refused(
    stock: Stock, raw: psycopg.Connection, statement: str, constraint: str
) -> None:
    stock.record()
    with pytest.raises(errors.CheckViolation, match=constraint):
        raw.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE m2m.bulk_change SET tenant_id = %(theirs)s",
        "UPDATE m2m.device_change SET tenant_id = %(theirs)s",
        "UPDATE m2m.device SET tenant_id = %(theirs)s WHERE tenant_id = %(ours)s",
        "UPDATE m2m.bulk_change SET service_provider_id = %(their_provider)s",
        "UPDATE m2m.device_change SET service_provider_id = %(their_provider)s",
    ],
)
def test_no_row_points_at_another_tenants(stock: Stock, raw: psycopg.Connection, statement: str) -> None:
    stock.record()
    with pytest.raises(errors.ForeignKeyViolation):
        raw.execute(
            statement.encode(),
            {
                "ours": stock.ours.tenant_id,
                "theirs": stock.theirs.tenant_id,
                "our_provider": stock.ours.id,
                "their_provider": stock.theirs.id,
            },
        )


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("carrier_rate_plan", ("name",)),
        ("communication_plan", ("name",)),
        ("device", ("iccid",)),
        ("carrier_credential", ("username", "ciphertext")),
    ],
)
def test_no_row_is_made_that_points_at_another_tenants(
    stock: Stock, raw: psycopg.Connection, table: str, columns: tuple[str, ...]
) -> None:
    names = ", ".join(("tenant_id", "service_provider_id", *columns))
    statement = f"INSERT INTO m2m.{table} ({names}) VALUES (%s, %s{', %s' * len(columns)})"
    with pytest.raises(errors.ForeignKeyViolation):
        raw.execute(statement.encode(), (stock.theirs.tenant_id, stock.ours.id, *["x"] * len(columns)))


def test_a_row_number_is_used_once_in_a_bulk_change(stock: Stock, raw: psycopg.Connection) -> None:
    stock.record()
    with pytest.raises(errors.UniqueViolation):
        raw.execute("UPDATE m2m.device_change SET row_number = 1 WHERE row_number = 2")


def test_a_device_is_in_a_providers_inventory_once(stock: Stock, raw: psycopg.Connection) -> None:
    with pytest.raises(errors.UniqueViolation):
        raw.execute(
            "INSERT INTO m2m.device (tenant_id, service_provider_id, iccid) VALUES (%s, %s, %s)",
            (stock.ours.tenant_id, stock.ours.id, ICCIDS[0]),
        )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE m2m.audit_entry SET outcome = 'x'",
        "DELETE FROM m2m.audit_entry",
        "TRUNCATE m2m.audit_entry",
        "DELETE FROM m2m.audit_entry WHERE false",
    ],
)
def test_the_audit_log_is_append_only(stock: Stock, raw: psycopg.Connection, statement: str) -> None:
    raw.execute(
        "INSERT INTO m2m.audit_entry (tenant_id, kind, actor, outcome) VALUES (%s, 'DEVICE_ENDED', 'a', 'b')",
        (stock.ours.tenant_id,),
    )
    with pytest.raises(errors.InsufficientPrivilege, match="append-only"):
        raw.execute(statement.encode())
    assert raw.execute("SELECT outcome FROM m2m.audit_entry").fetchall() == [("b",)]
