"""The watcher: raises each alert once, resolves it once, and tells the operators through the outbox."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from sqlalchemy import Connection

from m2m_pipeline.domain.alerts import ALERTS, SILENCE_LIMIT_SECONDS, AlertName, Finding
from m2m_pipeline.domain.commands import command
from m2m_pipeline.domain.notices import EventType
from m2m_pipeline.services.checks import PROMISES, Verdict
from m2m_pipeline.services.notifying import event
from m2m_pipeline.storage import alerts, heartbeats, outbox
from m2m_pipeline.storage.alerts import OpenAlert
from m2m_pipeline.storage.breaches import Scope
from m2m_pipeline.storage.database import Database

HEARTBEAT = "watcher"

_JOB = "job "
"""Of a scheduled job it is a sign of life that a run has ended well."""

NextDue = Callable[[datetime], datetime]
"""When a schedule asks for a run the next time from a moment on."""

_LOOKED_AT = frozenset({*alerts.WATCHED, AlertName.UPKEEP_LATE, AlertName.PLATFORM_SILENT})


@dataclass(frozen=True, slots=True)
class Watched:
    """What one look came to."""

    raised: Sequence[Finding]
    resolved: Sequence[OpenAlert]


@dataclass(frozen=True, slots=True)
class Health:
    """What an outside prober asks. `quiet_seconds`: since the watcher's last tick; None: it never ticked."""

    quiet_seconds: float | None
    open_alerts: Sequence[OpenAlert]

    @property
    def is_alive(self) -> bool:
        """Whether the watcher ticks, and with it the daemon that runs every sensor."""
        return self.quiet_seconds is not None and self.quiet_seconds < SILENCE_LIMIT_SECONDS


class Alerting:
    """Knows rows. That it is not running itself, only somebody outside can see: `health`, and `miss_the_watcher`."""

    def __init__(self, database: Database, limits: Scope, upkeep_limit_hours: float) -> None:
        """`upkeep_limit_hours`: within how many hours of being due a scheduled job has to end well."""
        self._database = database
        self._limits = limits
        self._upkeep_limit = timedelta(hours=upkeep_limit_hours)

    def watch(self, scheduled: Mapping[str, NextDue] = MappingProxyType({})) -> Watched:
        """Look once. Alert, notice and sign of life are one commit: a tick that dies tells nothing twice.

        `scheduled`: the jobs that are missed where they do not run, each by its own schedule.

        Raises:
            DatabaseUnavailableError: nothing was recorded.

        """
        with self._database.begin() as tx:
            alerts.lock(tx)
            heartbeats.beat(tx, HEARTBEAT)  # which ends its own silence
            return self._tell(tx, _LOOKED_AT, [*alerts.find(tx, self._limits), *self._late(tx, scheduled)])

    def hold(self, verdicts: Iterable[Verdict]) -> Watched:
        """Tell of promises that are broken, and of those that hold again, where no other alert does.

        `verdicts` are of promises that were held against everything: of one bulk change alone, they tell too little.
        """
        ours = [one for one in verdicts if PROMISES[one.check].alert is AlertName.PROMISE_BROKEN]
        found = [Finding(AlertName.PROMISE_BROKEN, one.check.value, one.sentence) for one in ours if not one.holds]
        with self._database.begin() as tx:
            alerts.lock(tx)
            return self._tell(tx, {AlertName.PROMISE_BROKEN}, found, {one.check.value for one in ours})

    def end_upkeep(self, job: str, failure: str | None = None) -> Watched:
        """Tell that a scheduled job failed, and why; or that it went well."""
        found = [Finding(AlertName.UPKEEP_FAILED, job, failure)] if failure else []
        with self._database.begin() as tx:
            alerts.lock(tx)
            if not failure:
                heartbeats.renew(tx, f"{_JOB}{job}")
            return self._tell(tx, {AlertName.UPKEEP_FAILED}, found, {job})

    def miss_the_watcher(self, waited_seconds: float) -> bool:
        """Tell that the watcher is silent, however many processes miss it; whether it is.

        `waited_seconds`: how long whoever asks has been there, for a watcher that never ticked.
        """
        with self._database.begin() as tx:
            alerts.lock(tx)
            quiet = heartbeats.quiet_seconds(tx, HEARTBEAT)
            quiet = waited_seconds if quiet is None else quiet
            if quiet < SILENCE_LIMIT_SECONDS:
                return False
            self._tell(tx, (), [Finding(AlertName.PLATFORM_SILENT, HEARTBEAT, f"No tick for {quiet:.0f} seconds.")])
            return True

    def health(self) -> Health:
        """Whether the platform is alive, and what is wrong.

        Raises:
            DatabaseUnavailableError: the database does not answer, which is an answer too.

        """
        with self._database.begin() as tx:
            return Health(heartbeats.quiet_seconds(tx, HEARTBEAT), alerts.list_open(tx))

    def _late(self, tx: Connection, scheduled: Mapping[str, NextDue]) -> Iterator[Finding]:
        """Scheduled jobs of which no run has ended well since one was due too long ago; a new one is given time."""
        for job in scheduled:
            heartbeats.expect(tx, f"{_JOB}{job}")
        for name, quiet in heartbeats.list_quiet(tx, _JOB).items():
            job, now = name.removeprefix(_JOB), datetime.now(UTC)
            if job not in scheduled:
                heartbeats.forget(tx, name)  # else it would be late at once where it is scheduled again
                continue
            # By our clock, by which the schedules tick: of the database's only the difference is taken.
            due = scheduled[job](now - timedelta(seconds=quiet))
            if now - due >= self._upkeep_limit:
                when = f"{due:%Y-%m-%d %H:%M} (UTC)"
                yield Finding(AlertName.UPKEEP_LATE, job, f"It was due at {when}, and no run has ended well since.")

    def _tell(
        self,
        tx: Connection,
        names: Collection[AlertName],
        found: Sequence[Finding],
        subjects: Collection[str] | None = None,
    ) -> Watched:
        """Raise what was found, and close what is open of these names (and subjects) and was not."""
        now = {(one.name, one.subject) for one in found}
        looked_at = [one for one in alerts.list_open(tx) if one.name in names]
        looked_at = [one for one in looked_at if subjects is None or one.subject in subjects]
        over = [one for one in looked_at if (one.name, one.subject) not in now]
        raised = alerts.see(tx, found)
        for one in raised:
            outbox.write(tx, None, event(EventType.ALERT_RAISED, _raised(one)))
        old = {name: alerts.only_old(tx, self._limits, name) for name in {one.name for one in over}}
        for one in over:
            alerts.resolve(tx, one.name, one.subject)
        resolved = [one for one in over if one.subject not in old[one.name]]
        for one in resolved:
            outbox.write(tx, None, event(EventType.ALERT_RESOLVED, _resolved(one)))
        return Watched(raised, resolved)


def silence(health: Health) -> str:
    """What is said of a platform that is not alive."""
    alert = ALERTS[AlertName.PLATFORM_SILENT]
    since = "ever" if health.quiet_seconds is None else f"for {health.quiet_seconds:.0f} s"
    return f"{AlertName.PLATFORM_SILENT}: no tick of the watcher {since}. {alert.look_at}"


def _raised(one: Finding) -> dict[str, object]:
    alert = ALERTS[one.name]
    title = f"{alert.title}: {one.subject}"
    typed = "\n".join(f"  {command(template, one.words)}" for template in alert.commands)
    text = f"{title}\n\n{one.detail}\n\nLook at: {alert.look_at}\n\nType:\n{typed}\n"
    return {"name": one.name.value, "subject": one.subject, "detail": one.detail, "title": title, "text": text}


def _resolved(one: OpenAlert) -> dict[str, object]:
    title = f"Resolved: {ALERTS[one.name].title}: {one.subject}"
    text = f"{title}\n\nIt was: {one.detail}\n"
    return {"name": one.name.value, "subject": one.subject, "detail": one.detail, "title": title, "text": text}
