"""Waiting for what other processes do."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 240.0
"""Of a machine that has other things to do; what is waited for comes within seconds on one that has not."""

_Found = TypeVar("_Found")


def eventually(look: Callable[[], _Found | None], what: str, told: Callable[[], object] = str) -> _Found:
    """What `look` finds, as soon as it finds something; if it never does, `told` says what there is instead."""
    deadline = time.monotonic() + PATIENCE
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:g} s; {told()}"
        time.sleep(0.1)
    return found
