"""Answers of the carrier: the error codes, their HTTP statuses and the bodies around them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

JSON_TYPE = "application/json"
HTML_TYPE = "text/html;charset=UTF-8"
BASIC_CHALLENGE = ("WWW-Authenticate", 'Basic realm="Jasper"')

BAD_CREDENTIALS = "10000001"
INVALID_ACCOUNT_ID = "10000004"
DATE_MISSING = "10000003"
INVALID_STATUS = "10000005"
INVALID_PAGE_SIZE = "10000006"
INVALID_PAGE_NUMBER = "10000007"
REQUIRED_FIELD_MISSING = "10000011"
INVALID_DATE = "10000012"
INVALID_RATE_PLAN = "10000013"
INVALID_COMMUNICATION_PLAN = "10000014"
INVALID_OVERAGE_OVERRIDE = "10000016"
MALFORMED_JSON = "10000023"
INVALID_API_VERSION = "10000024"
TILL_BEFORE_SINCE = "10000027"
UNRECOGNISED_PARAMETER = "10000028"
NO_WAY_BACK = "10000029"
ROLE_DENIED = "10000030"
TOO_MUCH_HISTORY = "10000049"
NOT_FOUND = "20000001"
SERVER_ERROR = "30000001"
RATE_LIMITED = "40000029"

MESSAGES: Mapping[str, str] = {
    BAD_CREDENTIALS: "Invalid credentials.",
    DATE_MISSING: "Date/time is required.",
    INVALID_ACCOUNT_ID: "Invalid accountId.",
    INVALID_STATUS: "Invalid SIM status.",
    INVALID_PAGE_SIZE: "Invalid pageSize.",
    INVALID_PAGE_NUMBER: "Invalid pageNumber.",
    REQUIRED_FIELD_MISSING: "A required field is missing.",
    INVALID_DATE: "Invalid date format.",
    INVALID_RATE_PLAN: "Invalid ratePlan.",
    INVALID_COMMUNICATION_PLAN: "Invalid communicationPlan.",
    INVALID_OVERAGE_OVERRIDE: "Invalid overageLimitOverride.",
    MALFORMED_JSON: "JSON is not well formed.",
    INVALID_API_VERSION: "Invalid apiVersion.",
    TILL_BEFORE_SINCE: "toDate is before fromDate.",
    UNRECOGNISED_PARAMETER: "Unrecognised parameter.",
    NO_WAY_BACK: "The SIM may not return to a pre-activation status.",
    ROLE_DENIED: "Your role has no access to this function.",
    TOO_MUCH_HISTORY: "daysOfHistory is greater than 365.",
    NOT_FOUND: "Resource not found - Invalid ICCID.",
    SERVER_ERROR: "Unknown server error.",
    RATE_LIMITED: "Rate limit exceeded.",
}
"""The codes are the carrier's; their wording is ours, for only the codes are known for certain."""

_STATUSES = {BAD_CREDENTIALS: 401, NOT_FOUND: 404, SERVER_ERROR: 500}
"""All other codes come with 400: partly verified, partly inferred from the class of the code."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer, complete."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()
    error_code: str | None = None

    def dated(self, date: str) -> "Reply":
        """The same answer with a Date header."""
        return replace(self, headers=(*self.headers, ("Date", date)))

    @property
    def is_success(self) -> bool:
        """Whether the carrier says yes."""
        return self.error_code is None and self.status // 100 == 2  # noqa: PLR2004 -- the 2xx class


class RefusedError(Exception):
    """The request is refused with this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def success(content: Mapping[str, object], status: int = 200) -> Reply:
    """Answer with JSON."""
    return Reply(status, json.dumps(content).encode())


def error(code: str, status: int | None = None, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """The error envelope; codes are strings of digits, in JSON too."""
    message = MESSAGES.get(code, "The request could not be processed.")
    body = json.dumps({"errorMessage": message, "errorCode": code}).encode()
    if code == BAD_CREDENTIALS:
        headers = (*headers, BASIC_CHALLENGE)
    return Reply(status or _STATUSES.get(code, 400), body, headers=headers, error_code=code)


def missing_authorization() -> Reply:
    """Without an Authorization header the carrier's gateway answers, with a message but no code."""
    return Reply(401, b'{"errorMessage": "Authorization header is missing."}', headers=(BASIC_CHALLENGE,))


def html(status: int, title: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """A page of something in front of the API: a gateway, a load balancer, the console's host."""
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(status, page.encode(), HTML_TYPE, headers)


def retry_after(seconds: int | None) -> tuple[tuple[str, str], ...]:
    """The header, or none."""
    return () if seconds is None else (("Retry-After", str(seconds)),)
