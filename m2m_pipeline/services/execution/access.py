"""Whether the carrier account lets this attempt in: credential, permission to write, and one cheap call."""

import asyncio
from dataclasses import dataclass

from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.domain.outcome import Unreachable
from m2m_pipeline.domain.reasons import REASONS, ReasonCode
from m2m_pipeline.services.paced import PacedCarrier


@dataclass(frozen=True, slots=True)
class Denied:
    """The account does not let us in, and why. Nothing of a secret."""

    reason: ReasonCode
    message: str

    def __str__(self) -> str:
        reason = REASONS[self.reason]
        verdict = "Trying again may help." if reason.retry_helps else "Trying again does not help."
        return f"{self.message} {verdict} {reason.next_step}"


def writes_denied(provider: ServiceProvider) -> Denied | None:
    """Whether the operator has switched writes off for the provider."""
    if provider.writes_enabled:
        return None
    return Denied(ReasonCode.WRITES_DISABLED, f'Writes are disabled for service provider "{provider.name}".')


async def probe(carrier: PacedCarrier, provider: ServiceProvider, patience_seconds: float) -> Denied | None:
    """Ask the carrier whether it lets us in; a carrier that is out of reach is asked again within the patience."""
    give_up_at = asyncio.get_running_loop().time() + patience_seconds
    failure = await carrier.check_access()
    while isinstance(failure, Unreachable) and asyncio.get_running_loop().time() < give_up_at:
        failure = await carrier.check_access()
    if failure is None:
        return None
    code = f" (code {failure.answer.carrier_code})" if failure.answer.carrier_code else ""
    said = f': "{failure.answer.message}"' if failure.answer.message else ""
    return Denied(failure.reason, f'"{provider.name}": {REASONS[failure.reason].title}{code}{said}.')
