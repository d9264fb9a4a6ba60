"""How carrier accounts stand, in words: for the banner, the accounts page, and whoever waits for a bulk change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from m2m_pipeline.domain.permissions import Permission
from m2m_pipeline.services.catalogue import Offer
from m2m_pipeline.services.standings import Standing
from m2m_pipeline.web.page.rendering import render
from m2m_pipeline.web.page.route import PageRoute
from m2m_pipeline.web.page.visiting import Allowed, Visitor
from m2m_pipeline.web.page.wording import duration, number

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that is not as usual with an account. `tone`: bad where nothing goes, warn where it goes slowly."""

    provider: str
    tone: str
    text: str


def notices(offers: Sequence[Offer]) -> list[Notice]:
    """What is not as usual, the worst first."""
    found = [notice for offer in offers for notice in _notices(offer.provider.name, offer)]
    return sorted(found, key=lambda notice: notice.tone != "bad")


@router.get("/accounts")
def show_accounts(request: Request, known: Annotated[Visitor, Depends(Allowed(Permission.VIEW_PROVIDERS))]) -> Response:
    """Every carrier account: what it allows, what it has taught us, and what holds it up."""
    return render(request, "accounts.html", offers=known.offers, notices=notices(known.offers))


def _notices(name: str, offer: Offer) -> list[Notice]:
    standing, found = offer.standing, list[Notice]()
    if not offer.provider.writes_enabled:
        text = "Changes are switched off for this account: nothing is sent. An administrator can switch them on."
        found.append(Notice(name, "bad", text))
    if standing.open_for is not None:
        probe = (
            f"One call tries again in {duration(standing.probe_in)}."
            if standing.probe_in
            else "One call tries again now."
        )
        text = f"The carrier has not answered for {duration(standing.open_for)}. Running changes wait. {probe}"
        found.append(Notice(name, "bad", text))
    if standing.rests_for:
        found.append(Notice(name, "warn", f"The carrier asked for a pause: it ends in {duration(standing.rests_for)}."))
    if standing.slowed_for is not None and standing.pace < standing.configured:
        found.append(Notice(name, "warn", _slowed(standing)))
    return found


def _slowed(standing: Standing) -> str:
    back = f" Full speed in about {duration(standing.recovers_in)}." if standing.recovers_in else ""
    return (
        f"The carrier asked to slow down: {number(round(standing.pace, 1))} of {number(standing.configured)} calls a "
        f"second for now.{back}"
    )
