"""A whole private platform for system tests and benches: its own Redis, database, core, PoP worker and healer.

The processes are those of `make up`, with the same command lines and environments, but
each is a child of this one, so that a test can kill exactly what it wants to kill. The PoP
has a random name, and everything it makes carries it; `close` removes all of that.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import redis

from scripts import broker, commands, environment, front, up
from scripts.place import REPOSITORY, Place
from scripts.processes import Program, platform_programs
from tests.contract.beds import DOCKER_SOCKET
from worker import lab

Json = dict[str, Any]

OPEN_ORDER = {"acknowledged", "pending", "held", "inProgress", "assessingCancellation", "pendingCancellation"}
#: Names of the platform's processes, whatever its PoP is called.
FRONT, WEB, CORE, BEAT, WORKER, HEALER = "front", "web", "core", "beat", "worker", "healer"
#: The reader of samples, which only their own tests start.
SAMPLES = "samples"
#: The event streams of pages, which are started with these.
EVENTS = "events"


class TookTooLong(AssertionError):
    """What was waited for did not happen; the message says what was there instead."""


def wait_for(found: Callable[[], Any], what: str, seconds: float = 30.0, every: float = 0.05) -> Any:
    """The first true value of `found()`."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > deadline:
            raise TookTooLong(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(every)
    return value


@dataclass(frozen=True)
class Traces:
    """Everything that services leave at the PoP and in the database, by name."""

    containers: frozenset[str]
    fabric: frozenset[str]
    marked: frozenset[str]
    files: frozenset[str]
    addresses: int
    open_orders: int
    open_items: int
    living: int


class Platform:
    """Make it, `start` it, and `close` it whatever happened. `pop` is the slug of its only PoP.

    `sweep` is how often the PoP looks at everything, in seconds; None leaves it as it is in production.
    """

    def __init__(self, sites: Iterable[str] = ("a", "b"), *, sweep: float | None = None) -> None:
        self._sweep = sweep
        token = secrets.token_hex(3)
        self.pop = f"t{token}"
        self.unis = {site: f"{self.pop}{site}" for site in sites}
        self.place = Place(REPOSITORY, Path(tempfile.mkdtemp(prefix=f"naas-{token}-")))
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._programs: dict[str, Program] = {}
        self.settings: Mapping[str, str] = {}
        self.client = httpx.Client()

    # --- life -------------------------------------------------------------------------

    def start(self) -> None:
        """Everything that `make up` does but Docker, images, pages and the demo."""
        # One line per request, and a test makes hundreds.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self.place.make()
        environment.write(self.place.env_file, self._ports())
        self.settings = environment.prepare(self.place, running=False) | {"NAAS_RATE_CALLER": "100000/min"}
        environment.write(self.place.env_file, self.settings)
        self._programs["redis"] = Program("redis", ("redis-server", str(self._redis_config())), 10)
        self.run("redis")
        wait_for(lambda: broker.answers(self.settings["REDIS_URL"]), "Redis answering")
        self.manage("migrate", "--no-input", "--verbosity", "0")
        engine = ("--docker-socket", f"unix://{DOCKER_SOCKET}")
        self.manage("enroll_pop", self.pop, "--name", "Test", "--out", str(self._pop_config), *engine)
        if self._sweep is not None:
            self._set_sweep()
        front.write(self.place, self.settings["NAAS_WEB_PORT"])
        for program in platform_programs(self.place, self.settings["NAAS_WEB_PORT"]):
            name = program.name.removeprefix(f"pop-{self.pop}-")
            self._programs[name] = self._mortal(name, program) if name in (CORE, WORKER) else program
        for name in (FRONT, WEB, CORE, BEAT, WORKER, HEALER):
            self.run(name)
        self._open_account()
        self._wait_for_web()

    def close(self) -> None:
        """Stop the processes and remove everything that carries the PoP's name."""
        for name in list(self._children):
            self.kill(name)
        for container in self.containers():
            subprocess.run(["docker", "rm", "--force", "--volumes", container], check=False, capture_output=True)
        for site in self.unis:
            lab.down(self.site(site))
        if self.fabric in lab_namespaces():
            subprocess.run(["ip", "netns", "delete", self.fabric], check=False)
        self.client.close()
        shutil.rmtree(self.place.var, ignore_errors=True)

    def start_pages(self) -> None:
        """What pages need besides: their static files, which the web process learns of when it starts."""
        self.manage("collectstatic", "--no-input", "--verbosity", "0")
        self.run(EVENTS)
        self.restart(WEB)
        self._wait_for_web()

    def _wait_for_web(self) -> None:
        url = f"http://127.0.0.1:{self.settings['NAAS_WEB_PORT']}"
        wait_for(lambda: up.is_healthy(url), "the web process answering", 60)

    def run(self, name: str, *, environment: Mapping[str, str] | None = None) -> None:
        """Start one of the processes, as the leader of a process group of its own."""
        program = self._programs[name]
        log = (self.place.log / f"{name}.log").open("ab")
        with log:
            self._children[name] = subprocess.Popen(
                program.command,
                cwd=self.place.repo,
                env={**_plain_environment(), **program.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _ports(self) -> dict[str, str]:
        """Where its own search for ports begins, so that two platforms that start at once do not find the same."""
        first = 10_000 + secrets.randbelow(20_000)
        password = secrets.token_urlsafe(24)
        return {"NAAS_WEB_PORT": str(first), "REDIS_URL": f"redis://core:{password}@127.0.0.1:{first + 1_000}/0"}

    def _mortal(self, name: str, program: Program) -> Program:
        """The same Celery worker, able to die where `arm` says."""
        _, *arguments = program.command
        command = (str(self.place.python), "-m", "tests.dying", str(self._trap(name)), *arguments)
        return replace(program, command=command)

    def _trap(self, name: str) -> Path:
        return self.place.run / f"trap-{name}"

    def arm(self, name: str, point: str) -> None:
        """Make a worker die at `point`, such as "step 2" or "task 0.5" (see `tests.dying`)."""
        draft = self.place.run / "trap.draft"
        draft.write_text(f"{point} {secrets.token_hex(4)}")
        draft.replace(self._trap(name))

    def disarm(self, name: str) -> bool:
        """It shall not die any more. Says whether it still would have."""
        armed = self._trap(name).exists()
        self._trap(name).unlink(missing_ok=True)
        return armed

    def revive(self) -> tuple[str, ...]:
        """Start again whatever has died, as supervisor would; says what that was."""
        dead = tuple(name for name in self._children if not self.is_running(name))
        for name in dead:
            self.restart(name)
        return dead

    def kill(self, name: str) -> None:
        """`kill -9` of a process and all its children."""
        child = self._children.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def restart(self, name: str) -> None:
        self.kill(name)
        self.run(name)

    def process_id(self, name: str) -> int:
        return self._children[name].pid

    def is_running(self, name: str) -> bool:
        child = self._children.get(name)
        return child is not None and child.poll() is None

    def log(self, name: str) -> str:
        path = self.place.log / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def empty_broker(self) -> None:
        """Redis loses all it has."""
        with redis.Redis.from_url(self.settings["REDIS_URL"]) as connection:
            connection.flushall()

    def manage(self, *arguments: str) -> str:
        return commands.run(
            self.place.python,
            self.place.repo / "manage.py",
            *arguments,
            env=self.core_environment(),
            cwd=self.place.repo,
        )

    def run_inside(self, module: str, *arguments: str) -> str:
        """What a program prints that runs in the core's environment, as one of its processes would."""
        environment, python = self.core_environment(), self.place.python
        return commands.run(python, "-m", module, *arguments, env=environment, cwd=self.place.repo)

    def core_environment(self) -> dict[str, str]:
        return _plain_environment() | {"NAAS_ENV_FILE": str(self.place.env_file), "NAAS_VAR": str(self.place.var)}

    @property
    def _pop_config(self) -> Path:
        return self.place.pops / self.pop / "pop.json"

    def _set_sweep(self) -> None:
        config = json.loads(self._pop_config.read_text())
        config |= {"sweep_interval": self._sweep, "probe_interval": self._sweep}
        self._pop_config.write_text(json.dumps(config))

    def _redis_config(self) -> Path:
        return broker.write_files(self.place, self.settings["REDIS_URL"])

    def _open_account(self) -> None:
        unis = [f"{site}={interface}" for site, interface in self.unis.items()]
        account = json.loads(self.run_inside("tests.account", self.pop, *unis))
        self.uni_ids: dict[str, str] = account["unis"]
        self.tenant: str = account["slug"]
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.settings['NAAS_WEB_PORT']}/api/v1/",
            headers={"Authorization": f"Bearer {account['token']}"},
            timeout=30,
        )

    def mail_to(self, address: str) -> str:
        """The latest mail to an address, once there is one."""

        def found() -> str:
            mails = sorted((self.place.var / "mail").glob("*.log"), key=lambda file: file.stat().st_mtime, reverse=True)
            return next((text for text in (mail.read_text() for mail in mails) if f"To: {address}" in text), "")

        return str(wait_for(found, f"a mail to {address}"))

    # --- the API ----------------------------------------------------------------------

    def get(self, path: str, **filters: str) -> Json:
        answer = self.client.get(path, params=filters)
        assert answer.is_success, answer.text
        document: Json = answer.json()
        return document

    def post(self, path: str, body: Json, **headers: str) -> Json:
        answer = self.client.post(path, json=body, headers={"Idempotency-Key": secrets.token_hex(16), **headers})
        assert answer.is_success, answer.text
        document: Json = answer.json()
        return document

    def segment(self, name: str, kind: str, prefixes: list[str], *, uni: str | None = None) -> Json:
        place = {"uni": self.uni_ids[uni]} if uni else {}
        return self.post("segments", {"name": name, "pop": self.pop, "kind": kind, "prefixes": prefixes, **place})

    def order(self, *items: Json) -> Json:
        return self.post("orders", {"items": list(items)})

    def add(self, name: str, spec: Json, size: str = "S", kind: str = "router") -> Json:
        return {"action": "add", "kind": kind, "pop": self.pop, "name": name, "size": size, "spec": spec}

    def ended(self, order: Json, seconds: float = 60.0, every: float = 0.05) -> Json:
        """The order once nothing more will happen to it."""
        deadline = time.monotonic() + seconds
        while (found := self.get(f"orders/{order['id']}"))["state"] in OPEN_ORDER:
            if time.monotonic() > deadline:
                raise TookTooLong(
                    f"no end after {seconds:.0f} s: {json.dumps(found, indent=2)}\n{self._ends_of_logs()}"
                )
            time.sleep(every)
        return found

    def _ends_of_logs(self, lines: int = 12) -> str:
        return "\n".join(
            f"--- {name}\n" + "\n".join(self.log(name).splitlines()[-lines:]) for name in (CORE, WORKER, HEALER)
        )

    def done(self, *items: Json, seconds: float = 60.0) -> Json:
        """Order these items and wait until that is completed."""
        ended = self.ended(self.order(*items), seconds)
        assert ended["state"] == "completed", json.dumps(ended, indent=2)
        return ended

    # --- the PoP ----------------------------------------------------------------------

    @property
    def fabric(self) -> str:
        return f"naas-{self.pop}"

    @property
    def state_dir(self) -> Path:
        return Path(json.loads(self._pop_config.read_text())["state_dir"])

    def site(self, site: str) -> str:
        """Name of a site in the lab."""
        return f"{self.pop}-{site}"

    def containers(self, **labels: str) -> tuple[str, ...]:
        """Names of the PoP's containers, running or not, that carry all these labels."""
        wanted = {"naas.pop": self.pop, **{f"naas.{name}": value for name, value in labels.items()}}
        filters = [option for name, value in wanted.items() for option in ("--filter", f"label={name}={value}")]
        return tuple(sorted(commands.run("docker", "ps", "--all", "--format", "{{.Names}}", *filters).split()))

    def traces(self) -> Traces:
        """What is there now. What the PoP keeps for itself is no trace of a service."""
        own = ("pop.db", "pop.db-wal", "pop.db-shm", "locks", "vnfs")
        files = (str(path.relative_to(self.state_dir)) for path in self.state_dir.rglob("*"))
        return Traces(
            containers=frozenset(self.containers()),
            fabric=_links(self.fabric),
            marked=_marked_links(self.pop, self.unis.values()),
            files=frozenset(path for path in files if path not in own),
            addresses=self.count("services_address"),
            open_orders=self.count("services_productorder", f"state IN ({_quoted(OPEN_ORDER)})"),
            open_items=self.count("services_orderitem", f"state IN ({_quoted(OPEN_ORDER)})"),
            living=self.count("services_serviceinstance", "state != 'terminated'"),
        )

    def count(self, table: str, where: str = "1") -> int:
        return int(self.rows(f"SELECT count(*) FROM {table} WHERE {where}")[0][0])

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the core's database says, read past the platform."""
        database = self.place.var / "naas.sqlite3"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(query, values).fetchall()


def lab_namespaces() -> frozenset[str]:
    shown = subprocess.check_output(["ip", "-json", "netns", "list"], text=True)
    return frozenset(namespace["name"] for namespace in json.loads(shown or "[]"))


def _links(namespace: str) -> frozenset[str]:
    if namespace not in lab_namespaces():
        return frozenset()
    shown = subprocess.check_output(["ip", "-json", "-netns", namespace, "link", "show"], text=True)
    return frozenset(link["ifname"] for link in json.loads(shown)) - {"lo"}


def _marked_links(pop: str, unis: Iterable[str]) -> frozenset[str]:
    """Interfaces of the root namespace that carry the PoP's name in a mark, or stand on one of its UNIs."""
    shown = json.loads(subprocess.check_output(["ip", "-json", "link", "show"], text=True))
    parents = set(unis)
    return frozenset(
        link["ifname"]
        for link in shown
        if link.get("link") in parents or any(pop in name.split(":") for name in link.get("altnames", ()))
    )


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


def _plain_environment() -> dict[str, str]:
    """This process's environment without what pytest and another installation put there."""
    ours = ("NAAS_", "PYTEST_", "DJANGO_", "DATABASE_URL", "REDIS_URL", "SECRET_KEY")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
