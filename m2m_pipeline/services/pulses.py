"""Signs of life of runs that hold no lease: where a whole host dies, nobody else learns of their death."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from threading import Event, Thread

from m2m_pipeline.storage import heartbeats
from m2m_pipeline.storage.best_effort import best_effort
from m2m_pipeline.storage.database import Database, DatabaseRefusedError, DatabaseUnavailableError

BEAT_SECONDS = 15.0
AGAIN_SECONDS = 1.0
SILENCE_SECONDS = 60.0
"""After so long without a sign of life a run is taken for dead."""

_RUN = "run "


class Pulses:
    """Left by each run while it works, and forgotten at its end."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def kept(self, run_id: str) -> Generator[None]:
        """Give signs of life while the body works; one that the database does not take is given again soon."""
        ended = Event()
        beating = Thread(target=self._beat_until, args=(ended, run_id), name="pulse", daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()
            with best_effort(f"The end of run {run_id} was not noted: the sweeper does it."):
                self.forget(run_id)

    def quiet_seconds(self) -> Mapping[str, float]:
        """The runs of which there are signs of life, each with the seconds since the last."""
        with self._database.begin() as tx:
            return {name.removeprefix(_RUN): quiet for name, quiet in heartbeats.list_quiet(tx, _RUN).items()}

    def forget(self, run_id: str) -> None:
        """No sign of life is expected of the run any more."""
        with self._database.begin() as tx:
            heartbeats.forget(tx, f"{_RUN}{run_id}")

    def _beat_until(self, ended: Event, run_id: str) -> None:
        while not ended.wait(self._beat(run_id)):
            pass

    def _beat(self, run_id: str) -> float:
        """Give a sign of life; in how many seconds the next is due: soon where the database is away."""
        try:
            with self._database.begin() as tx:
                heartbeats.beat(tx, f"{_RUN}{run_id}")
        except (DatabaseUnavailableError, DatabaseRefusedError):
            return AGAIN_SECONDS
        return BEAT_SECONDS
