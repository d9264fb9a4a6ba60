"""A PostgreSQL server of our own, for development and tests: no installation, no root, nothing shared."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

import psycopg
from psycopg import sql

from m2m_pipeline.local.children import end_group, spawn, tail
from m2m_pipeline.local.errors import LocalServiceError
from m2m_pipeline.local.ports import LOOPBACK, free_port
from m2m_pipeline.local.postgres_binaries import find_binaries
from m2m_pipeline.local.postgres_cluster import (
    SUPERUSER,
    WORKING_DIRECTORY,
    await_end_of_predecessor,
    create_cluster,
    password_file,
)

# PostgreSQL refuses to run as root; this is `nobody` on every Linux.
_UNPRIVILEGED_UID = 65534
_START_SECONDS = 60
_STOP_SECONDS = 30
_PORT_ATTEMPTS = 10
_SETTINGS = (
    f"listen_addresses={LOOPBACK}",
    # No Unix socket: nothing to protect in a shared directory, no limit of 107 bytes on the state directory's path.
    "unix_socket_directories=",
    "max_connections=200",
    # Parallel queries need /dev/shm, of which containers have 64 MB.
    "max_parallel_workers_per_gather=0",
    "log_checkpoints=off",
    # A statement quoted beside its error may hold a customer's data.
    "log_min_error_statement=panic",
)
# synchronous_commit stays on: without fsync it costs nothing, and a killed server keeps what was committed.
_NOT_DURABLE = ("fsync=off", "full_page_writes=off")


class _PortTakenError(LocalServiceError):
    """Another process listens on the port."""


class EmbeddedPostgres:
    """One server over `data_dir` (created with mode 0700: cluster, password, server.log), on 127.0.0.1 only.

    `durable=False` is for tests: quicker, but a crash of the machine (not of the server) loses the data.
    The server ends when the thread that called `start` ends, be it by SIGKILL: start it from one that lives long
    enough. Run by root, the server's processes belong to user 65534.
    """

    name = "postgres"

    def __init__(self, data_dir: Path, *, durable: bool = True, port: int | None = None) -> None:
        self.log = data_dir / "server.log"
        self._cluster = data_dir / "cluster"
        self._durable = durable
        self._uid = _UNPRIVILEGED_UID if os.geteuid() == 0 else os.geteuid()
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop the server."""
        self.stop()

    @property
    def port(self) -> int:
        """The TCP port, the same for all starts of this object. Raises LocalServiceError before the first."""
        if self._port is None:
            message = f"PostgreSQL: the server over {self._cluster} has no port before its first start: start it"
            raise LocalServiceError(message)
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster; None before the first start."""
        return self._process.pid if self._process else None

    def url(self, database: str) -> str:
        """Return the SQLAlchemy address of `database` for psycopg 3; it contains the password."""
        return f"postgresql+psycopg://{SUPERUSER}:{self._password()}@{LOOPBACK}:{self.port}/{database}"

    def dagster_url(self, database: str) -> str:
        """Return the SQLAlchemy address of `database` for psycopg2, the driver of dagster-postgres."""
        return f"postgresql+psycopg2://{SUPERUSER}:{self._password()}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Create the cluster if there is none, start the server, and return when it answers.

        Harmless if it runs already.
        Raises LocalServiceError, with the end of the server's log, when it ends or does not answer within 60 s.
        """
        if self._process is not None and self._process.poll() is None:
            return
        binaries = find_binaries(self._uid)
        self._cluster.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._cluster.exists():
            create_cluster(self._cluster, binaries=binaries, uid=self._uid, durable=self._durable, log=self.log)
        await_end_of_predecessor(self._cluster)
        for attempts_left in reversed(range(_PORT_ATTEMPTS)):
            # Clients know the port of the first start: a later one waits for it. The first may choose again.
            port = self._port or free_port()
            try:
                self._launch(binaries, port)
            except _PortTakenError:
                if not attempts_left:
                    raise
                time.sleep(0.2)
            else:
                self._port = port
                return

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """End the server: `fast` orderly, `immediate` as by a crash (the next start recovers). Harmless if down."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
        end_group(process)

    def exit_status(self) -> int | None:
        """Return None while the server runs, else its exit status (negative: the signal that ended it)."""
        return self._process.poll() if self._process else None

    def create_database(self, name: str, template: str | None = None) -> None:
        """Create a database, a copy of `template` if given (nobody may be connected to it). Raises psycopg.Error."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        if not self._durable:
            statement += sql.SQL(" STRATEGY FILE_COPY")  # half the time where nothing is synced to disk
        with self._connect(self.port) as connection:
            connection.execute(statement)

    def has_database(self, name: str) -> bool:
        """Tell whether a database of this name exists. Raises psycopg.Error."""
        with self._connect(self.port) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        return found is not None

    def drop_database(self, name: str) -> None:
        """Drop a database and end the connections to it; harmless when there is none. Raises psycopg.Error."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with self._connect(self.port) as connection:
            connection.execute(statement)

    def _connect(self, port: int) -> psycopg.Connection:
        return psycopg.connect(
            host=LOOPBACK,
            port=port,
            user=SUPERUSER,
            password=self._password(),
            dbname="postgres",
            connect_timeout=5,
            autocommit=True,
        )

    def _password(self) -> str:
        return password_file(self._cluster).read_text(encoding="ascii")

    def _launch(self, binaries: Path, port: int) -> None:
        arguments = [str(binaries / "postgres"), "-D", WORKING_DIRECTORY]
        for setting in (f"port={port}", *_SETTINGS, *(() if self._durable else _NOT_DURABLE)):
            arguments += ["-c", setting]
        with self.log.open("ab") as log:
            log_start = log.seek(0, os.SEEK_END)
            # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for the clients to leave.
            process = spawn(arguments, cwd=self._cluster, log=log, death_signal=signal.SIGINT, uid=self._uid)
        self._process = process
        try:
            self._await_answer(process, port, log_start)
        except BaseException:
            self.stop("immediate")
            raise

    def _await_answer(self, process: subprocess.Popen[bytes], port: int, log_start: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None:
            try:
                self._connect(port).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    message = f"PostgreSQL: no answer on port {port} in {_START_SECONDS} s: {error}; see {self.log}"
                    raise LocalServiceError(message) from error
                time.sleep(0.02)
            else:
                return
        output = tail(self.log, log_start)
        failure = _PortTakenError if "could not create any TCP/IP sockets" in output else LocalServiceError
        message = f"PostgreSQL: the server over {self._cluster} ended with status {process.returncode}:\n{output}"
        raise failure(message)
