"""Nobody finds a secret anywhere: not in a database, a log, an answer, or in what steps handed on."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.domain.secrets import SecretReference
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.local.state import running_services
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline_tests.acceptance.accounts import CANARY, NOBODY_LISTENS, SECRETS, api_key_of
from m2m_pipeline_tests.acceptance.site import Ended, Site, query
from m2m_pipeline_tests.acceptance.waiting import eventually
from m2m_pipeline_tests.page.visitors import visitor
from m2m_pipeline_tests.queues.server import KEYS, AwsServer

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]

KEPT_FOR_THE_OPERATOR = {"services.json", "encryption.key"}
CANARIES = "canaries"
"""The tenant whose secrets are looked for."""


@dataclass(frozen=True, slots=True)
class Planted:
    """Every secret by what it is, and the bulk changes that were made with them."""

    secrets: Mapping[str, str]
    changed: Ended
    kept_out: Ended

    def forms(self) -> Iterator[tuple[str, str]]:
        """What a secret is, and a form in which it might have got out."""
        for name, secret in self.secrets.items():
            yield name, secret
            yield f"{name}, in hex", secret.encode().hex()
            yield f"{name}, in base64", base64.b64encode(secret.encode()).decode().rstrip("=")
        account = self.changed.account
        signed_in = f"{account.username}:{api_key_of(account.username)}".encode()
        yield "what the carrier is signed in with", base64.b64encode(signed_in).decode()


@pytest.fixture(scope="module")
def planted(site: Site, aws: AwsServer) -> Planted:
    """A change that succeeds by a key from the secret store, and one whose sign-in fails, both told by webhook.

    And two with tokens: of one the issuer does not answer, which is logged, and one does not hold, which is audited.
    """
    services = site.services
    wrong = f"{CANARY}-wrong"
    barred = site.account(ProviderSettings(api_key=wrong), tenant=CANARIES)
    account = site.account(tenant=CANARIES)
    kept = api_key_of(account.username)
    aws.client("secretsmanager").create_secret(Name="m2m/canary", SecretString=json.dumps({"key": kept}))
    reference = SecretReference.parse("aws-sm:m2m/canary#key")
    settings = ProviderSettings(username=account.username, api_key=reference)
    services.accounts.configure(CANARIES, account.provider, settings, "test")
    hook = f"{CANARY}-webhook"
    services.destinations.store(CANARIES, DestinationKind.WEBHOOK, f"http://{NOBODY_LISTENS}/", hook, "test")
    token, forged = (_token(header) for header in (b'{"alg":"RS256"}', b'{"alg":"none"}'))
    assert [_status(site, one) for one in (token, forged)] == [503, 401]
    key = services.identity.create_key(CANARIES, "client", Role.ADMIN, "test").secret
    changes = [(one, site.submit(one, one.iccids[:3])) for one in (account, barred)]
    changed, kept_out = (site.ended(bulk_change_id, one) for one, bulk_change_id in changes)
    assert (changed.document.status, kept_out.document.status) == (BulkChangeStatus.PROCESSED, BulkChangeStatus.FAILED)
    failed = "SELECT 1 FROM m2m.notice WHERE bulk_change_id = %s AND attempts > 0 AND last_failure IS NOT NULL"
    eventually(lambda: site.sql(failed, kept_out.document.id) or None, "a notice that could not be delivered")
    address = urlsplit(site.environment["M2M_DATABASE_URL"])
    secrets = {
        **SECRETS,
        "the carrier's key, in the secret store": kept,
        "the carrier's key, sealed": wrong,
        "the webhook's secret": hook,
        "an API key": key,
        "a token of the issuer": token,
        "a token that is none": forged,
        "the key of AWS": KEYS["AWS_SECRET_ACCESS_KEY"],
        "the database's password": address.password or "",
        **{f"encryption key {n}": one for n, one in enumerate(site.environment["M2M_ENCRYPTION_KEYS"].split(","))},
    }
    assert all(secrets.values())
    return Planted(secrets, changed, kept_out)


def _token(header: bytes) -> str:
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (header, b"{}", b"7" * 32))


def _status(site: Site, token: str) -> int:
    """What the API answers to somebody with that token."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{_api_url(site)}/api/v1/providers", headers=headers, trust_env=False, timeout=30).status_code


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        (
            "M2M_DATABASE_URL",
            {"m2m.audit_entry", "m2m.bulk_change", "m2m.carrier_credential", "m2m.notice", "m2m.service_provider"},
        ),
        ("M2M_DAGSTER_DATABASE_URL", {"public.event_logs", "public.run_tags", "public.runs"}),
    ],
)
def test_no_secret_is_in_any_row_of_any_table(site: Site, planted: Planted, name: str, tables: set[str]) -> None:
    """Run config, tags, events and metadata; audit entries, requests, notices, documents; sealed columns too."""
    url = site.environment[name]
    marks = (planted.changed.account.provider, "m2m/canary", "m2m/bulk_change")
    assert tables <= {table for mark in marks for table in rows_with(url, mark)}, "the search does not reach them"

    assert {what: found for what, form in planted.forms() if (found := rows_with(url, form))} == {}


def test_no_secret_is_in_any_log_or_stored_output(site: Site, planted: Planted) -> None:
    """What steps handed on, what runs wrote to standard output and error, and the logs of all services."""
    files = {file: file.read_bytes() for file in written_files(site.state)}
    names = {str(file.relative_to(site.state)) for file in files}
    run_id = planted.kept_out.run.run_id
    for part in (f"storage/{run_id}/validate_request/result", f"{run_id}/compute_logs", "logs/api.log"):
        assert any(part in name for name in names), f"the search does not reach {part}"
    lines = (site.state / "logs" / "api.log").read_text(encoding="utf-8").splitlines()
    logged = [json.loads(line)["event"] for line in lines if line.startswith("{")]
    assert any("OIDC issuer" in event for event in logged), "no log is JSON"

    found = [(what, file) for what, form in planted.forms() for file in files if form.encode() in files[file]]
    assert found == []


def test_no_secret_is_in_any_answer(site: Site, planted: Planted) -> None:
    """Of the API, its problems and numbers, the page, the command line, and Dagster's own web server."""
    answers = {**_over_http(site, planted), **_typed(site, planted)}

    found = [(what, name) for what, form in planted.forms() for name, answer in answers.items() if form in answer]
    assert found == []


def _over_http(site: Site, planted: Planted) -> Mapping[str, str]:
    ids = [planted.changed.document.id, planted.kept_out.document.id]
    paths = ["providers", "keys", *(f"bulk-changes/{one}{rest}" for one in ids for rest in ("", "/result", "/devices"))]
    with visitor(_api_url(site), Role.ADMIN, CANARIES) as known:
        keyed = {"Authorization": f"Bearer {planted.secrets['an API key']}"}
        metrics = {"Authorization": f"Bearer {planted.secrets['M2M_METRICS_TOKEN']}"}
        wrong = {"Authorization": f"Bearer {CANARY}"}
        told = {path: known.client.get(f"/api/v1/{path}", headers=keyed) for path in paths}
        told["metrics"] = known.client.get("/metrics", headers=metrics)
        assert {answer.status_code for answer in told.values()} == {200}
        told["no such key"] = known.client.get("/api/v1/providers", headers=wrong)
        told["no such path"] = known.client.get("/api/v1/none", headers=keyed)
        told["a request that does not hold"] = known.client.post("/api/v1/bulk-changes", json={}, headers=keyed)
        assert {answer.status_code for name, answer in told.items() if name.startswith(("no ", "a "))} == {
            400,
            401,
            404,
        }
        told |= {page: known.get(page) for page in ("/", "/accounts", *(f"/changes/{one}" for one in ids))}
        run_id = planted.kept_out.run.run_id
        ask = "query($id: ID!) { runOrError(runId: $id) { ... on Run { runConfigYaml tags { key value } } } }"
        body = {"query": ask, "variables": {"id": run_id}}
        told["Dagster"] = known.client.post(f"{site.dagster_url}/graphql", json=body)
        assert str(planted.kept_out.document.id) in told["Dagster"].text
    return {name: f"{answer.text}\n{answer.headers}" for name, answer in told.items()}


def _api_url(site: Site) -> str:
    running = running_services(site.state)
    assert running is not None
    return running.addresses.api_url


def _typed(site: Site, planted: Planted) -> Mapping[str, str]:
    kept_out = str(planted.kept_out.document.id)
    commands: Sequence[Sequence[str]] = [
        ("provider", "list", "--json"),
        ("result", kept_out, "--format", "json"),
        ("notices",),
        ("webhook", "list"),
        ("key", "list"),
    ]
    told = {" ".join(one): site.command(*one, "--tenant", CANARIES) for one in commands}
    assert {name for name, said in told.items() if not said.stdout} == set(), told
    return {name: f"{said.stdout}\n{said.stderr}" for name, said in told.items()}


def rows_with(url: str, word: str) -> dict[str, int]:
    """Table → how many of its rows hold the word in any column; tables without one are left out."""
    tables = query(
        url,
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    found: dict[str, int] = {}
    for (table,) in tables:
        ((count,),) = query(url, f"SELECT count(*) FROM {table} t WHERE strpos(t::text, %s) > 0", word)
        assert isinstance(count, int)
        if count:
            found[str(table)] = count
    return found


def written_files(state: Path) -> Iterator[Path]:
    """Everything that the services wrote, the database's own files aside: those are searched as tables."""
    for file in state.rglob("*"):
        inside = file.relative_to(state).parts
        if file.is_file() and inside[0] != "postgres" and file.name not in KEPT_FOR_THE_OPERATOR:
            yield file
    yield state / "postgres" / "server.log"
