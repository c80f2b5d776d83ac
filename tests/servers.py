"""Private Redis and PostgreSQL servers for tests: in a temporary folder, on the loopback, gone afterwards.

They share nothing with servers of the machine or of an installation.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

START_TIMEOUT = 20.0
STOP_TIMEOUT = 20.0


class ServerMissing(Exception):
    """A server program is not installed; the message says how to get it."""


class ServerFailed(Exception):
    """A server did not come up; the message ends with its log."""


def free_port() -> int:
    """A port of the loopback address that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- Redis ------------------------------------------------------------------------------


@dataclass
class RedisServer:
    """A Redis set up as `make up` sets up the platform's: append-only, users from a file, the unnamed one off.

    `url` is that of the user `core`, who may do everything. `start` and `stop` may be called
    again and again: data and users outlive a stop.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.url_for("core", self.password)

    def url_for(self, user: str, password: str) -> str:
        return f"redis://{user}:{password}@127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def start(self) -> None:
        if self.process is not None:
            return
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen((program("redis-server", "redis-server"), *self._options()), stdout=log)
        _wait_until(self._answers, "Redis", self.folder / "redis.log", self.process)

    def stop(self, *, kill: bool = False) -> None:
        """End it, at once and without saving anything when `kill`."""
        if self.process is None:
            return
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        self.process.wait(STOP_TIMEOUT)
        self.process = None

    def _options(self) -> tuple[str, ...]:
        users = self.folder / "users.acl"
        if not users.exists():
            digest = hashlib.sha256(self.password.encode()).hexdigest()
            users.write_text(f"user default off\nuser core on #{digest} ~* &* +@all\n")
        network = ("--bind", "127.0.0.1", "--port", str(self.port))
        data = ("--dir", str(self.folder), "--appendonly", "yes", "--save", "")
        return (*network, *data, "--aclfile", str(users))

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A running Redis whose data lies in `folder`. Raises `ServerMissing`."""
    folder.mkdir(parents=True, exist_ok=True)
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


# --- PostgreSQL -------------------------------------------------------------------------


@dataclass(frozen=True)
class PostgresServer:
    """A PostgreSQL whose role `naas` may make databases and is no superuser, so that policies on rows bind it."""

    url: str


@contextmanager
def postgres_server(folder: Path) -> Iterator[PostgresServer]:
    """A running PostgreSQL whose data lies in `folder`. Raises `ServerMissing`.

    It runs as the user `postgres` when we are root, because it refuses to run as root.
    Data is not synced to disk: it is thrown away.
    """
    initdb = _postgres_program("initdb")
    folder.mkdir(parents=True, exist_ok=True)
    data, log, password, port = folder / "data", folder / "postgres.log", secrets.token_urlsafe(12), free_port()
    _give_to_postgres(folder)
    first = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
    _run_as_postgres(initdb, f"--pgdata={data}", *first)
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "max_connections": 60,
    }
    settings = " ".join(f"-c {name}={value}" for name, value in options.items())
    control = (_postgres_program("pg_ctl"), f"--pgdata={data}", f"--log={log}", f"--timeout={START_TIMEOUT:.0f}")
    _run_as_postgres(*control, "--wait", f"--options={settings}", "start", log=log)
    try:
        _make_role(folder, port, password)
        yield PostgresServer(f"postgres://naas:{password}@127.0.0.1:{port}/naas")
    finally:
        _run_as_postgres(*control, "--mode=immediate", "stop")


def _make_role(folder: Path, port: int, password: str) -> None:
    statements = (f"CREATE ROLE naas LOGIN CREATEDB PASSWORD '{password}'", "CREATE DATABASE naas OWNER naas")
    psql = (_postgres_program("psql"), f"--host={folder}", f"--port={port}", "--username=postgres", "--no-psqlrc")
    _run_as_postgres(*psql, "--quiet", "--set=ON_ERROR_STOP=1", *(f"--command={text}" for text in statements))


def _postgres_program(name: str) -> str:
    """The newest PostgreSQL's program; Debian keeps servers' programs out of PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    if versions:
        return str(versions[-1])
    return program(name, "postgresql")


def _run_as_postgres(*command: str, log: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd="/", user="postgres" if os.geteuid() == 0 else None, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ServerFailed(f"{command[0]} failed: {done.stderr}{_end(log)}")


def _give_to_postgres(folder: Path) -> None:
    if os.geteuid() != 0:
        return
    try:
        owner = pwd.getpwnam("postgres")
    except KeyError:
        raise ServerMissing("there is no user postgres: apt-get install postgresql") from None
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            raise ServerFailed(f"{parent} is closed to the user postgres: chmod o+x it, or use another folder")


# --- both -------------------------------------------------------------------------------


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ServerMissing(f"{name} is not installed: apt-get install {package} (`make test` does)")
    return found


def _wait_until(ready: Callable[[], bool], what: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise ServerFailed(f"{what} did not come up: {_end(log)}")
        time.sleep(0.02)


def _end(log: Path | None) -> str:
    return "\n".join(log.read_text().splitlines()[-10:]) if log is not None and log.exists() else ""
