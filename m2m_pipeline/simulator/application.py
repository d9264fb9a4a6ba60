"""The ASGI application: a carrier call passes ledger, scenarios and gate; `/_…` is the control API's."""

import asyncio
import sys
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.types import Receive, Scope, Send

from m2m_pipeline.simulator.admission import User
from m2m_pipeline.simulator.connections import Connections
from m2m_pipeline.simulator.control_api import control
from m2m_pipeline.simulator.device_edit import Circumstances
from m2m_pipeline.simulator.exchange import Exchange
from m2m_pipeline.simulator.jasper_api import Request, answer, iccid_in
from m2m_pipeline.simulator.ledger import Call
from m2m_pipeline.simulator.replies import Reply, html
from m2m_pipeline.simulator.rules import Conditions
from m2m_pipeline.simulator.scenarios import Effect, Rule, Trouble
from m2m_pipeline.simulator.simulation import Simulation

_NO_TROUBLE = (Rule(name="none"), Trouble("nothing happens"))
_NOTHING_DUE = Reply(204, b"")
"""In place of the carrier's answer to a request that did not get there; its trouble answers for it."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A call and all that was decided about it when it arrived."""

    call: Call
    conditions: Conditions
    rule: Rule
    trouble: Trouble
    effect: Effect
    gate: User | Reply | None
    """The user that it was admitted for, its refusal, or None where it does not get as far as the gate."""


class Application:
    """Serves one simulation."""

    def __init__(self, simulation: Simulation, connections: Connections) -> None:
        self._simulation = simulation
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        exchange = Exchange.of(scope, receive, send, self._connections)
        if exchange.path.startswith("/_"):
            await self._control(exchange)
        else:
            await self._carrier_call(exchange)

    async def _control(self, exchange: Exchange) -> None:
        if not ip_address(exchange.peer[0]).is_loopback:
            await exchange.answer(html(404, "404 Not Found"))
            return
        body = await exchange.body()
        if body is not None:
            reply = control(self._simulation, exchange.method, exchange.path, exchange.query, body)
            await exchange.answer(reply)

    async def _carrier_call(self, exchange: Exchange) -> None:
        ledger = self._simulation.carrier.ledger
        arrival = _arrive(self._simulation, exchange)
        sent: Reply | None = None
        try:
            reply = await self._reply(exchange, arrival)
            if reply is not None and await exchange.deliver(
                reply.dated(self._simulation.date()), arrival.trouble.delivery, arrival.rule.interval_s
            ):
                sent = reply
        finally:
            if isinstance(arrival.gate, User):
                arrival.gate.open_calls -= 1
            ledger.close(arrival.call, sent)

    async def _reply(self, exchange: Exchange, arrival: _Arrival) -> Reply | None:
        """Answer the call; None if the caller went away before it had asked."""
        carrier = self._simulation.carrier
        body = b"" if exchange.method == "GET" else await exchange.body()
        if body is None:
            return None
        match arrival.gate:
            case Reply() as refusal:
                return refusal
            case User(account=account):
                if latency_s := self._simulation.draw_latency_s():
                    await asyncio.sleep(latency_s)
                self._simulation.set_clock()
                circumstances = Circumstances(
                    call=arrival.call.n,
                    effect=arrival.effect,
                    delay_ms=round(arrival.rule.delay_s * 1000),
                    retired_plans=arrival.conditions.retired_plans,
                    listing=arrival.conditions.listing,
                )
                request = Request(account, exchange.method, exchange.path, exchange.query, body, circumstances)
                due = answer(carrier, request)
            case None:
                due = _NOTHING_DUE
        return due if arrival.trouble.answer is None else arrival.trouble.answer(due, arrival.rule)


def _arrive(simulation: Simulation, exchange: Exchange) -> _Arrival:
    # Nothing is awaited here: calls are recorded, struck and admitted one by one, in the order of arrival.
    carrier, admission, rules = simulation.carrier, simulation.admission, simulation.rules
    iccid = iccid_in(exchange.path)
    device = carrier.devices.get(iccid) if iccid else None
    user = admission.user_of(exchange.authorization)
    # The world's own string and one string a route: a ledger of 300,000 calls must not hold as many of each.
    call = carrier.ledger.open(
        exchange.method,
        sys.intern(exchange.path.replace(iccid, "{iccid}") if iccid else exchange.path),
        exchange.query,
        device.iccid if device else iccid,
        user.account.username if user else "",
    )
    conditions = rules.conditions()
    struck = rules.strike(exchange.method, iccid)
    rule, trouble = struck or _NO_TROUBLE
    call.scenario = "+".join((*conditions.names, rule.name) if struck else conditions.names) or None
    effect = trouble.effect
    if rule.applied is not None:
        effect = Effect.NOW if rule.applied else Effect.NONE
    gate = None
    if effect is not Effect.UNSEEN:
        gate = admission.enter(call.start, exchange.authorization, exchange.peer[0], conditions.calls_per_second)
    return _Arrival(call, conditions, rule, trouble, effect, gate)
