"""The watcher: raises each alert once, resolves it once, and tells the operators through the outbox."""

from collections.abc import Sequence
from dataclasses import dataclass

from m2m_pipeline.domain.alerts import ALERTS, SILENCE_LIMIT_SECONDS, AlertName, Finding
from m2m_pipeline.domain.notices import EventType
from m2m_pipeline.services.notifying import event
from m2m_pipeline.storage import alerts, outbox
from m2m_pipeline.storage.alerts import OpenAlert
from m2m_pipeline.storage.database import Database

HEARTBEAT = "watcher"


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
    """Knows rows. That it is not running itself, only somebody outside can see: `health`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def watch(self) -> Watched:
        """Look once. Alert, notice and sign of life are one commit: a tick that dies tells nothing twice.

        Raises:
            DatabaseUnavailableError: nothing was recorded.

        """
        with self._database.begin() as tx:
            alerts.lock(tx)
            found = alerts.find(tx)
            now = {(one.name, one.subject) for one in found}
            over = [one for one in alerts.list_open(tx) if (one.name, one.subject) not in now]
            raised = alerts.see(tx, found)
            for one in raised:
                outbox.write(tx, None, event(EventType.ALERT_RAISED, _told(one)))
            for one in over:
                alerts.resolve(tx, one.name, one.subject)
                outbox.write(tx, None, event(EventType.ALERT_RESOLVED, _told(one, "Resolved: ")))
            alerts.beat(tx, HEARTBEAT)
        return Watched(raised, over)

    def health(self) -> Health:
        """Whether the platform is alive, and what is wrong.

        Raises:
            DatabaseUnavailableError: the database does not answer, which is an answer too.

        """
        with self._database.begin() as tx:
            return Health(alerts.quiet_seconds(tx, HEARTBEAT), alerts.list_open(tx))


def silence(health: Health) -> str:
    """What is said of a platform that is not alive."""
    alert = ALERTS[AlertName.PLATFORM_SILENT]
    since = "ever" if health.quiet_seconds is None else f"for {health.quiet_seconds:.0f} s"
    return f"{AlertName.PLATFORM_SILENT}: no tick of the watcher {since}. {alert.look_at}"


def _told(one: Finding | OpenAlert, prefix: str = "") -> dict[str, object]:
    alert = ALERTS[one.name]
    title = f"{prefix}{alert.title}: {one.subject}"
    typed = "\n".join(f"  {command}" for command in alert.commands)
    text = f"{title}\n\n{one.detail}\n\nLook at: {alert.look_at}\n\nType:\n{typed}\n"
    return {"name": one.name.value, "subject": one.subject, "detail": one.detail, "title": title, "text": text}
