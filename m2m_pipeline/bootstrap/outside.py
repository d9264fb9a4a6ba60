"""What is reached outside: secrets that are kept elsewhere, destinations of notices, the place of audit digests."""

import warnings
from collections.abc import Mapping
from pathlib import Path

from m2m_pipeline.aws.sqs_sender import SqsSender
from m2m_pipeline.delivery.addresses import DestinationPolicy
from m2m_pipeline.delivery.archive import DirectoryArchive
from m2m_pipeline.delivery.mail import MailSender, SmtpServer
from m2m_pipeline.delivery.webhook import WebhookSender
from m2m_pipeline.domain.digests import DigestArchive
from m2m_pipeline.domain.notices import DestinationKind, Sender
from m2m_pipeline.domain.secrets import SecretReader, SecretReference
from m2m_pipeline.settings import Settings

SECRET_RETRIES = 2
"""Of a call to AWS Secrets Manager, before an attempt ends for want of a credential."""


def secret_reader(settings: Settings) -> SecretReader:
    """Reads AWS Secrets Manager through Dagster's resource, with the credentials that AWS's own chain finds."""

    def read(reference: SecretReference) -> str:
        from dagster_aws.secretsmanager import SecretsManagerResource  # noqa: PLC0415 - only who keeps keys there pays

        from m2m_pipeline.aws.secrets_manager import read_secret  # noqa: PLC0415 - as above

        # Its release is pinned: what may change in it changes with a release that we choose.
        warnings.filterwarnings("ignore", r"Class `SecretsManagerResource` is currently in beta")
        resource = SecretsManagerResource(
            region_name=settings.secrets_manager_region or None,
            endpoint_url=settings.secrets_manager_endpoint_url or None,
            max_attempts=SECRET_RETRIES,
        )
        return read_secret(resource.get_client, reference)

    return read


def senders(settings: Settings, policy: DestinationPolicy) -> Mapping[DestinationKind, Sender]:
    """What delivers notices, by the kind of their destination. `policy` says which webhooks may be called."""
    return {
        DestinationKind.WEBHOOK: WebhookSender(policy),
        DestinationKind.EMAIL: MailSender(_smtp(settings)),
        DestinationKind.SQS: SqsSender(settings.sqs_region or None, settings.sqs_endpoint_url or None),
    }


def digest_archive(target: str) -> DigestArchive | None:
    """The place of audit digests: None where there is none, or a directory, or `s3://BUCKET/PREFIX`.

    Raises:
        ArchiveUnavailableError: AWS's own configuration cannot be read.

    """
    if not target:
        return None
    if not target.startswith("s3://"):
        return DirectoryArchive(Path(target))
    from m2m_pipeline.aws.s3 import S3Archive  # noqa: PLC0415 - only who has a bucket pays for boto3

    bucket, _, prefix = target.removeprefix("s3://").partition("/")
    return S3Archive(bucket, prefix)


def _smtp(settings: Settings) -> SmtpServer | None:
    if not settings.smtp_host:
        return None
    return SmtpServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.smtp_from,
        starttls=settings.smtp_starttls,
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value(),
    )
