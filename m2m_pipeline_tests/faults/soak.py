"""The large numbers: every fault scenario, round after round, and one report at the end.

    python -m m2m_pipeline_tests.faults.soak [--seed N] [--rounds PERCENT] [--at-once N] [--only SCENARIO …]

Exit status 1 if anything was lost, done twice, sent blindly, or if any invariant does not hold.
"""

import argparse
import logging
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.storage.migrate import upgrade
from m2m_pipeline_tests.acceptance.accounts import ACCOUNTS
from m2m_pipeline_tests.acceptance.running import running_site
from m2m_pipeline_tests.faults import crashes, databases, inputs, kills, messages, reexecutions, wires, zombies
from m2m_pipeline_tests.faults.field import Field, playing_field
from m2m_pipeline_tests.faults.proxy import Harm
from m2m_pipeline_tests.faults.verdict import Verdict
from m2m_pipeline_tests.queues.server import AwsServer
from m2m_pipeline_tests.world import Options, World, simulator_process

_TEMPLATE = "template_m2m"
_ROLE = "m2m_restricted"


@dataclass(frozen=True, slots=True)
class Stand:
    """A server and a carrier, on which one field after another is laid out."""

    server: EmbeddedPostgres
    control: SimulatorControl
    carrier_url: str

    @contextmanager
    def field(self, name: str, accounts: int, devices_each: int) -> Generator[Field]:
        """A field over a database of its own, dropped afterwards."""
        self.server.create_database(name, _TEMPLATE)
        url = self.server.url(name)
        with playing_field(self.control, self.carrier_url, url, accounts, devices_each) as field:
            yield field
        self.server.drop_database(name)


def crash_points(stand: Stand, seeds: Sequence[int]) -> Iterator[Verdict]:
    """Each named crash point with each seed."""
    for seed in seeds:
        with stand.field("crashes", len(crashes.ALL_POINTS), crashes.DEVICES) as field:
            yield from crashes.crash_everywhere(field, seed).values()


def random_kills(stand: Stand, seeds: Sequence[int]) -> Iterator[Verdict]:
    """Real processes of Dagster's, one change for each kill, some at once; a new site when its accounts are used up."""
    del stand  # a site has its own
    left = list(seeds)
    at_once = len(kills.TARGETS)
    while left:
        with tempfile.TemporaryDirectory() as folder, running_site(Path(folder) / "state") as site:
            site.start_sweeper()
            for _ in range(ACCOUNTS // at_once):
                if left:
                    now, left = left[:at_once], left[at_once:]
                    draw = random.Random(now[0])  # noqa: S311 - reproducible, not secret
                    yield from kills.storm(site, now[0], draw.sample(list(kills.TARGETS), len(now)))


def reexecuted_runs(stand: Stand, seeds: Sequence[int]) -> Iterator[Verdict]:
    """Every form of re-execution with each seed, one half of them beside the sweeper, and with the next seed the other.

    A new site when its accounts are used up.
    """
    del stand  # a site has its own
    of_a_site = ACCOUNTS // (len(reexecutions.FORMS) + 1)
    for first in range(0, len(seeds), of_a_site):
        with tempfile.TemporaryDirectory() as folder, running_site(Path(folder) / "state") as site:
            for seed in seeds[first : first + of_a_site]:
                forms = list(reexecutions.FORMS)
                yield from reexecutions.reexecute(site, seed, forms[seed % 2 :: 2], alone=True).values()
                with site.sweeping():
                    others = [*forms[(seed + 1) % 2 :: 2], reexecutions.LEFT]
                    yield from reexecutions.reexecute(site, seed, others, alone=False).values()


def zombie_runs(stand: Stand, seeds: Sequence[int]) -> Iterator[Verdict]:
    """Runs that are stopped beyond their lease."""
    for seed in seeds:
        with stand.field("zombies", 1, zombies.DEVICES) as field:
            yield zombies.wake_zombie(field, seed, zombies.PLACES[seed % len(zombies.PLACES)])


def database_crashes(stand: Stand, seeds: Sequence[int]) -> Iterator[Verdict]:
    """The server dies; and it lets nobody in; and it only reads; and it cancels statements."""
    for seed in seeds:
        with stand.field("outages", 5, databases.DEVICES) as field:
            yield databases.crash_database(field, stand.server, seed)
            yield databases.stay_away(field, stand.server, seed)
            yield databases.only_read(field, stand.server, seed)
            yield databases.cancel_statements(field, seed)
            with databases.under_restricted_role(field, _ROLE):
                yield databases.refuse_connections(field, stand.server, _ROLE, seed)


def terminated_backends(stand: Stand, seeds: Sequence[int]) -> Iterator[Verdict]:
    """Ten connections of a run, one after another."""
    for seed in seeds:
        with stand.field("backends", 1, databases.DEVICES) as field:
            yield databases.terminate_backends(field, seed, backends=10)


def broken_wires(stand: Stand, seeds: Sequence[int]) -> Iterator[Verdict]:
    """Connections that break, to the carrier and around commits."""
    for seed in seeds:
        with stand.field("wires", 2 * len(Harm), wires.DEVICES) as field:
            for harm in Harm:
                yield wires.cut_carrier(field, seed, harm)
                yield wires.cut_database(field, seed, harm, wires.commits_from(seed))


def flooded_inbox(stand: Stand, seeds: Sequence[int]) -> Iterator[Verdict]:
    """Messages that come again and again, and such as make no sense."""
    for seed in seeds:
        stand.server.create_database("inbox", _TEMPLATE)
        url = stand.server.url("inbox")
        world = World(stand.control, stand.carrier_url, url, Options(devices=messages.MESSAGES))
        with closing(world), AwsServer() as aws:
            yield messages.flood(world, aws, seed)
        stand.server.drop_database("inbox")


def bad_inputs(stand: Stand, seeds: Sequence[int]) -> Iterator[Verdict]:
    """A thousand requests that make no sense, each time before a fresh front door."""
    for seed in seeds:
        stand.server.create_database("inputs", _TEMPLATE)
        with closing(World(stand.control, stand.carrier_url, stand.server.url("inputs"), Options())) as world:
            yield inputs.throw(world, seed)
        stand.server.drop_database("inputs")


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done, and how often in a whole soak; then it has at least so many faults."""

    rounds: int
    play: Callable[[Stand, Sequence[int]], Iterator[Verdict]]
    faults: int = 0


SCENARIOS: Mapping[str, Scenario] = {
    "re-execution": Scenario(10, reexecuted_runs),
    "wires": Scenario(20, broken_wires),
    "database": Scenario(20, database_crashes),
    "crash-points": Scenario(25, crash_points),
    "kills": Scenario(50, random_kills),
    "zombies": Scenario(20, zombie_runs),
    "messages": Scenario(1, flooded_inbox),
    "backends": Scenario(10, terminated_backends),
    "bad-inputs": Scenario(21, bad_inputs, faults=20_000),
}
"""In the order in which they are played: the long ones first, so that with several at once few are left over alone."""


@contextmanager
def _stand() -> Generator[Stand]:
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "server") as server,
        simulator_process() as url,
        SimulatorControl(url) as control,
    ):
        server.create_database(_TEMPLATE)
        upgrade(server.url(_TEMPLATE))
        yield Stand(server, control, url)


def _play(scenario: Scenario, stand: Stand, seeds: Sequence[int]) -> Generator[Verdict]:
    """Its verdicts; where it comes to no end, or to fewer faults than it promises, that is one, too."""
    faults, promised = 0, scenario.faults * len(seeds) // scenario.rounds
    try:
        for verdict in scenario.play(stand, seeds):
            faults += verdict.kills
            if not verdict.holds:
                sys.stderr.write(f"{verdict}\n")
            yield verdict
    except Exception as error:  # noqa: BLE001 - it is reported, and the other scenarios go on
        traceback.print_exc()
        yield Verdict("not finished", 0, 0, broken=[f"{type(error).__name__}: {error}"])
    if faults < promised:
        sys.stderr.write(f"{faults} faults of {promised}\n")
        yield Verdict("too few faults", 0, 0, broken=[f"{faults} of {promised}"])


def _line(name: str, verdicts: Sequence[Verdict], seconds: float) -> str:
    each = [
        (1, one.devices, one.kills, len(one.lost), len(one.twice), len(one.blind), len(one.broken)) for one in verdicts
    ]
    numbers = [sum(column) for column in zip(*each, strict=True)]
    return f"{name:14}" + "".join(f"{number:>9}" for number in numbers) + f"{seconds:>8.0f} s"


def play(name: str, first: int, percent: int) -> tuple[str, bool]:
    """Play so many percent of a scenario, from its first seed on: its line of the report, and whether all holds."""
    logging.disable(logging.WARNING)
    scenario, began = SCENARIOS[name], time.monotonic()
    rounds = max(1, scenario.rounds * percent // 100)
    with _stand() as stand:
        verdicts = list(_play(scenario, stand, range(first, first + rounds)))
    line = _line(name, verdicts, time.monotonic() - began)
    sys.stderr.write(line + "\n")
    return line, all(verdict.holds for verdict in verdicts)


def main() -> int:
    """Play, report; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed of each scenario")
    parser.add_argument("--rounds", type=int, default=100, help="percent of the whole soak's rounds; at least one")
    parser.add_argument("--at-once", type=int, default=1, help="scenarios in work at the same time, a process each")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    chosen = parser.parse_args()
    heads = ("changes", "devices", "faults", "lost", "twice", "blind", "broken")
    with ProcessPoolExecutor(chosen.at_once, get_context("spawn"), max_tasks_per_child=1) as pool:
        played = [pool.submit(play, name, chosen.seed, chosen.rounds) for name in chosen.only]
        lines, held = zip(*(one.result() for one in played), strict=True)
    report = [
        f"seed {chosen.seed}, {chosen.rounds} % of the rounds, {chosen.at_once} at once",
        " " * 14 + "".join(f"{head:>9}" for head in heads),
        *lines,
        "All invariants hold." if all(held) else "NOT all invariants hold: see above.",
    ]
    sys.stdout.write("\n".join(report) + "\n")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
