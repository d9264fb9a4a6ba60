"""How carrier accounts stand now: what an operator asks when a bulk change is slow."""

from pydantic import BaseModel, ConfigDict

from m2m_pipeline.domain.accounts import ServiceProvider, account_key
from m2m_pipeline.domain.budget.adaptation import pace
from m2m_pipeline.domain.budget.gate import Gate, Limits
from m2m_pipeline.domain.budget.restraint import restraint
from m2m_pipeline.storage import accounts, gate
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.gate import SeenGate


class Standing(BaseModel):
    """One account at the moment of asking. Rates in calls/s; durations in seconds, None where nothing of it holds."""

    model_config = ConfigDict(frozen=True)

    configured: float
    """The least that a provider of the account is configured to: they share its calls."""
    pace: float
    """What the carrier lets us do now, as far as it has taught us."""
    slowed_for: float | None
    """Since the carrier last said that it was too much; the pace recovers from there."""
    recovers_in: float | None
    """Until the configured rate, unless the carrier says it again."""
    rests_for: float | None
    """Until the next call: the carrier named a time to come back."""
    in_flight: int
    open_for: float | None
    """The breaker is open: since the carrier answers nobody, or no change."""
    probe_in: float | None
    """Until one call tries whether it is back."""


class Standings:
    """Reads beside the runs: it waits for none, and none waits for it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, provider: ServiceProvider) -> Standing:
        """How the provider's account stands; one that was never used is at its configured rate."""
        with self._database.begin() as tx:
            username = accounts.find_username(tx, provider.id)
            seen = gate.read(tx, account_key(provider.base_url, username)) if username is not None else None
        known = seen or SeenGate(Gate(), 0.0, 0)
        limits = known.limits or Limits(provider.calls_per_second, provider.in_flight)
        held = restraint(known.gate, limits, known.now)
        return Standing(
            configured=limits.calls_per_second,
            pace=round(pace(known.gate, limits, known.now), 3),
            slowed_for=_rounded(held.slowed_for),
            recovers_in=_rounded(held.recovers_in),
            rests_for=_rounded(held.rests_for),
            in_flight=known.in_flight,
            open_for=_rounded(held.open_for),
            probe_in=_rounded(held.probe_in),
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
