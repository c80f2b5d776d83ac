"""A PoP of a random name with real drivers and processes of its own; `close` removes all it made."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from tests.contract.beds import DOCKER_SOCKET
from tests.servers import RedisServer
from worker.broker import ASK, RECONCILE, REPORT, acl_rules, celery_settings, pop_queue
from worker.config import VARIABLE, PopConfig
from worker.host import Pop, storable
from worker.plan import plan
from worker.reconcile import observe
from worker.report import Ask, Phase, RecordsTaken, Report, TableChange
from worker.seal import Envelope, Identity, seal, unseal
from worker.topology import ConfigFile, Container, DesiredState, Exec, ProbeRole, Segment, Vnf, Wire

REPOSITORY = Path(__file__).parents[2]
IMAGE = "naas/base:bookworm"
ENOUGH = 20.0

#: Anything that imports Django, or looks for its settings, fails.
NO_DJANGO = """
import sys
class NoDjango:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("django", "rest_framework"):
            raise ImportError("a PoP host has no Django")
sys.meta_path.insert(0, NoDjango())
"""


def wait_for(found: Callable[[], Any], seconds: float = ENOUGH, what: str = "it") -> Any:
    """The first true value of `found()`."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)
    return value


def service(
    instance: str, generation: int = 1, *, config: str = "1", segments: tuple[str, ...] = ("lan", "wan")
) -> DesiredState:
    """Two containers that share a namespace with a wire to each segment."""
    container = Container(
        "main",
        IMAGE,
        command=("sleep", "infinity"),
        files=(ConfigFile("config", config),),
        reload=("cp", "/etc/naas/config", "/run/applied"),
        tmpfs=("/run",),
    )
    alive = Exec("alive", "main", ("test", "-e", "/etc/naas/config"), role=ProbeRole.READINESS)
    helper = Container("helper", IMAGE, command=("sleep", "infinity"))
    number = 1 + sum(instance.encode()) % 200
    return DesiredState(
        instance,
        generation,
        tuple(Segment(id, mtu=1400) for id in segments),
        (Vnf("edge", (container, helper), sysctls=(("net.ipv4.ip_forward", "1"),), probes=(alive,)),),
        tuple(
            Wire("edge", f"{id}0", id, addresses=(f"10.{place}.{number}.1/24",), rate_in=10**8)
            for place, id in enumerate(segments)
        ),
    )


@dataclass
class TestPop:
    """One PoP in its own folder. `broker` is None for a PoP that never reaches one."""

    __test__ = False

    folder: Path
    broker: RedisServer | None = None
    sweep: float = 1.0
    slug: str = field(default_factory=lambda: f"t{secrets.token_hex(3)}")
    core: Identity = field(default_factory=lambda: Identity.generate("core"))
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.identity = Identity.generate(f"pop.{self.slug}")
        self.config = PopConfig(
            pop=self.slug,
            broker_url=self._broker_url(),
            docker_socket=f"unix://{DOCKER_SOCKET}",
            fabric=f"naas-{self.slug}",
            state_dir=self.folder / "state",
            holder_image="naas/holder:1",
            identity=self.identity,
            core=self.core.public(),
            sweep_interval=self.sweep,
            probe_interval=self.sweep,
        )
        self.file = self.folder / "pop.json"
        self.file.touch(0o600)
        self.file.write_text(json.dumps(self.config.model_dump(mode="json")))
        self.pop = Pop(self.config)

    def _broker_url(self) -> str:
        if self.broker is None:
            return "redis://127.0.0.1:1/0"
        with self.broker.client() as server:
            server.execute_command("ACL", "SETUSER", f"pop-{self.slug}", *acl_rules(self.slug, "secret"))
            server.execute_command("ACL", "SAVE")
        return self.broker.url_for(f"pop-{self.slug}", "secret")

    # --- processes --------------------------------------------------------------------

    def start(self, *module: str) -> subprocess.Popen[bytes]:
        """Run `python -m <module>` with what a PoP host has: its configuration, no Django, no settings."""
        site = self.folder / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(NO_DJANGO)
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{site}:{REPOSITORY}", VARIABLE: str(self.file)}
        with (self.folder / f"{module[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                (sys.executable, "-m", *module),
                cwd=REPOSITORY,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def log(self, module: str) -> str:
        return (self.folder / f"{module}.log").read_text()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL to the process and its children."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    # --- the core's side --------------------------------------------------------------

    def envelope(self, desired: DesiredState) -> Envelope:
        return seal(
            desired.to_json(),
            sender=self.core,
            receiver=self.identity.public(),
            subject=RECONCILE,
            instance=desired.instance,
            generation=desired.generation,
        )

    def send(self, task: str, envelope: Envelope) -> None:
        assert self.broker is not None
        with Celery("core", broker=self.broker.url) as app:
            app.conf.update(celery_settings("core"))
            app.send_task(task, args=(envelope.to_json(),), queue=pop_queue(self.slug))

    def order(self, desired: DesiredState) -> None:
        self.send(RECONCILE, self.envelope(desired))

    def post(self, task: str, message: TableChange | RecordsTaken) -> None:
        sealed = seal(
            message.to_json(),
            sender=self.core,
            receiver=self.identity.public(),
            subject=task,
            instance=message.instance,
        )
        self.send(task, sealed)

    def ask(self, ask: Ask, *, subject: str = ASK) -> None:
        self.send(ASK, seal(ask.to_json(), sender=self.core, receiver=self.identity.public(), subject=subject))

    def messages(self, seconds: float = ENOUGH) -> Iterator[tuple[str, dict[str, Any]]]:
        """Task name and content of what arrives in the core's queue, for so many seconds."""
        assert self.broker is not None
        deadline = time.monotonic() + seconds
        with self.broker.client() as server:
            while time.monotonic() < deadline:
                if (found := server.rpop("core")) is None:
                    time.sleep(0.005)
                    continue
                message = json.loads(found)
                task = message["headers"]["task"]
                (document,), _, _ = json.loads(base64.b64decode(message["body"]))
                envelope = Envelope.from_json(document)
                yield task, unseal(envelope, receiver=self.core, sender=self.identity.public(), subject=task)

    def reports(self, seconds: float = ENOUGH) -> Iterator[Report]:
        for task, content in self.messages(seconds):
            if task == REPORT:
                yield Report.from_json(content)

    def await_report(self, generation: int, phase: Phase, instance: str = "svc-1", seconds: float = ENOUGH) -> Report:
        heard = []
        for report in self.reports(seconds):
            heard.append(report)
            if (report.instance, report.generation, report.phase) == (instance, generation, phase):
                return report
        raise AssertionError(f"no report of {phase} {generation}: {heard}\n{self.log('worker.app')}")

    # --- what is there ----------------------------------------------------------------

    def keep(self, desired: DesiredState) -> None:
        """Put a desired state into the store, as a task does that is killed right after."""
        assert self.pop.store.accept(
            desired.instance,
            desired.generation,
            storable(self.envelope(desired)),
            deleted=desired.is_deletion,
            segments=tuple(segment.id for segment in desired.segments),
        )

    def differs(self, desired: DesiredState) -> str:
        """What is not as wanted, '' when everything is."""
        foreign = self.foreign(desired) - {segment.id for segment in desired.segments}
        found = observe(desired.instance, self.pop.runtime, self.pop.wiring, foreign=foreign)
        return "; ".join(step.reason for step in plan(desired, found).steps)

    def foreign(self, desired: DesiredState) -> frozenset[str]:
        return self.pop.store.foreign_segments(desired.instance)

    def stands(self, desired: DesiredState) -> bool:
        return not self.differs(desired)

    def containers(self, instance: str = "svc-1") -> dict[str, str]:
        """Container ids by name, holders too."""
        listed = docker("ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.ID}}", *self._labels(instance))
        return dict(line.split() for line in listed.splitlines())

    def _labels(self, instance: str | None) -> tuple[str, ...]:
        own = ("--filter", f"label=naas.pop={self.slug}")
        return (*own, "--filter", f"label=naas.instance={instance}") if instance else own

    def fabric(self, *command: str) -> str:
        """What a command says in the fabric namespace."""
        return run("ip", "netns", "exec", self.config.fabric, *command)

    def links(self) -> list[str]:
        """Names of the interfaces in the fabric, without the loopback."""
        if not Path(f"/run/netns/{self.config.fabric}").exists():
            return []
        listed = json.loads(self.fabric("ip", "-j", "link") or "[]")
        return sorted(link["ifname"] for link in listed if link["ifname"] != "lo")

    def leftovers(self) -> list[str]:
        """Whatever of this PoP is on the machine besides its store."""
        files = [str(path) for path in (self.folder / "state").rglob("*") if path.is_file()]
        stored = ("pop.db", "pop.db-wal", "pop.db-shm", "locks")
        return [
            *docker("ps", "-aq", *self._labels(None)).split(),
            *self.links(),
            *(path for path in files if Path(path).name not in stored),
        ]

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)
        if ids := docker("ps", "-aq", *self._labels(None)).split():
            docker("rm", "-f", *ids)
        run("ip", "netns", "del", self.config.fabric, check=False)


@contextmanager
def pop_at(folder: Path, broker: RedisServer | None = None, sweep: float = 1.0) -> Iterator[TestPop]:
    pop = TestPop(folder, broker, sweep)
    try:
        yield pop
    finally:
        pop.close()


def docker(*arguments: str) -> str:
    return run("docker", *arguments)


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"{command}: {done.stderr}"
    return done.stdout


def denied(client: redis.Redis, *command: str) -> bool:
    """Whether Redis refuses this user the command."""
    try:
        client.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return True
    return False
