"""Brings the whole platform up on this machine: `make up`.

Every step looks first and does only what is missing, so that running it again is safe
and takes seconds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

import httpx

from scripts import base, commands, engine, environment, images, supervision
from scripts.console import say, step
from scripts.errors import SetupError
from scripts.place import Place
from scripts.processes import platform_programs

PROCESS_TIMEOUT = 60.0
WEB_TIMEOUT = 60.0
#: The PoP that a new installation has.
FIRST_POP = "fra1"


def up(place: Place) -> None:
    if os.geteuid() != 0:
        raise SetupError("network namespaces and Docker need root: run this as root (sudo make up)")
    with step("Settings") as settings_step:
        place.make()
        settings = environment.prepare(place, running=supervision.is_running(place))
        settings_step.outcome = str(place.env_file)
    with step("Docker and Redis") as base_step:
        base_step.outcome = base.start(place, settings)
    with step("Images") as images_step:
        images.build_all(place, images_step)
    prepare_database(place)
    enroll(place)
    start_platform(place, settings)
    demonstrate(place, settings)


def prepare_database(place: Place) -> None:
    with step("Database") as running:
        before = _pending_migrations(place)
        if before:
            manage(place, "migrate", "--no-input", "--verbosity", "0")
        running.outcome = f"{before} migrations applied" if before else "up to date"
    with step("Static files") as running:
        running.outcome = manage(place, "collectstatic", "--no-input").strip().splitlines()[-1]


def enroll(place: Place) -> None:
    """Give the installation its first PoP, on this machine, and something to sell."""
    with step("PoP") as running:
        manage(place, "enroll_pop", FIRST_POP, "--name", "Frankfurt 1", "--city", "Frankfurt", "--country", "DE")
        running.outcome = FIRST_POP
    with step("Catalogue") as running:
        running.outcome = f"{len(manage(place, 'publish_offerings').splitlines())} offerings on sale"


def start_platform(place: Place, settings: Mapping[str, str]) -> None:
    with step("Processes") as running:
        programs = platform_programs(place, settings["NAAS_WEB_PORT"])
        supervision.start_platform(place, programs)
        supervision.wait_until_running(place, [program.full_name for program in programs], PROCESS_TIMEOUT)
        running.outcome = f"{len(programs)} running, kept so by supervisor"
    with step("Web") as running:
        url = f"http://localhost:{settings['NAAS_WEB_PORT']}"
        engine.wait_until(partial(is_healthy, url), "the web process", WEB_TIMEOUT, place.log / "web.log")
        running.outcome = url


def demonstrate(place: Place, settings: Mapping[str, str]) -> None:
    """Hand over to the demo, which shows its own steps."""
    demo = place.repo / "scripts" / "demo.py"
    if demo.exists():
        say()
        commands.attach(place.python, demo, env=core_environment(place))
    say()
    say(f"The platform runs: http://localhost:{settings['NAAS_WEB_PORT']}. Stop it with `make down`.")


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
