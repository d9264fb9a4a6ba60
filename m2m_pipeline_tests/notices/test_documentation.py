"""What docs/webhooks.md tells a receiver to do works."""

import re
import time
from pathlib import Path
from typing import Any

from m2m_pipeline.delivery.signing import signature

DOCUMENT = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()


def test_the_documented_receiver_takes_ours_and_nobody_elses() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - our own document
    now, body = int(time.time()), b'{"id": "evt_1"}'
    header = signature(["new", "old"], now, body)

    assert names["is_ours"](header, body, "new")
    assert names["is_ours"](header, body, "old")
    assert not names["is_ours"](header, body, "other")
    assert not names["is_ours"](header, body + b" ", "new")
    assert not names["is_ours"](signature(["new"], now - 301, body), body, "new")
    assert not names["is_ours"]("nonsense", body, "new")
