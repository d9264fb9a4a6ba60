"""The registry: which integration types there are, and to which addresses a credential may go."""

import pytest

from m2m_pipeline.carriers.jasper.adapter import CAPABILITIES
from m2m_pipeline.carriers.registry import (
    CarrierRegistry,
    InvalidBaseUrlError,
    build_carrier,
    canonical_integration,
    checked_base_url,
    supported_integrations,
)
from m2m_pipeline.domain.accounts import Credential, ServiceProvider, VerifyMode
from m2m_pipeline.domain.carrier import UnsupportedIntegrationError

CREDENTIAL = Credential("anna", "5ecret")


def test_four_integration_types_are_served() -> None:
    assert supported_integrations() == ("Jasper", "POD19", "Rogers", "TMobileJasper")


@pytest.mark.parametrize("written", ["POD19", "pod19", " Pod19 "])
def test_case_does_not_matter_and_the_canonical_name_is_kept(written: str) -> None:
    assert canonical_integration(written) == "POD19"


@pytest.mark.parametrize("written", ["ThingSpace", "Teal", "POD 19", "8", ""])
def test_any_other_integration_type_is_refused_with_the_names_of_the_supported_ones(written: str) -> None:
    with pytest.raises(UnsupportedIntegrationError) as refusal:
        build_carrier(written, "https://restapi19.att.com", CREDENTIAL, 1)

    assert all(name in str(refusal.value) for name in supported_integrations())


@pytest.mark.parametrize("integration", supported_integrations())
def test_every_integration_type_has_an_adapter_that_declares_its_carrier(integration: str) -> None:
    carrier = build_carrier(integration, "https://restapi19.att.com", CREDENTIAL, 1)

    assert carrier.capabilities.devices_per_call == 1
    assert carrier.capabilities.effective_date_horizon_days == 180


def test_the_engine_sees_what_a_carrier_can_do_before_it_has_a_credential() -> None:
    registry = CarrierRegistry()

    assert registry.capabilities("pod19") is CAPABILITIES
    assert registry.capabilities("ThingSpace") is None


def test_the_engine_opens_the_account_of_a_provider() -> None:
    provider = ServiceProvider(
        id=1,
        tenant_id=1,
        name="AT&T",
        integration_type="POD19",
        base_url="https://restapi19.att.com",
        calls_per_second=5.0,
        in_flight=1,
        verify=VerifyMode.PAGES,
        writes_enabled=True,
    )

    assert CarrierRegistry().open(provider, CREDENTIAL).capabilities is CAPABILITIES


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://restapi19.att.com", "https://restapi19.att.com"),
        (" HTTPS://RestAPI19.att.com/ ", "https://restapi19.att.com"),
        ("https://restapi19.att.com:8443", "https://restapi19.att.com:8443"),
        ("https://restapi19.att.com:443", "https://restapi19.att.com"),
        ("http://[::1]:80/", "http://[::1]"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_base_url_is_scheme_and_host(given: str, kept: str) -> None:
    assert checked_base_url(given) == kept


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "such as https://restapi19.att.com"),
        ("restapi19.att.com", "such as https://restapi19.att.com"),
        ("ftp://restapi19.att.com", "such as https://restapi19.att.com"),
        ("https://", "such as https://restapi19.att.com"),
        ("https://host:port", "such as https://restapi19.att.com"),
        ("https://[::1", "such as https://restapi19.att.com"),
        ("https://two words.example", "such as https://restapi19.att.com"),
        ("http://restapi19.att.com", "https://"),
        ("http://127.0.0.1.example.com", "https://"),
        ("https://anna:5ecret@restapi19.att.com", "user name or key"),
        ("https://restapi19.att.com/rws/api/v1", "end after the host"),
        ("https://restapi19.att.com?key=5ecret", "end after the host"),
        ("https://restapi19.att.com#top", "end after the host"),
    ],
)
def test_any_other_base_url_is_refused_with_the_reason_and_without_its_secrets(given: str, why: str) -> None:
    with pytest.raises(InvalidBaseUrlError) as refusal:
        checked_base_url(given)

    assert why in str(refusal.value)
    assert "5ecret" not in str(refusal.value)
