"""How long it still takes is reckoned from what the account may really do now."""

from dataclasses import replace

import pytest

from m2m_pipeline.domain.accounts import ServiceProvider, VerifyMode
from m2m_pipeline.domain.status import BulkChangeStatus, DeviceStatus
from m2m_pipeline.services.catalogue import Offer
from m2m_pipeline.services.forecast import seconds_for
from m2m_pipeline.services.standings import Standing
from m2m_pipeline.web.page.progress import view

PROVIDER = ServiceProvider(1, 1, "carrier", "Jasper", "https://carrier.example", 5.0, 5, VerifyMode.NONE, True)
STANDING = Standing(
    configured=5.0,
    pace=5.0,
    slowed_for=None,
    recovers_in=None,
    rests_for=None,
    in_flight=0,
    open_for=None,
    probe_in=None,
)
TO_DO = {DeviceStatus.PENDING: 600}


def left(
    counts: dict[DeviceStatus, int], observed: float | None = None, *, verify: VerifyMode = VerifyMode.NONE, **at: float
) -> str:
    """What a running change says, on an account that stands like that."""
    offer = Offer(replace(PROVIDER, verify=verify), [], [], STANDING.model_copy(update=at))
    return view(BulkChangeStatus.PROCESSING, counts, offer, observed).left


@pytest.mark.parametrize(
    ("verify", "pace", "observed", "seconds"),
    [
        (VerifyMode.NONE, 5.0, None, 200.0),
        (VerifyMode.EACH, 5.0, None, 400.0),
        (VerifyMode.PAGES, 5.0, None, 204.0),
        (VerifyMode.NONE, 2.0, None, 500.0),
        (VerifyMode.NONE, 5.0, 4.0, 250.0),
        (VerifyMode.NONE, 5.0, 50.0, 200.0),
        (VerifyMode.EACH, 5.0, 4.0, 400.0),
        (VerifyMode.EACH, 5.0, 1.0, 1000.0),
        (VerifyMode.NONE, 5.0, 0.0, 200.0),
        (VerifyMode.NONE, 0.0, None, None),
        (VerifyMode.NONE, 0.0, 3.0, None),
    ],
)
def test_the_slower_of_what_is_allowed_and_what_is_seen_counts(
    verify: VerifyMode, pace: float, observed: float | None, seconds: float | None
) -> None:
    assert seconds_for(1000, verify, pace, observed) == (seconds and pytest.approx(seconds))


def test_the_pace_that_the_carrier_allows_now_counts_and_not_the_configured_one() -> None:
    assert left(TO_DO) == "about 2 min left"
    assert left(TO_DO, pace=1.0) == "about 10 min left"
    assert left(TO_DO, 0.5) == "about 20 min left"
    assert left(TO_DO, verify=VerifyMode.EACH) == "about 4 min left"
    assert left({**TO_DO, DeviceStatus.PROCESSED: 10_000, DeviceStatus.WAITING: 600}) == "about 4 min left"


def test_no_time_is_promised_where_nothing_goes() -> None:
    assert left(TO_DO, 4.0, open_for=3.0) == "waits for the carrier"
    assert left({DeviceStatus.APPLIED: 5}, 4.0) == "the last ones are being confirmed"
    closed = Offer(replace(PROVIDER, writes_enabled=False), [], [], STANDING)
    assert view(BulkChangeStatus.PROCESSING, TO_DO, closed, 4.0).left == ""
    assert view(BulkChangeStatus.PROCESSED, TO_DO, Offer(PROVIDER, [], [], STANDING), 4.0).left == ""
    assert view(BulkChangeStatus.PROCESSING, TO_DO, None, 4.0).left == ""
