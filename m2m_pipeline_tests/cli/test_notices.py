"""`m2m webhook` and `m2m notices`: where notices go, and how far each is."""

import json

from m2m_pipeline_tests.cli.conftest import OURS, Shell
from m2m_pipeline_tests.notices.conftest import application
from m2m_pipeline_tests.notices.receiver import Receiver, verified
from m2m_pipeline_tests.world import World


def test_a_destination_from_its_making_to_its_end(m2m: Shell, world: World) -> None:
    with Receiver() as receiver:
        m2m = m2m.with_(M2M_WEBHOOK_HOSTS=receiver.host)
        made = m2m("webhook", "set", "--url", receiver.url, *OURS)
        assert made.status == 0, made.err
        secret = made.out.splitlines()[-1].rpartition(" ")[2]

        assert m2m("webhook", "test", "1", *OURS).out == "Delivered.\n"
        assert verified(receiver.deliveries[0], secret)
        listed = m2m("webhook", "list", *OURS)
        assert receiver.url in listed.out
        assert secret not in listed.out

        receiver.status = 410
        world.submit_and_run()
        services = application(world, webhook_hosts=receiver.host)
        services.outbox.deliver()
        services.close()
    (dead,) = json.loads(m2m("notices", "--json", *OURS).out)
    assert (dead["status"], dead["bulk_change_id"]) == ("DEAD", 1)
    assert dead["last_failure"] in m2m("notices", "--status", "DEAD", *OURS).out
    assert m2m("notices", "retry", str(dead["id"]), *OURS).status == 0
    assert json.loads(m2m("notices", "--json", *OURS).out)[0]["status"] == "PENDING"
    assert m2m("webhook", "remove", "1", *OURS).status == 0
    assert m2m("webhook", "list", *OURS).out == ""


def test_what_may_not_be_called_is_refused_with_its_reason(m2m: Shell) -> None:
    for url in ("https://169.254.169.254/latest", "http://hooks.example.com/", "https://u:p4ss@hooks.example.com/"):
        refused = m2m("webhook", "set", "--url", url, *OURS)
        assert refused.status == 2
        assert "Nothing was stored" in refused.err
        assert "p4ss" not in refused.err


def test_another_tenants_destination_is_none(m2m: Shell, world: World) -> None:
    assert m2m("webhook", "set", "--sqs-queue", "https://sqs.example.com/1/q", *OURS).status == 0
    for command in (["webhook", "remove", "1"], ["webhook", "test", "1"], ["notices", "retry", "1"]):
        assert m2m(*command, "--tenant", "rival").status == 2
        assert m2m(*command, "--operators").status == 2
    assert world.count("notice_destination") == 1
