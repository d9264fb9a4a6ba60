"""Every trouble that the simulator can make, by name. Who is struck, how often and when is in `rules`.

A trouble answers three questions about a call: does the carrier do what it was asked, what does it answer, and
how does the answer reach the caller. A condition changes the world for as long as it is in force.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated

from pydantic import Field

from m2m_pipeline.simulator import replies
from m2m_pipeline.simulator.documents import Document, Iccid, Name
from m2m_pipeline.simulator.replies import Reply


class Effect(Enum):
    """What the carrier does with the request."""

    NOW = auto()
    LATER = auto()
    """Checked and accepted, applied after the rule's delay."""
    NONE = auto()
    """Checked, never applied."""
    FAILS_INSIDE = auto()
    """Like NONE, and as on pod 19 the audit trail of the device gets an error entry."""
    UNSEEN = auto()
    """The request does not get as far as the carrier: no sign-in, no limit, no check."""


class Delivery(Enum):
    """What reaches the caller."""

    WHOLE = auto()
    TRUNCATED = auto()
    """Half of the announced body, then an orderly close."""
    DRIPPED = auto()
    """The body byte by byte, the rule's interval apart."""
    RESET = auto()
    """No byte; TCP RST."""
    CLOSED = auto()
    """No byte; TCP FIN."""
    SILENCE = auto()
    """No byte; the connection stays open until the caller gives up."""


class Rule(Document):
    """One scenario in force: its name, whom it strikes, when, and its parameters.

    Without any choice it strikes every call of the scenario's methods until it is deleted.
    """

    name: Name
    iccids: frozenset[Iccid] | None = None
    methods: frozenset[str] | None = None
    """HTTP methods; those that make sense for the scenario when left out."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of the chosen calls that is struck, drawn from the seed in the order of arrival."""
    seed: int = 0
    skip_calls: Annotated[int, Field(ge=0)] = 0
    """How many of the chosen calls pass first: trouble that begins midway."""
    calls: Annotated[int, Field(ge=1)] | None = None
    """How many calls are struck before the rule is spent."""
    calls_per_device: Annotated[int, Field(ge=1)] | None = None
    """How many calls of each device are struck."""
    begins_after_s: Annotated[float, Field(ge=0)] = 0.0
    lasts_s: Annotated[float, Field(gt=0)] | None = None

    applied: bool | None = None
    """Overrides whether the carrier carries the request out, e.g. for an html_502 after the change was made."""
    delay_s: Annotated[float, Field(ge=0)] = 1.0
    """accepted_202_applied_later: from the answer to the change."""
    interval_s: Annotated[float, Field(ge=0)] = 0.05
    """slow_drip: between two bytes."""
    size_mb: Annotated[int, Field(ge=1)] = 16
    """oversized: size of the body in MiB."""
    error_code: Annotated[str, Field(pattern=r"^\d{8}$")] | None = None
    """device_refused (10000029 if left out), unknown_code (19999999 if left out)."""
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    """error500_*, rate_limited: the HTTP status around the code; the code's usual one if left out."""
    retry_after_s: int | None = None
    """burst_503, error500_*, rate_limited: value of the Retry-After header; no header if left out."""
    calls_per_second: Annotated[int, Field(ge=1)] = 1
    """limit_tightened."""
    rate_plan: str | None = None
    """rate_plan_retired: the plan that no longer exists."""
    skew_s: float = 0.0
    """clock_skew: seconds the carrier's clock is ahead."""
    told: bool = True
    """clock_skew: whether the answers' Date header shows it; not where a gateway in front has the right time."""
    moved: Annotated[int, Field(ge=1)] = 5
    """list_moves: how many devices of a page move."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to a call that is struck. `answer` makes the answer from the one that was due."""

    summary: str
    effect: Effect = Effect.NOW
    answer: Callable[[Reply, Rule], Reply] | None = None
    delivery: Delivery = Delivery.WHOLE
    methods: frozenset[str] = frozenset({"GET", "PUT"})


@dataclass(frozen=True, slots=True)
class Condition:
    """What holds for all calls while it is in force; it cannot be chosen for some devices or a share."""

    summary: str


def _server_error(_: Reply, rule: Rule) -> Reply:
    return replies.error(replies.SERVER_ERROR, rule.status, replies.retry_after(rule.retry_after_s))


def _accepted(due: Reply, _: Rule) -> Reply:
    return Reply(202, due.body) if due.is_success else due


def _instead_of_iccid(iccid: str) -> Callable[[Reply, Rule], Reply]:
    return lambda due, _: replies.success({"iccid": iccid}) if due.is_success else due


def _latin1(_: Reply, __: Rule) -> Reply:
    body = '{"errorMessage": "Paramètre non valide: carte SIM désactivée.", "errorCode": "10000021"}'
    return Reply(400, body.encode("latin-1"), "application/json;charset=ISO-8859-1", error_code="10000021")


def _refused_with(code: str) -> Callable[[Reply, Rule], Reply]:
    return lambda _, rule: replies.error(rule.error_code or code)


def _unavailable(_: Reply, rule: Rule) -> Reply:
    return replies.html(503, "503 Service Unavailable", replies.retry_after(rule.retry_after_s))


def _rate_limited(_: Reply, rule: Rule) -> Reply:
    return replies.error(replies.RATE_LIMITED, rule.status, replies.retry_after(rule.retry_after_s))


def _oversized(due: Reply, rule: Rule) -> Reply:
    padding = b" " * (rule.size_mb * 1024 * 1024)
    return Reply(due.status, padding + due.body, due.content_type, due.headers, due.error_code)


_WRITES = frozenset({"PUT"})
_FOREIGN_ICCID = "8999999999999999999"
_WAS_REVOKED = _refused_with(replies.BAD_CREDENTIALS)

SCENARIOS: Mapping[str, Trouble | Condition] = {
    "applied_then_reset": Trouble("applied, then the connection is reset", delivery=Delivery.RESET, methods=_WRITES),
    "applied_then_silence": Trouble("applied, never answered", delivery=Delivery.SILENCE, methods=_WRITES),
    "reset_before": Trouble("reset before the carrier saw it", Effect.UNSEEN, delivery=Delivery.RESET),
    "hang": Trouble("never seen, never answered", Effect.UNSEEN, delivery=Delivery.SILENCE),
    "outage": Trouble("every connection is closed unanswered", Effect.UNSEEN, delivery=Delivery.CLOSED),
    "error500_applied": Trouble("applied, then 500 30000001", answer=_server_error, methods=_WRITES),
    "error500_not_applied": Trouble("500 30000001, not applied", Effect.NONE, _server_error),
    "html_502": Trouble("a gateway's page", Effect.UNSEEN, lambda _, __: replies.html(502, "502 Bad Gateway")),
    "burst_503": Trouble("a load balancer's page", Effect.UNSEEN, _unavailable),
    "slow_drip": Trouble("applied, the answer comes byte by byte", delivery=Delivery.DRIPPED),
    "truncated": Trouble("applied, half of the body arrives", delivery=Delivery.TRUNCATED),
    "oversized": Trouble("applied, a body of many MiB", answer=_oversized),
    "accepted_202_applied_later": Trouble("202, applied after delay_s", Effect.LATER, _accepted, methods=_WRITES),
    "accepted_202_never": Trouble(
        "202, never applied; an error in the audit trail", Effect.FAILS_INSIDE, _accepted, methods=_WRITES
    ),
    "ok_not_applied": Trouble("200, not applied; an error in the audit trail", Effect.FAILS_INSIDE, methods=_WRITES),
    "blank_iccid": Trouble("200 with a blank iccid, not applied", Effect.NONE, _instead_of_iccid(""), methods=_WRITES),
    "foreign_iccid": Trouble(
        "200 with another device's iccid, not applied",
        Effect.NONE,
        _instead_of_iccid(_FOREIGN_ICCID),
        methods=_WRITES,
    ),
    "latin1_error": Trouble("400 in ISO-8859-1", Effect.NONE, _latin1),
    "role_denied": Trouble("400 10000030", Effect.NONE, _refused_with(replies.ROLE_DENIED)),
    "key_revoked": Trouble("401 10000001", Effect.UNSEEN, _WAS_REVOKED),
    "ip_blocked": Trouble("401 10000001, as for a moved worker", Effect.UNSEEN, _WAS_REVOKED),
    "unknown_code": Trouble("400 with a code that no list has", Effect.NONE, _refused_with("19999999")),
    "rate_limited": Trouble("40000029 although under the limit", Effect.UNSEEN, _rate_limited),
    "device_refused": Trouble("400 with error_code", Effect.NONE, _refused_with(replies.NO_WAY_BACK), methods=_WRITES),
    "device_transferred": Trouble("404 20000001", Effect.NONE, _refused_with(replies.NOT_FOUND)),
    "limit_tightened": Condition("calls_per_second holds instead of the account's limit"),
    "rate_plan_retired": Condition("rate_plan no longer exists"),
    "clock_skew": Condition("the carrier's clock is skew_s ahead"),
    "list_moves": Condition("someone edits the first `moved` devices of each page of the list after it was read"),
    "list_unordered": Condition("each page of the list sorts what was modified in one second in another order"),
}
"""Put a rule with one of these names in force to make the trouble."""
