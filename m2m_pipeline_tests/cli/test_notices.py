"""`m2m webhook` and `m2m notices`: where notices go, and how far each is."""

import json
import re
import shlex
import signal
import socket
import time

from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline_tests.cli.conftest import OURS, Shell
from m2m_pipeline_tests.notices.conftest import application
from m2m_pipeline_tests.notices.mailbox import SmtpStand
from m2m_pipeline_tests.notices.receiver import Receiver, verified
from m2m_pipeline_tests.world import THIRD, World


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


def test_what_the_operators_and_the_tenant_are_told_to_type_works_as_it_stands(m2m: Shell, world: World) -> None:
    with Receiver() as receiver:
        services = application(world, webhook_hosts=receiver.host)
        services.destinations.store(None, DestinationKind.WEBHOOK, receiver.url, None, "test")
        services.destinations.store(OURS[1], DestinationKind.WEBHOOK, f"{receiver.url}/acme", None, "test")
        world.submit_and_run()
        world.sql("UPDATE m2m.bulk_change SET status = 'PARTIAL'")
        world.sql("UPDATE m2m.device_change SET status = 'REFUSED', reason = 'CARRIER_REFUSED' WHERE row_number = 2")
        world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))
        services.drifting.find(world.provider, full=True)
        services.alerting.watch()
        services.outbox.deliver()
        services.close()
    texts = [one.event["data"].get("text", "") for one in receiver.deliveries]
    typed = [shlex.split(line) for text in texts for line in re.findall(r"^  (m2m .*)$", text, re.MULTILINE)]

    assert {" ".join(one[1:2]) for one in typed} == {"result", "reconcile", "retry", "drift"}
    for _, *arguments in typed:
        ended = m2m(*arguments)
        assert (ended.status in {0, 1}, "There is no" in ended.err) == (True, False), (arguments, ended)


def test_the_front_door_mails_that_the_daemon_is_dead(m2m_process: Shell, world: World) -> None:
    world.services.destinations.store(None, DestinationKind.EMAIL, "oncall@example.com", None, "test")
    world.services.alerting.watch()
    world.sql("UPDATE m2m.heartbeat SET at = at - interval '181 s'")
    with SmtpStand() as mailbox, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        smtp = {f"M2M_{name.upper()}": str(value) for name, value in mailbox.settings.items()}
        with m2m_process.with_(**smtp).start("serve", "--port", str(port)) as serving:
            until = time.monotonic() + 30
            while not mailbox.mails and time.monotonic() < until:
                assert serving.poll() is None
                time.sleep(0.05)
            serving.terminate()
            assert serving.wait(10) == -signal.SIGTERM
    (mail,) = mailbox.mails
    assert b"Subject: [m2m] the platform gives no sign of life: watcher" in mail
