"""The environment, typed."""

import pytest

from m2m_pipeline.settings import MissingSettingError, Settings, load_settings

URL = "postgresql+psycopg://m2m:s3cret@127.0.0.1/m2m"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"M2M_{name.upper()}", raising=False)


def refused(**given: str) -> str:
    with pytest.raises(MissingSettingError) as missing:
        load_settings({"M2M_DATABASE_URL": URL, **given})
    return str(missing.value)


def test_a_database_is_all_that_must_be_given() -> None:
    settings = load_settings({"M2M_DATABASE_URL": URL})
    assert settings.database_url.get_secret_value() == URL
    assert settings.encryption_keys == ()
    assert (settings.lease_seconds, settings.dispatch_interval_seconds) == (60, 5)


def test_the_environment_goes_before_what_runs_locally(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2M_LEASE_SECONDS", "30")
    assert load_settings({"M2M_DATABASE_URL": URL, "M2M_LEASE_SECONDS": "90"}).lease_seconds == 30


def test_keys_are_separated_by_commas_the_newest_first() -> None:
    settings = load_settings({"M2M_DATABASE_URL": URL, "M2M_ENCRYPTION_KEYS": " a , b,, "})
    assert [key.get_secret_value() for key in settings.encryption_keys] == ["a", "b"]


@pytest.mark.parametrize("url", ["", "postgresql://u:s3cret@h/d", "postgresql+psycopg2://u:s3cret@h/d", "sqlite://"])
def test_another_database_is_refused_by_name_without_its_password(url: str) -> None:
    message = refused(M2M_DATABASE_URL=url)
    assert "M2M_DATABASE_URL" in message
    assert "s3cret" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("M2M_LEASE_SECONDS", "1"),
        ("M2M_LEASE_SECONDS", "x"),
        ("M2M_LEASE_SECONDS", "nan"),
        ("M2M_DISPATCH_INTERVAL_SECONDS", "4"),
        ("M2M_DISPATCH_INTERVAL_SECONDS", "5.5"),
        ("M2M_SETTLE_SECONDS", "-1"),
        ("M2M_OUTAGE_PATIENCE_SECONDS", "86401"),
        ("M2M_OUTAGE_PATIENCE_SECONDS", "inf"),
        ("M2M_SQS_QUEUE_URL", "m2m-requests"),
        ("M2M_SQS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com"),
        ("M2M_SQS_ENDPOINT_URL", "localhost:4566"),
        ("M2M_SQS_TENANT", ""),
    ],
)
def test_a_value_out_of_range_is_told_with_name_meaning_and_example(name: str, value: str) -> None:
    message = refused(**{name: value})
    assert message.startswith(f"{name}: ")
    assert "Example: " in message


_ISSUER_SETTINGS = ("M2M_OIDC_ISSUER", "M2M_OIDC_JWKS_URL")


@pytest.mark.parametrize("name", _ISSUER_SETTINGS)
@pytest.mark.parametrize(
    "address",
    [
        "http://login.example.com/realms/m2m",
        "http://10.0.0.7:8080",
        "http://localhost.example.com",
        "http://localhost@login.example.com",
        "http://0.0.0.0:8080",
        "http://127.0.0.1.example.com",
        "http://[fe80::1]",
        "http://[",
    ],
)
def test_an_issuer_whose_keys_could_be_swapped_on_their_way_is_refused(name: str, address: str) -> None:
    assert refused(**{name: address}).startswith(f"{name}: ")


@pytest.mark.parametrize("name", _ISSUER_SETTINGS)
@pytest.mark.parametrize(
    "address",
    ["", "https://login.example.com/realms/m2m", "http://127.0.0.1:8080/a", "http://localhost:8080", "http://[::1]:1"],
)
def test_an_issuer_over_tls_or_on_this_machine_is_taken(name: str, address: str) -> None:
    assert name.removeprefix("M2M_").lower() in load_settings({"M2M_DATABASE_URL": URL, name: address}).model_fields_set


def test_all_wrong_settings_are_named_at_once() -> None:
    message = refused(M2M_LEASE_SECONDS="x", M2M_SETTLE_SECONDS="y")
    assert "M2M_LEASE_SECONDS" in message
    assert "M2M_SETTLE_SECONDS" in message


def test_secrets_do_not_show() -> None:
    settings = load_settings({"M2M_DATABASE_URL": URL, "M2M_ENCRYPTION_KEYS": "k3y"})
    assert "s3cret" not in repr(settings)
    assert "k3y" not in repr(settings)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is_and_gives_an_example(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description
    assert field.examples
