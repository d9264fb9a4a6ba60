"""Steering a running simulator, and reading its ledger, from tests and the demo."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter

from m2m_pipeline.simulator.documents import (
    AccountLimits,
    DeviceView,
    Drift,
    Latency,
    LedgerCall,
    LedgerChange,
    LedgerSummary,
    World,
)
from m2m_pipeline.simulator.scenarios import Rule

_Entry = TypeVar("_Entry", LedgerCall, LedgerChange)
_DEVICES = TypeAdapter(list[DeviceView])
_CALLS = TypeAdapter(list[LedgerCall])
_CHANGES = TypeAdapter(list[LedgerChange])
_TIMEOUT_S = 60.0
"""A world of 100,000 devices takes some seconds to read."""


class ControlError(Exception):
    """The simulator refused a control request; the message is its reason."""


class SimulatorControl:
    """The control API of the simulator at this URL. Not for the carrier's own API."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def replace_world(self, world: World) -> None:
        """Start over: this world, no scenario in force, an empty ledger."""
        self._request("PUT", "/_control/world", world)

    def devices(self) -> list[DeviceView]:
        """All devices as the carrier has them now."""
        return _DEVICES.validate_json(self._request("GET", "/_control/devices"))

    def drift(self, iccid: str, drift: Drift) -> None:
        """Change a device behind everyone's back."""
        self._request("POST", f"/_control/devices/{iccid}", drift)

    def start(self, rule: Rule) -> int:
        """Put a scenario in force; returns its id."""
        return _Started.model_validate_json(self._request("POST", "/_control/scenarios", rule)).id

    def stop(self, rule_id: int) -> None:
        """End one scenario."""
        self._request("DELETE", f"/_control/scenarios/{rule_id}")

    def stop_all(self) -> None:
        """End all scenarios."""
        self._request("DELETE", "/_control/scenarios")

    def set_limits(self, limits: AccountLimits) -> None:
        """Replace the limits of one account or of all."""
        self._request("POST", "/_control/limits", limits)

    def set_latency(self, low_ms: float, high_ms: float) -> None:
        """Let every carrier call take that long."""
        self._request("POST", "/_control/latency", Latency(low_ms=low_ms, high_ms=high_ms))

    def reset(self) -> None:
        """Empty the ledger and end all scenarios; devices and limits stay."""
        self._request("POST", "/_control/reset")

    def calls(self, after: int = 0) -> list[LedgerCall]:
        """All calls numbered after + 1 and up."""
        return list(self._entries("/_ledger/calls", _CALLS, after))

    def changes(self, after: int = 0) -> list[LedgerChange]:
        """All effective changes numbered after + 1 and up."""
        return list(self._entries("/_ledger/changes", _CHANGES, after))

    def summary(self) -> LedgerSummary:
        """The whole ledger in one page."""
        return LedgerSummary.model_validate_json(self._request("GET", "/_ledger/summary"))

    def _entries(self, path: str, adapter: TypeAdapter[list[_Entry]], after: int) -> Iterator[_Entry]:
        while page := adapter.validate_json(self._request("GET", f"{path}?after={after}")):
            yield from page
            after = page[-1].n

    def _request(self, method: str, path: str, document: BaseModel | None = None) -> bytes:
        body = b"" if document is None else document.model_dump_json(exclude_defaults=True).encode()
        response = self._http.request(method, path, content=body)
        if response.is_error:
            raise ControlError(response.text)
        return response.content


class _Started(BaseModel):
    id: int
