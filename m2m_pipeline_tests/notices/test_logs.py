"""A log line is one JSON object that says what is being worked on, and no credential gets through."""

import json
import logging
from collections.abc import Generator

import pytest
from structlog.contextvars import bound_contextvars

from m2m_pipeline.logs import configure, redacted

CANARY = "canary-5ecret"


@pytest.fixture(autouse=True)
def logger() -> Generator[logging.Logger]:
    logger = logging.getLogger("m2m_pipeline")
    before, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers, logger.level = before, level


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Basic {CANARY}",
        f"sent with Bearer {CANARY}.x.y",
        f'{{"api_key": "{CANARY}"}}',
        f"X-API-Key={CANARY}",
        f"password = '{CANARY}'",
        f"webhook_secret: {CANARY}",
        f"postgresql+psycopg://m2m:{CANARY}@db/m2m does not answer",
        f"redis://:{CANARY}@host",
        f"the key m2m_{CANARY}{'-_x9' * 8} was used",
        f"GET /?key=m2m_{CANARY}{'-_x9' * 8}",
        f"a token eyJhbGciOiJFUzI1NiJ9.{CANARY}.c2lnbmVk-_ that ran out",
        f"without a signature: eyJhbGciOiJub25lIn0.{CANARY}.",
        f"sealed as gAAAA{CANARY.replace('-', '_') * 3}==",
    ],
)
def test_what_looks_like_a_credential_is_hidden(line: str) -> None:
    hidden = redacted(line)
    assert CANARY not in hidden
    assert CANARY.replace("-", "_") not in hidden
    assert "[hidden]" in hidden


@pytest.mark.parametrize(
    "line",
    [
        "Bulk change 17: 3 devices",
        "see https://carrier.example/a:b",
        "tokens are counted",
        "m2m_pipeline_tests.notices.test_logs",
        "m2m_account_calls_per_second_configured",
    ],
)
def test_what_is_no_credential_stays(line: str) -> None:
    assert redacted(line) == line


def test_a_line_is_json_and_says_what_is_worked_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    configure("json")
    with bound_contextvars(bulk_change_id=17, run_id="r1"):
        logging.getLogger("m2m_pipeline.somewhere").warning("no answer from %s", f"postgresql://u:{CANARY}@h/d")

    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["bulk_change_id"], told["run_id"], told["level"]) == (17, "r1", "warning")
    assert told["event"] == "no answer from postgresql://u:[hidden]@h/d"


def test_an_exceptions_words_are_searched_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure("text")
    try:
        int(f"api_key={CANARY}")
    except ValueError:
        logging.getLogger("m2m_pipeline").exception("it broke")
    told = capsys.readouterr().err
    assert "ValueError" in told
    assert CANARY not in told


def test_what_is_nested_is_searched_and_an_iccid_is_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    headers = {"call": [f"Authorization: Basic {CANARY}", ("GET /devices/8988216716970000001",)]}
    with bound_contextvars(request=headers):
        logging.getLogger("m2m_pipeline.somewhere").warning("no answer for 8988216716970000001")

    told = json.loads(capsys.readouterr().err)
    assert told["event"] == "no answer for 8988…0001"
    assert told["request"] == {"call": ["Authorization: [hidden]", ["GET /devices/8988…0001"]]}
