"""The moments at which an attempt is killed, by name, and how a process dies at one of them."""

import inspect
import itertools
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import Any, Literal

_EXECUTION = "m2m_pipeline.services.execution.execution.Execution"
_STORAGE = "m2m_pipeline.storage"


@dataclass(frozen=True, slots=True)
class Point:
    """Before or after a call of a function of the product's.

    `most`: an attempt over 200 devices surely comes by so often, so a seed may choose among these.
    `of`: only calls with this text as an argument count, where many make calls.
    """

    function: str
    when: Literal["before", "after"]
    most: int = 1
    of: str = ""


POINTS: Mapping[str, Point] = {
    "before the claim": Point(f"{_EXECUTION}.claim", "before"),
    "inside the claim": Point(f"{_STORAGE}.leases.claim", "after"),
    "after the claim": Point(f"{_EXECUTION}.claim", "after"),
    "inside the commit of SENDING": Point(f"{_STORAGE}.device_changes.mark_sending", "after", 4),
    "after the commit of SENDING": Point(
        "m2m_pipeline.services.execution.workbench.Workbench._mark_sending", "after", 4
    ),
    "after the answer, before its commit": Point(
        "m2m_pipeline.carriers.jasper.adapter.JasperCarrier.change_plan", "after", 150
    ),
    "inside the commit of outcomes": Point(f"{_STORAGE}.audit.write_steps", "after", 4),
    "inside AMOP's update": Point(f"{_STORAGE}.amop.update", "after", 2),
    "after AMOP's update, before its audit": Point(f"{_EXECUTION}.update_amop", "after", 2),
    "before the end": Point(f"{_EXECUTION}.finalize", "before"),
    "inside the commit of the end": Point(f"{_STORAGE}.bulk_changes.store_result", "after"),
    "after the end, before the run's": Point(f"{_EXECUTION}.finalize", "after"),
}

AFTER_THE_REQUEST_LEFT = "after the request left"
"""No function's: whoever watches the carrier's ledger kills the process when its PUT is there, unanswered."""


def resolve(dotted: str) -> tuple[object, str]:
    """Where a function is looked up when it is called: its module or class, and its name there.

    Raises:
        AttributeError: the product has no such function any more.

    """
    parts = dotted.split(".")
    classes = sum(part.lstrip("_")[:1].isupper() for part in parts)
    owner: object = import_module(".".join(parts[: -1 - classes]))
    for name in parts[-1 - classes : -1]:
        owner = getattr(owner, name)
    return owner, parts[-1]


def arm(point: Point, nth: int, number: signal.Signals = signal.SIGKILL) -> None:
    """From now on, this process sends itself a signal when it comes by the point for the `nth` time."""
    owner, name = resolve(point.function)
    setattr(owner, name, _struck(getattr(owner, name), point, nth, number))


def _struck(function: Callable[..., Any], point: Point, nth: int, number: signal.Signals) -> Callable[..., Any]:
    count = itertools.count(1)  # its `next` is atomic: the product calls from several threads

    def pass_by(moment: str, arguments: Sequence[object]) -> None:
        if moment == point.when and (not point.of or point.of in arguments) and next(count) == nth:
            os.kill(os.getpid(), number)

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def later(*args: object, **kwargs: object) -> object:
            pass_by("before", args)
            result = await function(*args, **kwargs)
            pass_by("after", args)
            return result

        return later

    @wraps(function)
    def at_once(*args: object, **kwargs: object) -> object:
        pass_by("before", args)
        result = function(*args, **kwargs)
        pass_by("after", args)
        return result

    return at_once
