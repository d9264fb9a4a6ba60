"""How long what is left of a bulk change takes, from what its account may really do now."""

from m2m_pipeline.domain.accounts import VerifyMode

_CALLS_A_DEVICE = {
    VerifyMode.PAGES: 1.02,  # the change, and its share of a page of 50 that confirms it
    VerifyMode.EACH: 2.0,
    VerifyMode.NONE: 1.0,
}


def seconds_for(devices: int, verify: VerifyMode, pace: float, observed: float | None = None) -> float | None:
    """Seconds until `devices` are changed at `pace` calls/s; None where nothing goes.

    `observed`: devices/s of the last while. Others share the account, and a carrier may be slow: the lower of the two
    counts.
    """
    allowed = pace / _CALLS_A_DEVICE[verify]
    rate = min(allowed, observed) if observed else allowed
    return devices / rate if rate > 0 else None
