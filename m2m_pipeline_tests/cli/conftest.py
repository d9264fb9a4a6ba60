"""`m2m` as a process, and (quicker) its `main` in this one, beside a world that is built here."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import pytest

from m2m_pipeline.cli import main
from m2m_pipeline_tests.services.conftest import carrier_url, make_world, shared_control, world
from m2m_pipeline_tests.world import TENANT, World

__all__ = ["carrier_url", "make_world", "shared_control", "world"]

M2M = Path(sys.executable).with_name("m2m")


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Shell:
    """Runs `m2m` in an environment of its own."""

    folder: Path
    variables: Mapping[str, str]
    inside: bool = False  # in this process: a start costs a second of a processor

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of ours but what the test gives."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("M2M_", "DAGSTER_"))}
        return {**kept, "M2M_STATE_DIR": str(self.folder / "state"), "COLUMNS": "200", **self.variables}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [M2M, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, stdin: str = "") -> Ended:
        if self.inside:
            return self._run_inside(arguments, stdin)
        with self.start(*arguments) as process:
            out, err = process.communicate(stdin, timeout=60)
            return Ended(process.returncode, out, err)

    def _run_inside(self, arguments: tuple[str, ...], stdin: str) -> Ended:
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.environment, clear=True),
            patch.object(sys, "argv", ["m2m", *arguments]),
            patch.object(sys, "stdin", io.StringIO(stdin)),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
            sys.exit(0)
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())

    def file(self, name: str, content: str) -> str:
        (self.folder / name).write_text(content)
        return name

    def with_(self, **variables: str) -> "Shell":
        return replace(self, variables={**self.variables, **variables})


@pytest.fixture
def bare(tmp_path: Path) -> Shell:
    """A shell without any setting."""
    return Shell(tmp_path, {})


@pytest.fixture
def m2m_process(world: World, tmp_path: Path) -> Shell:
    """A shell in the world; its commands need `*OURS`."""
    return Shell(tmp_path, {"M2M_DATABASE_URL": world.database_url, "M2M_ENCRYPTION_KEYS": world.key})


@pytest.fixture
def m2m(m2m_process: Shell) -> Shell:
    """The same without the process."""
    return replace(m2m_process, inside=True)


OURS = ("--tenant", TENANT)
