"""Brings the whole platform up on this machine: `make up`.

Every step looks first and does only what is missing, so that running it again is safe
and takes seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from scripts import base, broker, commands, engine, environment, front, frontend, images, supervision
from scripts.console import say, step
from scripts.errors import SetupError
from scripts.place import Place
from scripts.processes import CORE_CODE, platform_programs, release

PROCESS_TIMEOUT = 60.0
WEB_TIMEOUT = 60.0
#: The PoP that a new installation has.
FIRST_POP = "fra1"
STAFF = "admin@localhost"


def up(place: Place) -> int:
    if os.geteuid() != 0:
        raise SetupError("network namespaces and Docker need root: run this as root (sudo make up)")
    with step("Settings") as running:
        place.make()
        settings = prepare_settings(place)
        running.outcome = str(place.env_file)
    with step("Docker and Redis") as running:
        running.outcome = base.start(place, settings)
    with step("Images") as running:
        images.build_all(place, running)
    prepare_database(place)
    prepare_provider(place, settings)
    start_platform(place, settings)
    return demonstrate(place, settings)


def prepare_settings(place: Place) -> dict[str, str]:
    at_work = supervision.is_running(place)
    if not at_work:
        supervision.end_orphans(place)
    return environment.prepare(place, running=at_work)


def prepare_database(place: Place) -> None:
    with step("Database") as running:
        plan = manage(place, "showmigrations", "--plan")
        pending = sum(1 for line in plan.splitlines() if line.startswith("[ ]"))
        if pending:
            manage(place, "migrate", "--no-input", "--verbosity", "0")
        running.outcome = f"{pending} migrations applied" if pending else "up to date"
    with step("Front end") as running:
        running.outcome = frontend.install(place)
    with step("Static files") as running:
        running.outcome = collect_static(place)


def collect_static(place: Place) -> str:
    """Gather them, unless they were gathered from this very code and these packages."""
    note = place.var / "static" / ".release"
    wanted = release(place, CORE_CODE, place.repo / "constraints.txt", frontend.note(place))
    if note.exists() and note.read_text() == wanted:
        return "up to date"
    said = manage(place, "collectstatic", "--no-input").strip().splitlines()
    note.write_text(wanted)
    return said[-1].replace(f" to '{note.parent}'", "").rstrip(".")


def prepare_provider(place: Place, settings: Mapping[str, str]) -> None:
    """What a provider needs to begin: a PoP on this machine, something to sell, and a way into the console."""
    with step("PoP") as running:
        running.outcome = enroll(place, settings["REDIS_URL"])
    with step("Catalogue") as running:
        running.outcome = f"{len(manage(place, 'publish_offerings').splitlines())} offerings on sale"
    if not staff_file(place).exists():
        with step("Provider's login") as running:
            running.outcome = make_staff(place)


def enroll(place: Place, broker_url: str) -> str:
    """Enroll the PoP unless it is: enrolling again would undo what staff changed about it since."""
    config = place.pops / FIRST_POP / "pop.json"
    if config.exists() and is_enrolled(config.read_text(), broker_url):
        return f"{FIRST_POP} is enrolled"
    manage(place, "enroll_pop", FIRST_POP, "--name", "Frankfurt 1", "--city", "Frankfurt", "--country", "DE")
    return f"{FIRST_POP} enrolled"


def is_enrolled(config: str, broker_url: str) -> bool:
    """Whether the PoP of this configuration reaches the broker where it is now, and is known there."""
    reached = urlsplit(json.loads(config)["broker_url"])
    there = urlsplit(broker_url)
    if (reached.hostname, reached.port) != (there.hostname, there.port):
        return False
    return broker.knows_user(broker_url, reached.username or "")


def make_staff(place: Place) -> str:
    """Make an account for the provider's console and keep what is said about it, readable for root alone."""
    said = manage(place, "create_staff", STAFF, "--name", "Operator")
    file = staff_file(place)
    file.touch(mode=0o600)
    file.write_text(said)
    return f"{STAFF}, password in {file}"


def staff_file(place: Place) -> Path:
    return place.var / "console-login"


def start_platform(place: Place, settings: Mapping[str, str]) -> None:
    with step("Processes") as running:
        front.write(place, settings["NAAS_WEB_PORT"])
        programs = platform_programs(place, settings["NAAS_WEB_PORT"])
        supervision.start_platform(place, programs)
        supervision.wait_until_running(place, [program.full_name for program in programs], PROCESS_TIMEOUT)
        running.outcome = f"{len(programs)} running, kept so by supervisor"
    with step("Web") as running:
        url = f"http://localhost:{settings['NAAS_WEB_PORT']}"
        engine.wait_until(partial(is_healthy, url), "the web process", WEB_TIMEOUT, place.log / "web.log")
        running.outcome = url


def demonstrate(place: Place, settings: Mapping[str, str]) -> int:
    """Hand over to the demo, which shows its own steps. Returns its exit status."""
    say()
    status = commands.attach(place.python, "-m", "scripts.demo", env=core_environment(place), cwd=place.repo)
    say()
    url = f"http://localhost:{settings['NAAS_WEB_PORT']}"
    say(f"The platform runs at {url}, the provider's console at {url}/admin/ (login: {staff_file(place)}).")
    say("`make down` stops it, `make logs` shows what it says, `make help` lists the rest.")
    return status


def is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def manage(place: Place, *arguments: str) -> str:
    return commands.run(place.python, place.repo / "manage.py", *arguments, env=core_environment(place), cwd=place.repo)


def core_environment(place: Place) -> dict[str, str]:
    return dict(os.environ) | {"NAAS_ENV_FILE": str(place.env_file), "NAAS_VAR": str(place.var)}


def _pending_migrations(place: Place) -> int:
    plan = manage(place, "showmigrations", "--plan")
    return sum(1 for line in plan.splitlines() if line.startswith("[ ]"))
