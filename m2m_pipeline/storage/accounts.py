"""Tenants, service providers and credentials."""

from collections.abc import Sequence

from sqlalchemy import Connection, Row, text

from m2m_pipeline.domain.accounts import DriftPolicy, ServiceProvider, Tenant, VerifyMode, check_name
from m2m_pipeline.domain.secrets import SecretReference

_PROVIDER_COLUMNS = (
    "id, tenant_id, name, integration_type, base_url, calls_per_second, in_flight, verify, writes_enabled, drift"
)

ACCOUNT_HOST = "split_part(split_part(p.base_url, '://', 2), '/', 1)"
"""The host of service provider `p`, which with the API user is the account (`domain.accounts.account_key`)."""


def _provider(row: Row[tuple[object, ...]]) -> ServiceProvider:
    return ServiceProvider(
        id=row.id,
        tenant_id=row.tenant_id,
        name=row.name,
        integration_type=row.integration_type,
        base_url=row.base_url,
        calls_per_second=float(row.calls_per_second),
        in_flight=row.in_flight,
        verify=VerifyMode(row.verify),
        writes_enabled=row.writes_enabled,
        drift=DriftPolicy(row.drift),
    )


def ensure_tenant(connection: Connection, name: str) -> Tenant:
    """The tenant called `name`, made if it is new.

    Raises:
        NameRefusedError: it is new, and no tenant may be called so.

    """
    known = find_tenant(connection, name)
    if known is not None:
        return known
    check_name("tenant", name)
    connection.execute(
        text("INSERT INTO m2m.tenant (name) VALUES (:name) ON CONFLICT (name) DO NOTHING"), {"name": name}
    )
    tenant = find_tenant(connection, name)
    assert tenant is not None
    return tenant


def find_tenant(connection: Connection, name: str) -> Tenant | None:
    """The tenant called `name`, or None."""
    row = connection.execute(
        text("SELECT id, name, max_devices, max_open_changes FROM m2m.tenant WHERE name = :name"), {"name": name}
    ).first()
    return Tenant(row.id, row.name, row.max_devices, row.max_open_changes) if row else None


def tenant_name(connection: Connection, tenant_id: int) -> str:
    """The tenant's name."""
    return connection.execute(text("SELECT name FROM m2m.tenant WHERE id = :id"), {"id": tenant_id}).scalar_one()


def find_provider(
    connection: Connection, tenant_id: int, *, name: str | None = None, provider_id: int | None = None
) -> ServiceProvider | None:
    """The tenant's service provider of that name or id, or None."""
    row = connection.execute(
        text(
            f"""
            SELECT {_PROVIDER_COLUMNS} FROM m2m.service_provider
            WHERE tenant_id = :tenant AND (CAST(:name AS text) IS NOT NULL OR CAST(:id AS bigint) IS NOT NULL)
                AND name = coalesce(:name, name) AND id = coalesce(:id, id)
            """
        ),
        {"tenant": tenant_id, "name": name, "id": provider_id},
    ).first()
    return _provider(row) if row else None


def provider_of(connection: Connection, bulk_change_id: int) -> ServiceProvider:
    """The service provider of a bulk change, as it is configured now."""
    row = connection.execute(
        text(
            f"""
            SELECT {_PROVIDER_COLUMNS} FROM m2m.service_provider
            WHERE id = (SELECT service_provider_id FROM m2m.bulk_change WHERE id = :id)
            """
        ),
        {"id": bulk_change_id},
    ).one()
    return _provider(row)


def list_providers(connection: Connection, tenant_id: int) -> Sequence[ServiceProvider]:
    """The tenant's service providers by name."""
    rows = connection.execute(
        text(f"SELECT {_PROVIDER_COLUMNS} FROM m2m.service_provider WHERE tenant_id = :tenant ORDER BY name"),
        {"tenant": tenant_id},
    )
    return [_provider(row) for row in rows]


def list_all_providers(connection: Connection) -> Sequence[tuple[str, ServiceProvider]]:
    """The service providers of all tenants, each with its tenant's name."""
    columns = ", ".join(f"p.{column}" for column in _PROVIDER_COLUMNS.split(", "))
    rows = connection.execute(
        text(
            f"""
            SELECT t.name AS tenant, {columns} FROM m2m.service_provider p JOIN m2m.tenant t ON t.id = p.tenant_id
            ORDER BY t.name, p.name
            """
        )
    )
    return [(row.tenant, _provider(row)) for row in rows]


def list_with_credential(connection: Connection) -> Sequence[tuple[str, ServiceProvider]]:
    """The service providers, of all tenants, whose carrier can be asked, each with its tenant's name."""
    rows = connection.execute(
        text(
            f"""
            SELECT {_PROVIDER_COLUMNS}, (SELECT t.name FROM m2m.tenant t WHERE t.id = p.tenant_id) AS tenant
            FROM m2m.service_provider p
            WHERE EXISTS (SELECT 1 FROM m2m.carrier_credential k WHERE k.service_provider_id = p.id)
            ORDER BY id
            """
        )
    )
    return [(row.tenant, _provider(row)) for row in rows]


def insert_provider(connection: Connection, tenant_id: int, name: str, integration_type: str, base_url: str) -> int:
    """Add a service provider with the default limits (writes disabled); its id."""
    return connection.execute(
        text(
            """
            INSERT INTO m2m.service_provider (tenant_id, name, integration_type, base_url)
            VALUES (:tenant, :name, :integration_type, :base_url) RETURNING id
            """
        ),
        {"tenant": tenant_id, "name": name, "integration_type": integration_type, "base_url": base_url},
    ).scalar_one()


def update_provider(connection: Connection, provider: ServiceProvider) -> None:
    """Store everything that may change of a service provider."""
    connection.execute(
        text(
            """
            UPDATE m2m.service_provider
            SET integration_type = :integration_type, base_url = :base_url, calls_per_second =
                :calls_per_second, in_flight = :in_flight, verify = :verify, writes_enabled = :writes_enabled,
                drift = :drift, updated_at = clock_timestamp()
            WHERE id = :id AND tenant_id = :tenant
            """
        ),
        {
            "id": provider.id,
            "tenant": provider.tenant_id,
            "integration_type": provider.integration_type,
            "base_url": provider.base_url,
            "calls_per_second": provider.calls_per_second,
            "in_flight": provider.in_flight,
            "verify": provider.verify.value,
            "writes_enabled": provider.writes_enabled,
            "drift": provider.drift.value,
        },
    )


def store_credential(
    connection: Connection, provider: ServiceProvider, username: str, api_key: bytes | SecretReference
) -> None:
    """Store a service provider's API user and its key, sealed or where it is kept, replacing the one before."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.carrier_credential (service_provider_id, tenant_id, username, ciphertext, reference)
            VALUES (:provider, :tenant, :username, :ciphertext, :reference) ON CONFLICT (service_provider_id)
            DO UPDATE SET username = excluded.username, ciphertext = excluded.ciphertext,
                reference = excluded.reference, updated_at = clock_timestamp()
            """
        ),
        {
            "provider": provider.id,
            "tenant": provider.tenant_id,
            "username": username,
            "ciphertext": None if isinstance(api_key, SecretReference) else api_key,
            "reference": str(api_key) if isinstance(api_key, SecretReference) else None,
        },
    )


def find_credential(connection: Connection, provider_id: int) -> tuple[str, bytes | SecretReference] | None:
    """A service provider's API user and its key, sealed or where it is kept; None without one."""
    row = connection.execute(
        text(
            "SELECT username, ciphertext, reference FROM m2m.carrier_credential WHERE service_provider_id = :provider"
        ),
        {"provider": provider_id},
    ).first()
    if row is None:
        return None
    return row.username, SecretReference.parse(row.reference) if row.reference else bytes(row.ciphertext)


def find_username(connection: Connection, provider_id: int) -> str | None:
    """The API user of a service provider, or None: for whom the sealed key is none of their business."""
    return connection.execute(
        text("SELECT username FROM m2m.carrier_credential WHERE service_provider_id = :provider"),
        {"provider": provider_id},
    ).scalar_one_or_none()
