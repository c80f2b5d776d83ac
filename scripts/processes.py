"""Which processes make up the platform, as values. `scripts.supervision` keeps them running."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts import engine, front
from scripts.place import Place
from worker.broker import CORE_QUEUE, SAMPLES_QUEUE, pop_queue

QUIET_CELERY = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-O", "fair")
#: What the core's processes are made of, and what a PoP's are.
CORE_CODE = ("naas", "tenants", "services", "sbc", "worker")
POP_CODE = ("worker",)


@dataclass(frozen=True)
class Program:
    """A process to keep running. Programs of one `group` are listed together; a lower `priority` starts earlier."""

    name: str
    command: tuple[str, ...]
    priority: int
    environment: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    #: Whether what it leaves behind when it is killed goes with it. Containers must not.
    with_children: bool = True

    @property
    def full_name(self) -> str:
        return f"{self.group or self.name}:{self.name}"


def base_programs(*, redis_config: Path | None, containerd: bool, dockerd: bool) -> tuple[Program, ...]:
    """What must run before the platform can be prepared."""
    programs = []
    if containerd:
        programs.append(Program("containerd", engine.containerd_command(), 1, with_children=False))
    if dockerd:
        programs.append(Program("dockerd", engine.dockerd_command(), 2, with_children=False))
    if redis_config:
        programs.append(Program("redis", ("redis-server", str(redis_config)), 10))
    return tuple(programs)


def platform_programs(place: Place, port: str) -> tuple[Program, ...]:
    """The web side with its front, the core's workers, and two processes for every PoP that is enrolled here."""
    environment = {"NAAS_ENV_FILE": str(place.env_file), "NAAS_RELEASE": release(place, CORE_CODE, place.env_file)}
    behind_front = environment | {"NAAS_BEHIND_FRONT": "true"}
    beat = (str(place.bin("celery")), "-A", "naas.celery", "beat", *beat_files(place))
    core = (
        Program("front", front_command(place), 20, {"NAAS_RELEASE": digest(front.configuration(place, port))}),
        Program("web", web_command(place), 20, behind_front),
        Program("events", events_command(place), 20, behind_front),
        Program("core", celery(place, "naas.celery", CORE_QUEUE, "core", "2"), 20, environment),
        Program("samples", celery(place, "naas.celery", SAMPLES_QUEUE, "samples", "1"), 20, environment),
        # Beat says every five seconds that it did its work.
        Program("beat", beat, 20, environment | {"NAAS_LOG_LEVEL": "WARNING"}),
    )
    return core + tuple(program for slug in enrolled_pops(place) for program in pop_programs(place, slug))


def pop_programs(place: Place, slug: str) -> tuple[Program, ...]:
    """A PoP's worker and its healer: they know its configuration and none of the core's settings."""
    config = place.pops / slug / "pop.json"
    environment = {"NAAS_POP_CONFIG": str(config), "NAAS_RELEASE": release(place, POP_CODE, config)}
    group = f"pop-{slug}"
    worker = celery(place, "worker.app", pop_queue(slug), group, "4")
    healer = (str(place.python), "-m", "worker.healer")
    return (
        Program(f"{group}-worker", worker, 30, environment, group),
        Program(f"{group}-healer", healer, 30, environment, group),
    )


def enrolled_pops(place: Place) -> tuple[str, ...]:
    return tuple(sorted(config.parent.name for config in place.pops.glob("*/pop.json")))


def front_command(place: Place) -> tuple[str, ...]:
    return ("haproxy", "-db", "-f", str(front.file(place)))


def web_command(place: Place) -> tuple[str, ...]:
    """Threads, and connections kept open for longer than the front does."""
    options = ("--workers", "2", "--threads", "8", "--keep-alive", "90", "--no-control-socket")
    return (str(place.bin("gunicorn")), "naas.wsgi:application", "--bind", f"unix:{front.web_socket(place)}", *options)


def events_command(place: Place) -> tuple[str, ...]:
    """One process. Streams do not end by themselves: told to stop, it leaves them after a second."""
    options = ("--no-access-log", "--timeout-graceful-shutdown", "1", "--no-proxy-headers", "--no-server-header")
    return (str(place.bin("uvicorn")), "naas.asgi:application", "--uds", str(front.events_socket(place)), *options)


def celery(place: Place, app: str, queue: str, node: str, processes: str) -> tuple[str, ...]:
    program = (str(place.bin("celery")), "-A", app, "worker", "-Q", queue, "-n", f"{node}@localhost")
    return (*program, "-c", processes, "--loglevel", "INFO", *QUIET_CELERY)


def beat_files(place: Place) -> tuple[str, ...]:
    return ("--schedule", str(place.var / "beat-schedule"), "--pidfile", "")


def release(place: Place, packages: Iterable[str], *settings: Path) -> str:
    """Sixteen hex digits over the code and the settings a process starts with.

    It is part of the process's environment, so that supervisor restarts exactly what an
    update of the code or of the settings concerns.
    """
    covered = hashlib.blake2b(digest_size=8)
    code = (file for package in packages for file in (place.repo / package).rglob("*"))
    for file in (*sorted(file for file in code if _is_code(file)), *settings):
        covered.update(f"{file}\0".encode() + hashlib.blake2b(file.read_bytes()).digest())
    return covered.hexdigest()


def digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _is_code(file: Path) -> bool:
    return file.is_file() and not {"__pycache__", "image"} & set(file.parts)
