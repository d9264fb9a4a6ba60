"""Somebody who uses the page by hand: forms as a browser sends them, without a browser."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline_tests.world import NEW, PROVIDER, TENANT


@dataclass
class Visitor:
    """A client with the cookies of one session."""

    client: httpx.Client
    origin: str

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def post(self, path: str, fields: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        """A form from our own page, with its token."""
        return self.client.post(path, data={"form_token": self.token(), **(fields or {})}, headers=self._head(headers))

    def post_bare(self, path: str, fields: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        """A form without its token."""
        return self.client.post(path, data=fields or {}, headers=self._head(headers))

    def token(self) -> str:
        (found,) = set(re.findall(r'name="form_token" value="(\w+)"', self.get("/accounts").text))
        return found

    def _head(self, headers: dict[str, str]) -> dict[str, str]:
        return {"Origin": self.origin, **{name.replace("_", "-"): value for name, value in headers.items()}}


@contextmanager
def visitor(url: str, role: Role = Role.OPERATOR, tenant: str = TENANT) -> Generator[Visitor]:
    """Somebody who is signed in."""
    with nobody(url) as known:
        answer = known.post_bare("/sign-in/developer", {"tenant": tenant, "role": role.value})
        assert answer.status_code == 303, answer.text
        yield known


@contextmanager
def nobody(url: str) -> Generator[Visitor]:
    """Somebody who has not signed in yet."""
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        yield Visitor(client, url)


def draft_of(known: Visitor, *iccids: str) -> str:
    """The address of a preview."""
    fields = {"provider": PROVIDER, "rate_plan": NEW, "iccids": "\n".join(iccids)}
    answer = known.post("/new", fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]
