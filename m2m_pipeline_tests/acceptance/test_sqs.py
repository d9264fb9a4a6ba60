"""Requests that come through SQS, from the message to its end, through the services as they run."""

import json

import pytest

from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline_tests.acceptance.accounts import NEW, OLD
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.acceptance.waiting import eventually
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.queues.server import Mailbox

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]


def test_a_message_becomes_a_change_at_the_carrier_and_another_a_rejection_with_reasons(
    site: Site, mailbox: Mailbox
) -> None:
    account = site.account()
    unreadable = mailbox.send("move my SIMs, please")
    wrong = mailbox.send({"provider": account.provider, "rate_plan": "none such", "devices": ["898"]})
    sent = mailbox.send({"provider": account.provider, "rate_plan": NEW, "devices": list(account.iccids[:3])})
    eventually(lambda: mailbox.left() == 1 or None, "the intake", mailbox.left)

    said = site.command("inbox", sent, "--tenant", account.tenant, "--json")
    (told,) = json.loads(said.stdout)
    assert (said.returncode, told["status"]) == (0, "ACCEPTED")
    end = site.ended(told["bulk_change_id"], account)
    assert (end.document.status, end.document.total) == (BulkChangeStatus.PROCESSED, 3)
    assert [end.carrier_plan(iccid) for iccid in account.iccids[:4]] == [NEW, NEW, NEW, OLD]
    check_all(end.evidence)

    rejection = site.command("inbox", wrong, "--tenant", account.tenant)
    assert rejection.returncode == 1
    assert "no rate plan" in rejection.stdout
    assert site.command("inbox", unreadable, "--tenant", account.tenant).returncode == 2
