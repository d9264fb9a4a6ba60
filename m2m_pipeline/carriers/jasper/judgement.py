"""From what came back over the wire to what it means for the device.

The JSON decides over the HTTP status: a status may come from any gateway on the way, and Jasper is known to
report errors in a 2xx. Where nothing decides, the change may have happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from pydantic import ValidationError

from m2m_pipeline.carriers.http import Fate, HttpAnswer, LostAnswer, NotSent
from m2m_pipeline.carriers.jasper.codes import ERRORS, SIGN_IN, THIS_DEVICE, Open, Refusal
from m2m_pipeline.carriers.jasper.schemas import Envelope
from m2m_pipeline.domain.outcome import GATE_CLOSED, Answer, Refused, Unconfirmed, Unreachable
from m2m_pipeline.domain.reasons import ReasonCode

MESSAGE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Said:
    """A 2xx with a JSON object that reports no error. Whether it says what was asked for is open."""

    answer: Answer
    iccid: str | None
    json: str


Judgement = Said | Refused | Unreachable | Unconfirmed


def judged(fate: Fate, secrets: Sequence[str]) -> Judgement:
    """What `fate` means for a change. Where the carrier's words repeat one of `secrets`, ours do not."""
    match fate:
        case NotSent(cause):
            return Unreachable(Answer(message=cause), ReasonCode.CARRIER_UNREACHABLE)
        case LostAnswer(cause, abandoned):
            return Unconfirmed(Answer(message=cause), abandoned=abandoned)
        case HttpAnswer():
            return _judged_answer(fate, secrets)


def _judged_answer(http: HttpAnswer, secrets: Sequence[str]) -> Judgement:
    text = _text(http.body)
    envelope = _envelope(text)
    code = (_plain(envelope.error_code or "", secrets) or None) if envelope else None
    words = _plain(envelope.error_message or "", secrets) if envelope else ""
    answer = Answer(http.status, code, words or _without_words(http.status))
    known = ERRORS.get(code) if code else None

    if (known and known.verdict is Open.THROTTLED) or _is_throttle(http, code):
        wait = http.retry_after
        return Unreachable(answer, ReasonCode.CARRIER_RATE_LIMITED, throttled=True, retry_after=wait)
    if http.status == HTTPStatus.UNAUTHORIZED:  # whatever the body: it may come before there is a code
        return _refused(answer, SIGN_IN)
    if known:
        return _open(http, answer) if isinstance(known.verdict, Open) else _refused(answer, known.verdict)
    match http.status // 100:
        case 2 if envelope and not code:
            return Said(answer, envelope.iccid, text)
        case 4:
            return _refused(answer, THIS_DEVICE) if code or words else _turned_away(answer)
        case _:  # 5xx; a redirect, which is never followed; a 2xx that is no success
            return _open(http, answer)


def _open(http: HttpAnswer, answer: Answer) -> Unconfirmed:
    return Unconfirmed(answer, http.retry_after if http.status in GATE_CLOSED else None)


def _is_throttle(http: HttpAnswer, code: str | None) -> bool:
    # A 503 alone may be a gateway's word on a server that died over the request, half done. One that says
    # when to come back turns calls away before they are looked at. A code, known or not, is a word from
    # further inside.
    if code:
        return http.status == HTTPStatus.TOO_MANY_REQUESTS and code not in ERRORS
    closed_until = http.status == HTTPStatus.SERVICE_UNAVAILABLE and http.retry_after is not None
    return http.status == HTTPStatus.TOO_MANY_REQUESTS or closed_until


def _turned_away(answer: Answer) -> Refused | Unreachable | Unconfirmed:
    """A 4xx in somebody else's form: a gateway or the wrong host, and the carrier never heard of the device.

    Nothing was applied. It says as little about the account as about the device: gateways answer like this
    for a minute while they are being changed, so the call may be repeated, within its attempts.
    """
    match answer.http_status:
        case HTTPStatus.FORBIDDEN:  # a firewall's word on the caller's address; asking on makes it worse
            return _refused(answer, SIGN_IN)
        case HTTPStatus.REQUEST_TIMEOUT:  # a gateway gave up waiting; on whom, it does not say
            return Unconfirmed(answer)
        case _:
            return Unreachable(answer, ReasonCode.CARRIER_UNREACHABLE)


def _refused(answer: Answer, refusal: Refusal) -> Refused:
    return Refused(answer, refusal.reason, refusal.scope)


def _text(body: bytes) -> str:
    """Jasper has been seen to declare ISO-8859-1 for its errors; JSON should be UTF-8. The bytes tell."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _envelope(text: str) -> Envelope | None:
    try:
        return Envelope.model_validate_json(text)
    except ValidationError:
        return None


def _plain(words: str, secrets: Sequence[str]) -> str:
    """The carrier's words, or code, as one printable line of at most `MESSAGE_LENGTH` characters."""
    for secret in filter(None, secrets):
        words = words.replace(secret, "[redacted]")
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())
    return line if len(line) <= MESSAGE_LENGTH else f"{line[: MESSAGE_LENGTH - 1]}…"


def _without_words(status: int) -> str:
    if status // 100 == 2:  # noqa: PLR2004 - the class of the status
        return ""
    hint = "; is the base URL the host of the REST API?" if status == HTTPStatus.NOT_FOUND else ""
    return f"HTTP {status} without an error of the carrier's API{hint}"
