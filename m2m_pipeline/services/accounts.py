"""Carrier accounts: configure a provider, load its plans and devices from files or from the carrier."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from m2m_pipeline.domain.accounts import DriftPolicy, ServiceProvider, VerifyMode, check_name
from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.carrier import DeviceReading, UnsupportedIntegrationError
from m2m_pipeline.domain.outcome import Refused, Unreachable
from m2m_pipeline.domain.problems import Problem, RequestRejectedError, shown
from m2m_pipeline.domain.reasons import REASONS, ReasonCode
from m2m_pipeline.domain.secrets import SecretReference, SecretUnavailableError
from m2m_pipeline.services.credentials import Credentials
from m2m_pipeline.services.execution.access import Denied
from m2m_pipeline.services.paced import CarrierDoor, PacedCarrier
from m2m_pipeline.storage import accounts, audit, inventory, plans
from m2m_pipeline.storage.database import Database

# The carrier's list answers "modified since"; one source refuses moments more than a year back.
FULL_LISTING = timedelta(days=364)


class CarrierCallFailedError(Exception):
    """A carrier call that a use case needs did not succeed; the message says why and what to do."""

    def __init__(self, failure: Refused | Unreachable) -> None:
        self.failure = failure
        reason = REASONS[failure.reason]
        code = f", code {failure.answer.carrier_code}" if failure.answer.carrier_code else ""
        status = f"HTTP {failure.answer.http_status}" if failure.answer.http_status else "no answer"
        verdict = "Trying again may help." if reason.retry_helps else "Trying again does not help."
        said = f' It said: "{failure.answer.message}".' if failure.answer.message else ""
        super().__init__(f"Carrier: {reason.title} ({status}{code}).{said} {verdict} {reason.next_step}")


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What `m2m provider set` changes; None leaves a value as it is."""

    integration_type: str | None = None
    base_url: str | None = None
    username: str | None = None
    api_key: str | SecretReference | None = field(default=None, repr=False)
    calls_per_second: float | None = None
    in_flight: int | None = None
    verify: VerifyMode | None = None
    writes_enabled: bool | None = None
    drift: DriftPolicy | None = None


class Accounts:
    """Tenants' carrier accounts."""

    def __init__(self, database: Database, credentials: Credentials, door: CarrierDoor) -> None:
        self._database = database
        self._credentials = credentials
        self._door = door

    def configure(self, tenant_name: str, name: str, settings: ProviderSettings, actor: str) -> ServiceProvider:
        """Add a service provider, or change what `settings` names; its credential too, where one is given.

        Raises:
            UnsupportedIntegrationError: no adapter serves the integration type.
            NameRefusedError: the provider or its tenant is new, and none may be called so.
            RequestRejectedError: a new provider without integration type or base URL, or half a credential.

        """
        if settings.integration_type and self._door.carriers.capabilities(settings.integration_type) is None:
            raise UnsupportedIntegrationError(settings.integration_type)
        if (settings.username is None) != (settings.api_key is None):
            raise _field_error("username", "user name and API key are set together, or not at all")
        if settings.username is not None and not (settings.username.strip() and settings.api_key):
            raise _field_error("username", "user name and API key must not be empty")
        with self._database.begin() as tx:
            tenant = accounts.ensure_tenant(tx, tenant_name)
            provider = accounts.find_provider(tx, tenant.id, name=name)
            if provider is None:
                check_name("provider", name)
                if not settings.integration_type or not settings.base_url:
                    raise _field_error("integration", f'"{name}" is new: give its integration type and base URL')
                accounts.insert_provider(tx, tenant.id, name, settings.integration_type, settings.base_url)
                provider = accounts.find_provider(tx, tenant.id, name=name)
                assert provider is not None
            changed = replace(provider, **_given(settings))
            accounts.update_provider(tx, changed)
            audit.write(
                tx,
                AuditKind.PROVIDER_CONFIGURED,
                tenant_id=tenant.id,
                actor=actor,
                outcome="STORED",
                service_provider_id=changed.id,
                request={field: str(value) for field, value in _given(settings).items()},
            )
            if settings.username is not None and settings.api_key is not None:
                self._credentials.store(tx, changed, settings.username, settings.api_key)
                where = settings.api_key if isinstance(settings.api_key, SecretReference) else None
                audit.write(
                    tx,
                    AuditKind.CREDENTIAL_CHANGED,
                    tenant_id=tenant.id,
                    actor=actor,
                    outcome="STORED",
                    service_provider_id=changed.id,
                    request={"username": settings.username} | ({"reference": str(where)} if where else {}),
                )
        return changed

    def list_providers(self, tenant_name: str) -> Sequence[ServiceProvider]:
        """The tenant's service providers by name."""
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name)
            return accounts.list_providers(tx, tenant.id) if tenant else []

    def provider(self, tenant_name: str, name: str) -> ServiceProvider:
        """The tenant's service provider of that name.

        Raises:
            RequestRejectedError: there is none.

        """
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name)
            provider = accounts.find_provider(tx, tenant.id, name=name) if tenant else None
        if provider is None:
            message = f'Tenant "{shown(tenant_name)}" has no service provider "{shown(name)}".'
            raise RequestRejectedError([Problem(ReasonCode.PROVIDER_UNKNOWN, message, "provider", shown(name))])
        return provider

    def credential_place(self, provider: ServiceProvider) -> str:
        """Where the provider's API key is: `sealed` in our database, a reference to another store, or `none`."""
        with self._database.begin() as tx:
            stored = accounts.find_credential(tx, provider.id)
        if stored is None:
            return "none"
        return str(stored[1]) if isinstance(stored[1], SecretReference) else "sealed"

    def import_plans(
        self, provider: ServiceProvider, rate_plans: Sequence[str], communication_plans: Sequence[str]
    ) -> None:
        """Store the plans that a provider offers."""
        with self._database.begin() as tx:
            plans.store(tx, provider, rate_plans, communication_plans)

    def import_devices(self, provider: ServiceProvider, devices: Sequence[DeviceReading]) -> int:
        """Store devices of the inventory; how many were new or differed."""
        with self._database.begin() as tx:
            return inventory.store_devices(tx, provider, devices)

    async def sync(self, provider: ServiceProvider, progress: Callable[[int], None]) -> tuple[int, int]:
        """Load plans and devices from the carrier; (devices seen, rows new or different).

        Raises:
            CarrierCallFailedError: a page could not be read; what was read before it is stored.
            RequestRejectedError: the provider has no credential, or not where it should be.
            SecretUnavailableError: the store that keeps it does not answer.

        """
        credential = await asyncio.to_thread(self._credentials.load, provider)
        if isinstance(credential, Denied):
            raise _no_credential(provider, credential)
        carrier = self._door.open(provider, credential)
        seen = changed = 0
        try:
            rate_plans = await _published_rate_plans(carrier)
            async for devices in _device_pages(carrier):
                seen += len(devices)
                changed += self.import_devices(provider, devices)
                self.import_plans(provider, *_plans_in_use(devices))
                progress(seen)
            self.import_plans(provider, rate_plans, ())
        finally:
            await carrier.close()
        return seen, changed


def _no_credential(provider: ServiceProvider, denied: Denied) -> Exception:
    if REASONS[denied.reason].retry_helps:
        return SecretUnavailableError(str(denied), retry_helps=True)
    return RequestRejectedError([Problem(denied.reason, denied.message, "provider", provider.name)])


def _given(settings: ProviderSettings) -> dict[str, object]:
    fields = ("integration_type", "base_url", "calls_per_second", "in_flight", "verify", "writes_enabled", "drift")
    return {name: value for name in fields if (value := getattr(settings, name)) is not None}


def _field_error(field: str, message: str) -> RequestRejectedError:
    return RequestRejectedError([Problem(ReasonCode.FIELD_INVALID, f"{field}: {message}.", field)])


def _plans_in_use(devices: Sequence[DeviceReading]) -> tuple[list[str], list[str]]:
    rate_plans = {device.rate_plan for device in devices if device.rate_plan}
    communication_plans = {device.communication_plan for device in devices if device.communication_plan}
    return sorted(rate_plans), sorted(communication_plans)


async def _published_rate_plans(carrier: PacedCarrier) -> list[str]:
    """The account's rate plans; none where the role may not list them (then the devices' own are all there is)."""
    names: list[str] = []
    page = 1
    while True:
        answer = await carrier.list_rate_plans(page)
        if isinstance(answer, Refused) and answer.reason is ReasonCode.CARRIER_ROLE_REFUSED:
            return names
        if isinstance(answer, Refused | Unreachable):
            raise CarrierCallFailedError(answer)
        names.extend(answer.names)
        if answer.last:
            return names
        page += 1


async def _device_pages(carrier: PacedCarrier) -> AsyncIterator[Sequence[DeviceReading]]:
    """The account's whole inventory. A failed page is an error, never an end: a failed read is no empty list."""
    since = datetime.now(UTC) - FULL_LISTING
    page = 1
    while True:
        answer = await carrier.list_devices(since, page)
        if isinstance(answer, Refused | Unreachable):
            raise CarrierCallFailedError(answer)
        yield answer.devices
        if answer.last:
            return
        page += 1
