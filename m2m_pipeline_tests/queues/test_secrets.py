"""A carrier's API key in AWS Secrets Manager: read at the sign-in, never kept; its troubles are told as they are."""

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import m2m_pipeline
from m2m_pipeline.bootstrap import build
from m2m_pipeline.domain.secrets import SecretReference
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.services.execution.execution import AccessDeniedError
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.queues.server import KEYS, REGION, AwsServer
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import API_KEY, PROVIDER, TENANT, USERNAME, Options, QuickCarriers, World

DOCS = (Path(m2m_pipeline.__file__).parents[1] / "docs" / "secrets.md").read_text(encoding="utf-8")
CANARY = "canary-5ecret"


@dataclass
class Store:
    """The secret store, and a world that is pointed at it."""

    aws: AwsServer
    world: World

    def open(self, endpoint_url: str = "", region: str = REGION) -> None:
        """Build the application anew, as a process that is started with these settings."""
        self.world.services.close()
        settings = {"secrets_manager_region": region, "secrets_manager_endpoint_url": endpoint_url or self.aws.url}
        services = build(self.world.settings().model_copy(update=settings), QuickCarriers())
        self.world.services = self.world.owned(services)

    def put(self, content: str | bytes, name: str = "") -> str:
        """A new secret; its name."""
        name = name or f"m2m/{secrets.token_hex(4)}"
        kind = "SecretString" if isinstance(content, str) else "SecretBinary"
        self.client.create_secret(Name=name, **{kind: content})
        return name

    def refer(self, reference: str) -> None:
        """What `m2m provider set --api-key-ref` does."""
        settings = ProviderSettings(username=USERNAME, api_key=SecretReference.parse(reference))
        self.world.services.accounts.configure(TENANT, PROVIDER, settings, actor="test")

    @property
    def client(self) -> Any:  # noqa: ANN401 - boto3 makes them at run time
        return self.aws.client("secretsmanager")

    def everything(self) -> str:
        """All rows of all tables, as text."""
        tables = self.world.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'm2m'")
        return "\n".join(str(self.world.sql(f"SELECT t::text FROM m2m.{table} t")) for (table,) in tables)


def use(monkeypatch: pytest.MonkeyPatch, keys: dict[str, str]) -> None:
    for name, value in keys.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def store(aws: AwsServer, make_world: MakeWorld) -> Store:
    store = Store(aws, make_world(Options(patience=0.2)))
    store.open()
    return store


@pytest.mark.parametrize("form", ["text", "a field of JSON", "an ARN"])
def test_the_key_is_read_at_the_sign_in_and_only_its_reference_is_ours(store: Store, form: str) -> None:
    name = store.put(json.dumps({"user": USERNAME, "key": API_KEY}) if form == "a field of JSON" else f"{API_KEY}\n")
    if form == "an ARN":
        name = store.client.describe_secret(SecretId=name)["ARN"]
    reference = f"aws-sm:{name}#key" if form == "a field of JSON" else f"aws-sm:{name}"
    store.refer(reference)
    document, evidence = store.world.submit_and_run()

    assert document.status is BulkChangeStatus.PROCESSED
    assert store.world.services.accounts.credential_place(store.world.provider) == reference
    assert reference in store.everything()
    assert API_KEY not in store.everything()
    assert store.world.sql("SELECT ciphertext FROM m2m.carrier_credential") == [(None,)]
    check_all(evidence)


def test_a_secret_that_was_rotated_holds_from_the_next_attempt_on(store: Store) -> None:
    name = store.put("the-old-one")
    store.refer(f"aws-sm:{name}")
    with pytest.raises(AccessDeniedError):
        store.world.run(store.world.submit().bulk_change_id)
    store.client.put_secret_value(SecretId=name, SecretString=API_KEY)

    document, _ = store.world.submit_and_run()
    assert document.status is BulkChangeStatus.PROCESSED


@dataclass(frozen=True)
class Case:
    """What is wrong, how a person is told, and whether a retry helps."""

    name: str
    spoil: Callable[[Store], object]
    told: str
    reason: str = "CREDENTIAL_REFERENCE_BROKEN"
    retry_helps: bool = False


CASES = (
    Case("no such secret", lambda store: store.refer("aws-sm:m2m/absent"), "there is no such secret"),
    Case(
        "no JSON",
        lambda store: store.refer(f"aws-sm:{store.put(CANARY)}#api_key"),
        "it is no JSON object",
    ),
    Case(
        "a JSON list",
        lambda store: store.refer(f"aws-sm:{store.put(json.dumps([CANARY]))}#api_key"),
        "it is no JSON object",
    ),
    Case(
        "no such field",
        lambda store: store.refer(f"aws-sm:{store.put(json.dumps({'key': CANARY}))}#api_key"),
        'no text "api_key"',
    ),
    Case("bytes", lambda store: store.refer(f"aws-sm:{store.put(CANARY.encode())}"), "it holds no text"),
    Case("no region", lambda store: store.open(region=""), "M2M_SECRETS_MANAGER_REGION"),
    Case(
        "nobody answers",
        lambda store: store.open("http://127.0.0.1:1"),
        "does not answer",
        "CREDENTIAL_STORE_UNREACHABLE",
        retry_helps=True,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_key_that_cannot_be_had_ends_the_bulk_change_as_failed_with_no_device_touched(
    store: Store, case: Case
) -> None:
    store.refer(f"aws-sm:{store.put(API_KEY)}")
    bulk_change_id = store.world.submit().bulk_change_id
    case.spoil(store)
    with pytest.raises(AccessDeniedError, match=re.escape(case.told)) as denied:
        store.world.run(bulk_change_id)
    evidence = store.world.evidence(bulk_change_id)

    assert (evidence.bulk.status, evidence.bulk.reason) == (BulkChangeStatus.FAILED, case.reason)
    assert not evidence.puts()
    assert ("does not help" in str(denied.value)) is not case.retry_helps
    alarms = [entry for entry in evidence.audit if entry.kind == "CARRIER_SIGN_IN_FAILED"]
    assert len(alarms) == (0 if case.retry_helps else 1)
    assert CANARY not in f"{denied.value} {store.everything()}"
    check_all(evidence)


def test_a_store_that_answers_again_lets_the_retry_through(store: Store) -> None:
    store.refer(f"aws-sm:{store.put(API_KEY)}")
    store.open("http://127.0.0.1:1")
    bulk_change_id = store.world.submit().bulk_change_id
    with pytest.raises(AccessDeniedError):
        store.world.run(bulk_change_id)
    store.open()
    store.world.services.retrying.retry(TENANT, bulk_change_id, "tester")

    assert store.world.run(bulk_change_id, "run-2").status is BulkChangeStatus.PROCESSED


def test_the_documented_action_is_all_that_is_needed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server knows no resources of this service, so the policy's own is taken for every secret."""
    (block,) = [block for block in re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL) if "Statement" in block]
    policy = json.loads(block)
    policy["Statement"][0]["Resource"] = "*"
    store.refer(f"aws-sm:{store.put(API_KEY)}")
    use(monkeypatch, store.aws.user(f"runs-{secrets.token_hex(4)}", json.dumps(policy)))

    with store.aws.guarded():
        document, _ = store.world.submit_and_run()
    assert document.status is BulkChangeStatus.PROCESSED


def test_a_role_without_the_policy_is_told_where_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.refer(f"aws-sm:{store.put(API_KEY)}")
    statement = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    keys = store.aws.user(f"stranger-{secrets.token_hex(4)}", policy)
    use(monkeypatch, keys)
    with store.aws.guarded(), pytest.raises(AccessDeniedError, match="does not let us in") as denied:
        store.world.run(store.world.submit().bulk_change_id)

    assert "docs/secrets.md" in str(denied.value)
    assert not any(value in str(denied.value) for value in keys.values())


def test_without_keys_of_our_own_the_message_says_what_gives_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.refer(f"aws-sm:{store.put(API_KEY)}")
    for name in KEYS:
        monkeypatch.delenv(name)
    with pytest.raises(AccessDeniedError, match="AWS_ACCESS_KEY_ID"):
        store.world.run(store.world.submit().bulk_change_id)


def test_a_store_that_takes_its_time_does_not_cost_the_lease(aws: AwsServer, make_world: MakeWorld) -> None:
    world = make_world(Options(lease=2.0))
    store = Store(aws, world)
    store.open()
    store.refer(f"aws-sm:{store.put(API_KEY)}")
    ends: list[set[object]] = []
    read = world.services.sessions._credentials.read_secret

    def slow(reference: SecretReference) -> str:
        """Answers once the lease has been renewed beneath it."""
        seen: set[object] = set()
        while len(seen) < 3:
            seen |= {end for (end,) in world.sql("SELECT lease_expires_at FROM m2m.bulk_change")}
        ends.append(seen)
        return read(reference)

    world.services.sessions._credentials = replace(world.services.sessions._credentials, read_secret=slow)
    document, evidence = world.submit_and_run()

    assert document.status is BulkChangeStatus.PROCESSED
    assert len(ends) == 2, "for the sign-in, and for the devices"
    check_all(evidence)
