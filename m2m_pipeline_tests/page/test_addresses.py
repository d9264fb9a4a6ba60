"""An address that no link or form of the page makes is told as that, and asks the database for nothing."""

import pytest

from m2m_pipeline_tests.page.visitors import visitor
from m2m_pipeline_tests.web.door import Door

NUL = "%00"
"""Text that PostgreSQL cannot hold."""


@pytest.mark.parametrize(
    "address",
    ["/?provider=", "/?status=", "/new?provider=", "/new?draft=", "/sims?iccid=", "/sign-in?next=", "/drafts/"],
)
def test_a_character_that_no_text_holds_makes_an_address_that_leads_nowhere(door: Door, address: str) -> None:
    with visitor(door.url) as known:
        answer = known.get(f"{address}a{NUL}")

    assert answer.status_code == 404
    assert "The address is not one that this page makes." in answer.text
