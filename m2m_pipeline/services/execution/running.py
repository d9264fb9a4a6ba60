"""From synchronous steps into asynchronous work, and its errors back."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do the work to its end; where it fails, the error that ended the rest is raised, never a group."""
    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        raise first_error(group) from group


def first_error(group: BaseException) -> BaseException:
    """What the group ended with, where several tasks ended with it."""
    error = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
