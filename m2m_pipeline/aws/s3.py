"""Digests in an Amazon S3 bucket. Its object lock keeps even its owner from deleting them: see docs/audit.md."""

from collections.abc import Mapping, Sequence
from typing import Any

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from m2m_pipeline.aws.answers import code_of, passes
from m2m_pipeline.domain.digests import ArchiveUnavailableError

_CONFIG = Config(connect_timeout=3, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict"}


class S3Archive:
    """A bucket, or what lies below a prefix of it; credentials, region and endpoint are found by AWS's own chain."""

    def __init__(self, bucket: str, prefix: str) -> None:
        """Opens no connection yet.

        Raises:
            ArchiveUnavailableError: AWS's own configuration cannot be read.

        """
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        try:
            self._client: Any = Session().client("s3", config=_CONFIG)
        except BotoCoreError as error:
            raise self._unavailable(error) from error

    @property
    def name(self) -> str:
        """Its address."""
        return f"s3://{self._bucket}/{self._prefix}"

    def list_names(self, folder: str = "") -> Sequence[str]:
        """The names of all digests (in a folder), in order."""
        pages = self._client.get_paginator("list_objects_v2")
        try:
            keys = [
                str(found["Key"])
                for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + folder)
                for found in page.get("Contents", ())
            ]
        except (BotoCoreError, ClientError) as error:
            raise self._unavailable(error) from error
        return sorted(key.removeprefix(self._prefix) for key in keys if key.endswith(".json"))

    def read(self, name: str) -> bytes:
        """The content of an object."""
        try:
            answer: Mapping[str, Any] = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            return answer["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise self._unavailable(error) from error

    def write(self, name: str, content: bytes) -> bool:
        """Put an object; False where its key is taken, even where somebody takes it at the same moment."""
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + name,
                Body=content,
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if code_of(error) in _TAKEN:
                return False
            raise self._unavailable(error) from error
        except BotoCoreError as error:
            raise self._unavailable(error) from error
        return True

    def _unavailable(self, error: BotoCoreError | ClientError) -> ArchiveUnavailableError:
        """What happened, and what helps. AWS's own words stay out: they name accounts and roles."""
        if isinstance(error, ClientError):
            what = f"{error.operation_name} was answered with {code_of(error)}"
            again = passes(error)
        else:
            what, again = f"no answer ({type(error).__name__})", True
        remedy = (
            "Trying again helps once it answers: see the network, AWS_REGION and AWS_ENDPOINT_URL_S3."
            if again
            else "Trying again does not help: check M2M_AUDIT_DIGEST_TARGET, the keys, and the policy in docs/audit.md."
        )
        return ArchiveUnavailableError(f"Audit digests in {self.name}: {what}. No digest was lost or changed. {remedy}")
