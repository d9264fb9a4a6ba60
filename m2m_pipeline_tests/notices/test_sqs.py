"""Notices to an SQS queue, against a server that speaks SQS."""

import json
from typing import Any

import pytest

from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline_tests.notices.conftest import application
from m2m_pipeline_tests.queues.conftest import aws, aws_environment
from m2m_pipeline_tests.queues.server import REGION, AwsServer
from m2m_pipeline_tests.world import TENANT, World

__all__ = ["aws", "aws_environment"]


@pytest.mark.parametrize("name", ["results", "results.fifo"])
def test_the_end_of_a_change_is_a_message(world: World, aws: AwsServer, name: str) -> None:
    client: Any = aws.client("sqs")
    attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    url: str = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    services = application(world, sqs_region=REGION, sqs_endpoint_url=aws.url)
    services.destinations.store(TENANT, DestinationKind.SQS, url, None, "test")
    document, _ = world.submit_and_run()

    assert services.outbox.deliver().delivered == 1
    services.close()
    answer = client.receive_message(QueueUrl=url, MessageAttributeNames=["All"])
    (message,) = answer["Messages"]
    event = json.loads(message["Body"])
    assert event["data"]["id"] == document.id
    assert message["MessageAttributes"]["event_id"]["StringValue"] == event["id"]


def test_a_queue_that_is_not_there_is_told_and_tried_again(world: World, aws: AwsServer) -> None:
    services = application(world, sqs_region=REGION, sqs_endpoint_url=aws.url)
    services.destinations.store(TENANT, DestinationKind.SQS, f"{aws.url}/1/none", None, "test")
    world.submit_and_run()

    assert services.outbox.deliver().postponed == 1
    services.close()
    assert "SQS answered" in str(world.sql("SELECT last_failure FROM m2m.notice")[0][0])
