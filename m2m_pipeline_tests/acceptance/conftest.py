"""One set of running services for all acceptance tests of a worker."""

from collections.abc import Generator
from contextlib import ExitStack

import pytest

from m2m_pipeline_tests.acceptance.accounts import TENANT
from m2m_pipeline_tests.acceptance.play import Play
from m2m_pipeline_tests.acceptance.running import running_site
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.queues.server import ISOLATED, KEYS, AwsServer, Mailbox


@pytest.fixture(scope="session")
def mailbox() -> Generator[Mailbox]:
    """The queue from which the services take requests."""
    with AwsServer() as server:
        yield Mailbox(server, "requests")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox) -> Generator[Site]:
    """The services, running."""
    inbound = {**ISOLATED, **KEYS, **mailbox.settings, "M2M_SQS_TENANT": TENANT}
    with running_site(tmp_path_factory.mktemp("acceptance") / "state", inbound) as site:
        yield site


@pytest.fixture(scope="session")
def play(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Generator[Play]:
    """Bulk changes for every end of the flow, ended."""
    with ExitStack() as stack:
        play = Play(site, tmp_path_factory.mktemp("files"), stack)
        play.perform()
        yield play
