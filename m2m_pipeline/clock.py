"""The clock by which a process knows how long its lease lasts still."""

import time


def now() -> float:
    """Seconds, of which only differences mean anything.

    Linux stops the monotonic clock, which is the event loop's too, while the machine is suspended (a laptop that is
    shut, a virtual machine that is paused or moved), and the database's clock runs on: whoever wakes up would take a
    lease for his that is long another's. The clock of the boot counts the time asleep. Other systems have no such one.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
