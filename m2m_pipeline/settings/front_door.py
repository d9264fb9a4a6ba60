"""The settings of the HTTP API and the page."""

from pydantic import BaseModel, Field, SecretStr

from m2m_pipeline.settings.forms import ADDRESS, TrustedAddress


class FrontDoorSettings(BaseModel):
    """Who comes in over HTTP, and how much at a time."""

    oidc_issuer: TrustedAddress = Field(
        default="",
        description="Whose tokens the API takes beside its keys (OpenID Connect; https beyond this machine), if any",
        examples=["https://login.example.com/realms/m2m"],
    )
    oidc_audience: str = Field(
        default="",
        description="For whom a token must have been issued",
        examples=["m2m-pipeline"],
    )
    oidc_jwks_url: TrustedAddress = Field(
        default="",
        description="Where the issuer's public keys are (https as well), if its discovery document is not to be asked",
        examples=["https://login.example.com/realms/m2m/protocol/openid-connect/certs"],
    )
    oidc_tenant_claim: str = Field(
        default="tenant",
        min_length=1,
        description="Which claim of a token names the tenant",
        examples=["tenant"],
    )
    oidc_role_claim: str = Field(
        default="role",
        min_length=1,
        description="Which claim of a token names the role: viewer, operator, admin or auditor",
        examples=["role"],
    )
    oidc_client_id: str = Field(
        default="",
        description="The page's client id at the OIDC issuer (authorization code with PKCE)",
        examples=["m2m-page"],
    )
    oidc_client_secret: SecretStr = Field(
        default=SecretStr(""),
        description="The page's secret at the issuer, if it is a confidential client there",
        examples=["as the issuer gave it"],
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^/\s]+)?$",
        description="Where people reach the page; needed where a proxy stands before it, and for sign-in with OIDC",
        examples=["https://m2m.example.com"],
    )
    dagster_url: str = Field(
        default="",
        pattern=ADDRESS,
        description="Where people reach the Dagster UI; the page links each change's runs there",
        examples=["https://dagster.example.com"],
    )
    dev_sign_in: bool = Field(
        default=False,
        description="For development: the page lets anybody in, as any role; refused on an address beyond this machine",
        examples=["true"],
    )
    metrics_token: SecretStr = Field(
        default=SecretStr(""),
        description="Bearer token that `/metrics` asks for; without it everybody who reaches the port may read them",
        examples=["a long random text"],
    )
    max_body_bytes: int = Field(
        default=32 * 1024 * 1024,
        ge=1024,
        le=1024**3,
        description="How long the body of a request to the API may be, in bytes (100,000 devices are about 2,500,000)",
        examples=["33554432"],
    )
    requests_per_second: float = Field(
        default=50.0,
        gt=0,
        le=100_000,
        description="Requests that the API answers to one key or person, ten seconds' worth at once; for each process",
        examples=["50"],
    )
