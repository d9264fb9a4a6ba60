"""Amazon SQS."""

from collections.abc import Mapping, Sequence
from typing import Any

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from m2m_pipeline.aws.answers import NO_CREDENTIALS, code_of, denies, passes
from m2m_pipeline.domain.inbox import Message, QueueUnavailableError

LONG_POLL_SECONDS = 2
"""A wait of any length asks all of SQS's servers; a longer one would hold a thread of the sensor daemon for nothing."""

BATCH = 10
"""Messages a call: SQS gives no more."""

_CONFIG = Config(
    connect_timeout=3, read_timeout=LONG_POLL_SECONDS + 8, retries={"mode": "standard", "total_max_attempts": 3}
)
_NO_SUCH_QUEUE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_STALE_RECEIPT = {"ReceiptHandleIsInvalid", "InvalidParameterValue"}


class SqsQueue:
    """One queue, with the credentials that AWS's own chain finds: the environment, a profile, a role."""

    def __init__(self, url: str, region: str | None = None, endpoint_url: str | None = None) -> None:
        """Opens no connection yet.

        Raises:
            QueueUnavailableError: no region is known.

        """
        self.name = url.rsplit("/", 1)[-1]
        self._url = url
        # A session of its own, so that keys which were changed are read by the next queue that is opened.
        try:
            self._client: Any = Session().client("sqs", region_name=region, endpoint_url=endpoint_url, config=_CONFIG)
        except BotoCoreError as error:
            raise self._unavailable(error) from error

    def receive(self) -> Sequence[Message]:
        """The next messages, at most `BATCH`; none where the queue stays empty for `LONG_POLL_SECONDS`."""
        try:
            answer: Mapping[str, Any] = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=LONG_POLL_SECONDS,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SenderId"],
            )
        except (BotoCoreError, ClientError) as error:
            raise self._unavailable(error) from error
        return [_message(one) for one in answer.get("Messages", ())]

    def delete(self, message: Message) -> None:
        """Delete the message, unless the receipt is stale."""
        try:
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)
        except (BotoCoreError, ClientError) as error:
            if not (isinstance(error, ClientError) and code_of(error) in _STALE_RECEIPT):
                raise self._unavailable(error) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _unavailable(self, error: BotoCoreError | ClientError) -> QueueUnavailableError:
        what, verdict = _explained(error)
        return QueueUnavailableError(
            f"SQS queue {self.name}: {what}. Nothing is lost: what was not deleted is delivered again. {verdict}"
        )


def _message(raw: Mapping[str, Any]) -> Message:
    attributes: Mapping[str, str] = raw.get("Attributes", {})
    return Message(
        id=raw["MessageId"],
        body=raw["Body"],
        receipt=raw["ReceiptHandle"],
        sender=attributes.get("SenderId", "unknown"),
        deliveries=int(attributes.get("ApproximateReceiveCount", "1")),
    )


def _explained(error: BotoCoreError | ClientError) -> tuple[str, str]:
    """What happened, and what helps. AWS's own words stay out: they name accounts and roles."""
    if isinstance(error, ClientError):
        return _answered(error)
    kind = type(error).__name__
    if isinstance(error, NoRegionError):
        return "no AWS region is known", "Trying again does not help: set M2M_SQS_REGION."
    if isinstance(error, NO_CREDENTIALS):
        remedy = "give this process a role, a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return f"AWS credentials cannot be had ({kind})", f"Trying again does not help: {remedy}."
    remedy = "see the network, M2M_SQS_REGION and M2M_SQS_ENDPOINT_URL"
    return f"no answer ({kind})", f"Trying again helps once it answers: {remedy}."


def _answered(error: ClientError) -> tuple[str, str]:
    code = code_of(error)
    call = f"{error.operation_name} was answered with {code}"
    if code in _NO_SUCH_QUEUE:
        return "there is no such queue", "Trying again does not help: check M2M_SQS_QUEUE_URL and M2M_SQS_REGION."
    if denies(error):
        remedy = "check the keys, and the policy that docs/sqs.md gives"
        return f"AWS does not let us in ({call})", f"Trying again does not help: {remedy}."
    if passes(error):
        return f"AWS is in trouble ({call})", "Trying again helps, and happens by itself."
    return f"AWS refuses ({call})", "Trying again does not help: look the code up in the SQS API reference."
