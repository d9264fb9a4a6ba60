"""How a carrier account stands now, in words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m2m_pipeline.domain.accounts import ServiceProvider
    from m2m_pipeline.services.standings import Standing


def account_lines(provider: "ServiceProvider", standing: "Standing", credential: str) -> Sequence[str]:
    """One account in lines of at most 80 characters, names and addresses aside."""
    writes = "enabled" if provider.writes_enabled else "disabled"
    allowed = f"{_rate(standing.configured)}, {provider.in_flight} in flight"
    return (
        f"{provider.name}: {provider.integration_type} at {provider.base_url}",
        f"  API key     {credential}",
        f"  configured  {allowed}, verify {provider.verify}, writes {writes}",
        f"  pace now    {_pace(standing)}",
        f"  in flight   {standing.in_flight}",
        f"  breaker     {_breaker(standing)}",
    )


def slowdown(standing: "Standing") -> str | None:
    """Why the account's bulk changes are slower than configured, or None where they are not."""
    if standing.probe_in is not None:
        return f"The carrier does not answer: next try in {standing.probe_in:.0f} s."
    if standing.rests_for is not None:
        return f"The carrier asked for a rest: next call in {standing.rests_for:.0f} s."
    if standing.slowed_for is not None:
        return f"The carrier allows {_rate(standing.pace)} at the moment (configured: {standing.configured:g})."
    return None


def _pace(standing: "Standing") -> str:
    if standing.rests_for is not None:
        return f"none: the carrier asked for a rest of {standing.rests_for:.0f} s more"
    if standing.slowed_for is None:
        return "as configured"
    return (
        f"{_rate(standing.pace)}: slowed down {standing.slowed_for:.0f} s ago, "
        f"at {standing.configured:g} again in {standing.recovers_in:.0f} s"
    )


def _breaker(standing: "Standing") -> str:
    if standing.probe_in is None:
        return "closed"
    return f"open for {standing.open_for or 0:.0f} s: no answer; next try in {standing.probe_in:.0f} s"


def _rate(calls_per_second: float) -> str:
    return f"{round(calls_per_second, 1):g} calls/s"
