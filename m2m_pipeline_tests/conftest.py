"""Fixtures for all tests: one embedded PostgreSQL for the whole session, a fresh migrated database for each test."""

import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from m2m_pipeline.local.postgres import EmbeddedPostgres

_TEMPLATE = "m2m_template"
_BUILDING = "m2m_template_building"
_ANY_NUMBER = 0x6D326D  # names the advisory lock under which the template is built

_MEMORY, _ROOM = Path("/dev/shm"), 4 << 30  # noqa: S108 - in it, a folder of our own is made
"""Where the server's files are, if there is so much room (bytes). Each test's database is some hundred files that come
and go, and ext4 looks at all that were deleted within the last minutes before it makes another: ten times slower."""


class _SessionServer:
    """Started on first use, or by the xdist controller for its workers; stopped by the process that started it."""

    def __init__(self, folder: Path | None, port: int | None) -> None:
        self._folder = folder
        self._server = EmbeddedPostgres(folder, durable=False, port=port) if folder else None
        self._owned = folder is None

    def running(self) -> tuple[EmbeddedPostgres, Path]:
        if self._server is None or self._folder is None:
            in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM
            self._folder = Path(tempfile.mkdtemp(prefix="m2m-tests-", dir=_MEMORY if in_memory else None))
            self._server = EmbeddedPostgres(self._folder, durable=False)
            self._server.start()
        return self._server, self._folder

    def end(self) -> None:
        if self._owned and self._server is not None and self._folder is not None:
            self._server.stop("immediate")
            shutil.rmtree(self._folder, ignore_errors=True)


_SERVER = pytest.StashKey[_SessionServer]()


def pytest_configure(config: pytest.Config) -> None:
    """Let a worker attach to the controller's server.

    A shell's background job ignores SIGINT, and so would every program that a test starts; Dagster's own end by the
    handler of SIGINT, whichever signal ends them.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    given: dict[str, Any] = getattr(config, "workerinput", {}).get("m2m_postgres", {})
    config.stash[_SERVER] = _SessionServer(*((Path(given["folder"]), given["port"]) if given else (None, None)))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - xdist has no types
    """Start the server before the first worker, and tell each worker where it is."""
    server, folder = node.config.stash[_SERVER].running()
    node.workerinput["m2m_postgres"] = {"folder": str(folder), "port": server.port}


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server, after Ctrl-C too."""
    if server := config.stash.get(_SERVER, None):
        server.end()


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> EmbeddedPostgres:
    """Return the session's server, shared by all workers: for databases of one's own. Do not stop it."""
    return request.config.stash[_SERVER].running()[0]


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """Yield the address of a fresh database without any table, dropped afterwards."""
    yield from _database(postgres_server, template=None)


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """Yield the address (postgresql+psycopg://) of a fresh migrated database, dropped afterwards."""
    yield from _database(postgres_server, template=migrated_template)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """Migrate one database, whichever worker comes first; return its name for CREATE DATABASE … TEMPLATE."""
    address = postgres_server.url("postgres").replace("+psycopg", "")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_ANY_NUMBER,))
        if not postgres_server.has_database(_TEMPLATE):
            from m2m_pipeline.storage.migrate import upgrade  # noqa: PLC0415 - only tests with a database pay for it

            postgres_server.drop_database(_BUILDING)  # left by a worker whose migration failed
            postgres_server.create_database(_BUILDING)
            upgrade(postgres_server.url(_BUILDING))
            names = {"old": sql.Identifier(_BUILDING), "new": sql.Identifier(_TEMPLATE)}
            # A template can only be copied while nobody is connected to it.
            connection.execute(sql.SQL("ALTER DATABASE {old} ALLOW_CONNECTIONS false").format(**names))
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (_BUILDING,)
            )
            connection.execute(sql.SQL("ALTER DATABASE {old} RENAME TO {new}").format(**names))
    return _TEMPLATE


def _database(server: EmbeddedPostgres, template: str | None) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    server.create_database(name, template)
    yield server.url(name)
    server.drop_database(name)
