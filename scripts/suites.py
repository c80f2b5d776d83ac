"""Runs the tests: `make test`.

Unit tests come first; those that use the database run on SQLite and again on PostgreSQL. What needs Docker and the
kernel mostly waits, so several files of it run at a time; what measures time or rates runs alone afterwards.
Every suite is run even when one before it failed; pytest's closing lines are repeated at the end.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts import base, commands, engine, frontend, images, supervision
from scripts.console import print_plain, say, step
from scripts.place import Place
from tests.servers import postgres_server

DATABASE_ONLY = ("-p", "tests.database_only")
WITHOUT_DATABASE = ("-p", "tests.without_database")
#: Files of what waits for daemons more than it works: three at a time on two processors.
TOGETHER = ("-n", "3", "--dist", "loadfile", "-m", "not alone")
ALONE = ("-m", "alone")


@dataclass(frozen=True)
class Suite:
    """One run of pytest."""

    title: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    title: str
    status: int
    closing: str


def test(place: Place) -> int:
    place.make()
    with docker(place):
        with step("Images") as running:
            images.build_all(place, running)
        with step("Front end") as running:
            running.outcome = frontend.install(place)
        with postgres() as database_url:
            results = [run(suite) for suite in suites(place.repo, database_url)]
    say()
    for result in results:
        print_plain(f"{result.title:24} {result.closing}")
    return max(result.status for result in results)


def screenshots(place: Place) -> int:
    """Keep a picture of every page of the portal, in each width and light, in `var/screenshots`."""
    place.make()
    folder = place.var / "screenshots"
    folder.mkdir(exist_ok=True)
    with step("Front end") as running:
        running.outcome = frontend.install(place)
    result = run(Suite("screenshots", ("tests/browser/test_every_page.py",), {"NAAS_SCREENSHOTS": str(folder)}))
    say(f"\nPictures: {folder}")
    return result.status


def suites(repo: Path, database_url: str) -> tuple[Suite, ...]:
    """The runs, those first that tell the most in the least time. A folder without tests has none."""
    others = tuple(
        str(folder.relative_to(repo))
        for folder in sorted((repo / "tests").iterdir())
        if folder.name not in ("unit", "browser") and has_tests(folder)
    )
    planned = (
        Suite("unit", ("tests/unit", "-n", "2", *WITHOUT_DATABASE)),
        Suite("unit on SQLite", ("tests/unit", "-n", "2", *DATABASE_ONLY)),
        Suite("unit on PostgreSQL", ("tests/unit", "-n", "2", *DATABASE_ONLY), {"DATABASE_URL": database_url}),
        Suite(", ".join(Path(folder).name for folder in others), (*others, *TOGETHER)),
        Suite("alone", (*others, *ALONE)),
        Suite("browser", ("tests/browser",)),
    )
    return tuple(suite for suite in planned if has_tests(repo / suite.arguments[0]))


def has_tests(folder: Path) -> bool:
    return any(folder.rglob("test_*.py"))


def run(suite: Suite) -> Result:
    """Run one suite, showing what pytest says as it says it."""
    say(f"\n[bold]{suite.title}[/]")
    closing = ""

    def show(line: str) -> None:
        nonlocal closing
        closing = line or closing
        print_plain(line)

    command = (sys.executable, "-m", "pytest", *suite.arguments)
    status = commands.follow(command, show, env=environment() | dict(suite.environment))
    return Result(suite.title, status, closing)


def environment() -> dict[str, str]:
    """Ours without the settings of an installation: tests bring their own."""
    foreign = ("DATABASE_URL", "REDIS_URL", "NAAS_ENV_FILE", "NAAS_POP_CONFIG", "SECRET_KEY")
    return {name: value for name, value in os.environ.items() if name not in foreign}


@contextmanager
def docker(place: Place) -> Iterator[None]:
    """Docker for the tests. Where it had to be started for them, it is stopped afterwards."""
    if engine.answers():
        yield
        return
    at_work = supervision.is_running(place)
    with step("Docker") as running:
        running.outcome = base.start_engine(place, base.programs(place, {}))
    try:
        yield
    finally:
        if not at_work:
            supervision.shut_down(place)
            if engine.was_started(place):
                engine.stop_unit(place)


@contextmanager
def postgres() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="naas-postgres-") as folder:
        Path(folder).chmod(0o755)
        with postgres_server(Path(folder) / "server") as server:
            yield server.url
