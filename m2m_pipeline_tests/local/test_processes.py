"""The supervisor, with real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import m2m_pipeline
from m2m_pipeline.local import leftovers
from m2m_pipeline.local.errors import LocalServiceError
from m2m_pipeline.local.processes import ChildProcess, Supervisor
from m2m_pipeline_tests.local.waiting import alive, text_of, wait_until, working_in

_WAIT = "import time; time.sleep(600)"
_STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)
# A child in a session of its own whose parent ends at once: nothing but its environment tells whose it is.
_ORPHAN = (
    "import subprocess, sys; from pathlib import Path\n"
    f"one = subprocess.Popen([sys.executable, '-c', {_WAIT!r}], start_new_session=True)\n"
    "Path('orphan').write_text(f'{one.pid} ready')"
)
_PARENT_OF_ORPHAN = (
    f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {_ORPHAN!r}]); time.sleep(600)"
)


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as supervisor:
        yield supervisor


def _child(supervisor: Supervisor, folder: Path, script: str, name: str = "child") -> ChildProcess:
    return ChildProcess(
        name,
        [sys.executable, "-c", script],
        cwd=folder,
        log=folder / f"{name}.log",
        environment=os.environ,
        mark=supervisor.mark,
    )


def _pids(folder: Path) -> set[int]:
    return {process.pid for process in working_in(folder)}


def test_a_dead_child_is_started_again_with_a_word_about_it(
    supervisor: Supervisor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.start(_child(supervisor, tmp_path, _WAIT)).result()
    (first,) = _pids(tmp_path)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: bool(_pids(tmp_path) - {first}), "a second child")
    assert capsys.readouterr().err == (
        f"child: ended with signal SIGKILL; started again in 0.5 s; its log is {tmp_path / 'child.log'}\n"
    )


def test_a_child_that_cannot_live_is_started_ever_more_rarely(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(_child(supervisor, tmp_path, "raise SystemExit('no luck')")).result()
    wait_until(lambda: len(supervisor.deaths) == 3, "three deaths")
    assert [sentence.split("; ")[:2] for _service, sentence in supervisor.deaths] == [
        ["child: ended with exit status 1", f"started again in {pause} s"] for pause in ("0.5", "1", "2")
    ]
    assert text_of(tmp_path / "child.log") == "no luck\n" * 3


def test_a_program_that_does_not_exist_is_told_in_the_log(supervisor: Supervisor, tmp_path: Path) -> None:
    absent = ChildProcess(
        "absent", ["/no/such/program"], cwd=tmp_path, log=tmp_path / "log", environment={}, mark=supervisor.mark
    )
    supervisor.start(absent).result()
    wait_until(lambda: bool(supervisor.deaths), "its end")
    told = f"/no/such/program: user {os.geteuid()} cannot execute it: No such file or directory\n"
    assert text_of(tmp_path / "log") == told


def test_a_failed_start_is_its_callers(supervisor: Supervisor, tmp_path: Path) -> None:
    homeless = _child(supervisor, tmp_path / "nowhere", _WAIT)
    with pytest.raises(FileNotFoundError):
        supervisor.start(homeless).result()


def test_stopping_ends_orphans_of_orphans_too(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start(_child(supervisor, tmp_path, _PARENT_OF_ORPHAN)).result()
        wait_until(lambda: "ready" in text_of(tmp_path / "orphan"), "an orphan")
        orphan = int(text_of(tmp_path / "orphan").split()[0])
        assert alive(orphan)
    assert not alive(orphan)
    assert not _pids(tmp_path)


def test_services_end_in_the_reverse_order_of_their_start(tmp_path: Path) -> None:
    log = (
        "import signal, sys, time\n"
        "def end(*_): open('ends', 'a').write(sys.argv[1]); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('ready', flush=True); time.sleep(600)"
    )
    with Supervisor() as supervisor:
        for name in "abc":
            child = ChildProcess(
                name,
                [sys.executable, "-c", log, name],
                cwd=tmp_path,
                log=tmp_path / name,
                environment=os.environ,
                mark=supervisor.mark,
            )
            supervisor.start(child).result()
            wait_until(lambda name=name: "ready" in text_of(tmp_path / name), name)
    assert text_of(tmp_path / "ends") == "cba"


def test_a_process_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, leftovers.VARIABLE: "deaf"}
    with subprocess.Popen(
        [sys.executable, "-c", _STUBBORN], env=environment, cwd=tmp_path, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        leftovers.end_marked("deaf", grace_seconds=0.2)
        assert process.wait() == -signal.SIGKILL


def test_the_mark_of_another_supervisor_is_left_alone(tmp_path: Path) -> None:
    environment = {**os.environ, leftovers.VARIABLE: "theirs"}
    with subprocess.Popen([sys.executable, "-c", _WAIT], env=environment, cwd=tmp_path) as process:
        leftovers.end_marked("ours", grace_seconds=0)
        assert process.poll() is None
        process.kill()


def test_killing_the_supervisor_leaves_no_process(tmp_path: Path) -> None:
    script = (
        "import os, sys, time; from pathlib import Path\n"
        "from m2m_pipeline.local.processes import ChildProcess, Supervisor\n"
        "supervisor = Supervisor(); folder = Path(sys.argv[1])\n"
        "child = ChildProcess('child', [sys.executable, '-c', sys.argv[2]], cwd=folder, log=folder / 'log',\n"
        "                     environment=os.environ, mark=supervisor.mark)\n"
        "supervisor.start(child).result(); time.sleep(600)"
    )
    root = str(Path(m2m_pipeline.__file__).parent.parent)
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path), _PARENT_OF_ORPHAN], cwd=root) as owner:
        try:
            wait_until(lambda: "ready" in text_of(tmp_path / "orphan"), "an orphan")
            wait_until(lambda: len(_pids(tmp_path)) == 2, "child and orphan alone")
            everything = psutil.Process(owner.pid).children()
            assert len(everything) == 2, "the child and the watchdog"
        finally:
            owner.kill()
    wait_until(lambda: not _pids(tmp_path), "the end of child and orphan")
    wait_until(lambda: not any(alive(process.pid) for process in everything), "the end of the watchdog")


def test_a_killed_watchdog_is_replaced(supervisor: Supervisor) -> None:
    first = supervisor._watchdog.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor._watchdog.pid != first, "another watchdog")
    assert alive(supervisor._watchdog.pid)
    assert not supervisor.deaths


def test_the_error_of_a_service_reaches_the_caller(supervisor: Supervisor, tmp_path: Path) -> None:
    class Broken(ChildProcess):
        def start(self) -> None:
            raise LocalServiceError("broken: no")

    broken = Broken("broken", [], cwd=tmp_path, log=tmp_path / "log", environment={}, mark=supervisor.mark)
    with pytest.raises(LocalServiceError, match="broken: no"):
        supervisor.start(broken).result()
