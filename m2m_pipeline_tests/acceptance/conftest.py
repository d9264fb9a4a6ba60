"""One set of running services for all acceptance tests of a worker."""

from collections.abc import Generator
from contextlib import ExitStack

import pytest

from m2m_pipeline_tests.acceptance.accounts import NOBODY_LISTENS, SECRETS, TENANT
from m2m_pipeline_tests.acceptance.play import Play
from m2m_pipeline_tests.acceptance.running import running_site
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.queues.server import ISOLATED, KEYS, REGION, AwsServer, Mailbox


@pytest.fixture(scope="session")
def aws() -> Generator[AwsServer]:
    """AWS, as the services know it."""
    with AwsServer() as server:
        yield server


@pytest.fixture(scope="session")
def mailbox(aws: AwsServer) -> Mailbox:
    """The queue from which the services take requests."""
    return Mailbox(aws, "requests")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, aws: AwsServer, mailbox: Mailbox) -> Generator[Site]:
    """The services, running, with a secret in every setting that is one."""
    inbound = {**mailbox.settings, "M2M_SQS_TENANT": TENANT}
    kept_elsewhere = {"M2M_SECRETS_MANAGER_REGION": REGION, "M2M_SECRETS_MANAGER_ENDPOINT_URL": aws.url}
    away = {
        "M2M_WEBHOOK_HOSTS": NOBODY_LISTENS,
        "M2M_OIDC_ISSUER": f"http://{NOBODY_LISTENS}",
        "M2M_OIDC_AUDIENCE": "m2m",
    }
    settings = {**ISOLATED, **KEYS, **inbound, **kept_elsewhere, **away, **SECRETS}
    with running_site(tmp_path_factory.mktemp("acceptance") / "state", settings) as site:
        yield site


@pytest.fixture(scope="session")
def play(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Generator[Play]:
    """Bulk changes for every end of the flow, ended."""
    with ExitStack() as stack:
        play = Play(site, tmp_path_factory.mktemp("files"), stack)
        play.perform()
        yield play
