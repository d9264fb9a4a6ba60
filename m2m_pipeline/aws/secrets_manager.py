"""Amazon's secret store."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from m2m_pipeline.aws.answers import NO_CREDENTIALS, code_of, denies, passes
from m2m_pipeline.domain.secrets import SecretReference, SecretUnavailableError

_POLICY = "docs/secrets.md"
_GONE = {"ResourceNotFoundException", "InvalidRequestException"}  # the latter: it is marked for deletion


def read_secret(open_client: Callable[[], Any], reference: SecretReference) -> str:
    """The secret that the reference names, as it is now; never kept. `open_client` gives a client of boto3.

    Raises:
        SecretUnavailableError: it cannot be had.

    """
    try:
        client = open_client()
        try:
            answer: Mapping[str, Any] = client.get_secret_value(SecretId=reference.name)
        finally:
            client.close()
    except (BotoCoreError, ClientError) as error:
        what, remedy, retry_helps = _explained(error)
        raise _unavailable(reference, what, remedy, retry_helps=retry_helps) from error
    content = str(answer.get("SecretString") or "")
    secret = content if reference.key is None else _field(reference, content)
    if not secret.strip():
        raise _unavailable(reference, "it holds no text", "store the secret there as text")
    return secret.strip()


def _field(reference: SecretReference, content: str) -> str:
    try:
        document = json.loads(content)
    except ValueError:  # its words repeat a part of the secret
        document = None
    if not isinstance(document, dict):
        raise _unavailable(reference, "it is no JSON object", "leave the #KEY out, or store a JSON object there")
    value = document.get(reference.key)
    if not isinstance(value, str):
        raise _unavailable(
            reference, f'its JSON object has no text "{reference.key}"', "correct the #KEY or the secret"
        )
    return value


def _unavailable(
    reference: SecretReference, what: str, remedy: str, *, retry_helps: bool = False
) -> SecretUnavailableError:
    return SecretUnavailableError(f"Secret {reference}: {what}; {remedy}.", retry_helps=retry_helps)


def _explained(error: BotoCoreError | ClientError) -> tuple[str, str, bool]:
    """What happened, what helps, and whether a retry does. AWS's own words stay out: they name accounts and roles."""
    if isinstance(error, ClientError):
        return _answered(error)
    kind = type(error).__name__
    if isinstance(error, NoRegionError):
        return "no AWS region is known", "set M2M_SECRETS_MANAGER_REGION", False
    if isinstance(error, NO_CREDENTIALS):
        remedy = "give this process a role, a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return f"AWS credentials cannot be had ({kind})", remedy, False
    remedy = "see the network, M2M_SECRETS_MANAGER_REGION and M2M_SECRETS_MANAGER_ENDPOINT_URL"
    return f"AWS Secrets Manager does not answer ({kind})", remedy, True


def _answered(error: ClientError) -> tuple[str, str, bool]:
    code = code_of(error)
    if code in _GONE:
        return "there is no such secret", "check the name and M2M_SECRETS_MANAGER_REGION", False
    if denies(error):
        return f"AWS does not let us in ({code})", f"check the keys, and the policy that {_POLICY} gives", False
    if passes(error):
        return f"AWS Secrets Manager is in trouble ({code})", "it may be over soon", True
    return f"AWS refuses ({code})", "look the code up in the API reference of AWS Secrets Manager", False
