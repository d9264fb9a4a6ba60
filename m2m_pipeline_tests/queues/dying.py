"""An intake that is killed at a named moment: a program, so that it dies as processes do."""

import os
import signal
import sys
from typing import Any, NoReturn

from m2m_pipeline.aws.sqs import SqsQueue
from m2m_pipeline.bootstrap import build
from m2m_pipeline.domain.inbox import Message
from m2m_pipeline.settings import load_settings
from m2m_pipeline.storage import inbox

MOMENTS = ("before the commit", "before the deletion", "after the deletion")


def die(*_: Any, **__: Any) -> NoReturn:  # noqa: ANN401 - it stands in for whatever is called
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


class DyingQueue(SqsQueue):
    """Dies beside the deletion."""

    def delete(self, message: Message) -> None:
        if moment == "before the deletion":
            die()
        super().delete(message)
        if moment == "after the deletion":
            die()


if __name__ == "__main__":
    moment = sys.argv[1]
    assert moment in MOMENTS
    if moment == "before the commit":
        inbox.insert = die  # everything else of the transaction has been written
    settings = load_settings()
    queue = DyingQueue(settings.sqs_queue_url, settings.sqs_region, settings.sqs_endpoint_url)
    for _ in build(settings).intake.drain(queue):
        pass
