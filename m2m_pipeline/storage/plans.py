"""The plans that a service provider offers, by name: what may be asked for."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, text

from m2m_pipeline.domain.accounts import ServiceProvider


def store(
    connection: Connection, provider: ServiceProvider, rate_plans: Iterable[str], communication_plans: Iterable[str]
) -> None:
    """Add plans that a provider offers; a retired plan that is named again is back."""
    for table, names in (("carrier_rate_plan", rate_plans), ("communication_plan", communication_plans)):
        connection.execute(
            text(
                f"""
                INSERT INTO m2m.{table} (tenant_id, service_provider_id, name)
                SELECT :tenant, :provider, name FROM unnest(CAST(:names AS text[])) AS name
                ON CONFLICT (service_provider_id, name) DO UPDATE SET retired_at = NULL
                """
            ),
            {"tenant": provider.tenant_id, "provider": provider.id, "names": sorted(set(names))},
        )


def list_rate_plans(connection: Connection, provider_id: int) -> Sequence[str]:
    """The rate plans that the provider offers now, by name."""
    return _list_plans(connection, "carrier_rate_plan", provider_id)


def list_communication_plans(connection: Connection, provider_id: int) -> Sequence[str]:
    """The communication plans that the provider offers now, by name."""
    return _list_plans(connection, "communication_plan", provider_id)


def _list_plans(connection: Connection, table: str, provider_id: int) -> Sequence[str]:
    statement = text(
        f"SELECT name FROM m2m.{table} WHERE service_provider_id = :provider AND retired_at IS NULL ORDER BY name"
    )
    return connection.execute(statement, {"provider": provider_id}).scalars().all()


def has_rate_plan(connection: Connection, provider_id: int, name: str) -> bool:
    """Whether the provider offers the rate plan now."""
    return _has_plan(connection, "carrier_rate_plan", provider_id, name)


def has_communication_plan(connection: Connection, provider_id: int, name: str) -> bool:
    """Whether the provider offers the communication plan now."""
    return _has_plan(connection, "communication_plan", provider_id, name)


def _has_plan(connection: Connection, table: str, provider_id: int, name: str) -> bool:
    statement = text(
        f"SELECT 1 FROM m2m.{table} WHERE service_provider_id = :provider AND name = :name AND retired_at IS NULL"
    )
    return connection.execute(statement, {"provider": provider_id, "name": name}).first() is not None
