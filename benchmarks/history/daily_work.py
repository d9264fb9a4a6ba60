"""What the daemon does by itself, once for real: every sensor ticks, every schedule is due, a queued change is run."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.history.company import MEMBERS, PLANS
from benchmarks.history.dagster_services import LOOK_SECONDS, daemon
from benchmarks.measurement import InvalidRunError
from benchmarks.sql import rows
from m2m_pipeline.bootstrap import build
from m2m_pipeline.domain.request import parse_request
from m2m_pipeline.local.children import tail
from m2m_pipeline.settings import Settings, load_settings

START, AGAIN_MINUTES, PATIENCE_SECONDS = timedelta(seconds=30), 3, 600.0
"""When the daemon should look at schedules; if it was not ready, when again; what it may take until all is done."""

CRONS = [name for name in Settings.model_fields if name.endswith("_cron")]
SHIPPED_LIMITS = {
    f"M2M_{name.upper()}": str(Settings.model_fields[name].default)
    for name in ("retention_run_days", "retention_record_days")
}
"""For the purge that is scheduled: of two weeks it removes nothing."""

_DONE = """
SELECT (SELECT count(DISTINCT selector_id) FROM job_ticks WHERE type = 'SCHEDULE' AND status = 'SUCCESS'),
    (SELECT count(*) FROM job_ticks WHERE type = 'SENSOR' AND status = 'SUCCESS'),
    (SELECT count(*) FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')),
    (SELECT string_agg(name, ', ') FROM (
        SELECT pipeline_name AS name FROM runs WHERE status IN ('FAILURE', 'CANCELED')
        UNION SELECT tick_body::jsonb ->> 'job_name' FROM job_ticks WHERE status = 'FAILURE') failed)
"""


def work_once(environment: Mapping[str, str], log: Path) -> None:
    """Let the daemon work until each schedule has had its runs, and the dispatch sensor has found a change.

    Raises:
        InvalidRunError: a run or a tick failed, or not all of it was done in time.

    """
    with daemon({**environment, **SHIPPED_LIMITS, **_due_soon()}, log):
        _submit(environment)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            (done,) = rows(environment["M2M_DAGSTER_DATABASE_URL"], _DONE)
            due, dispatched, unfinished, failed = done
            if failed or time.monotonic() > deadline:
                raise InvalidRunError(f"what is scheduled: failed {failed}, done {done}; the daemon says:\n{tail(log)}")
            if (due, unfinished) == (len(CRONS), 0) and dispatched:
                return
            time.sleep(LOOK_SECONDS)


def _due_soon() -> Mapping[str, str]:
    """All schedules in the same minute, and for a daemon that was not ready every few minutes."""
    soon = datetime.now(UTC) + START + timedelta(minutes=1)
    minutes = ",".join(str((soon.minute + later) % 60) for later in range(0, 60, AGAIN_MINUTES))
    return {f"M2M_{name.upper()}": f"{minutes} * * * *" for name in CRONS}


def _submit(environment: Mapping[str, str]) -> None:
    member, services = MEMBERS[0], build(load_settings(environment))
    request = parse_request({"provider": member.name, "rate_plan": PLANS[1], "devices": list(member.devices[:10])})
    try:
        services.submission.submit(member.tenant, request, "bench")
    finally:
        services.close()
