"""The set-up's processes for real: supervisor and Redis in a folder of their own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from scripts import broker, commands, environment, supervision
from scripts.place import Place
from scripts.processes import Program, base_programs

pytestmark = pytest.mark.system

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def place() -> Iterator[Place]:
    """Not under pytest's own folder, whose paths are too long for sockets."""
    with tempfile.TemporaryDirectory(prefix="naas-setup-") as folder:
        made = Place(REPOSITORY, Path(folder))
        made.make()
        yield made
        supervision.shut_down(made)


@pytest.fixture
def own(place: Place) -> dict[str, str]:
    return environment.prepare(place, running=False)


def redis_program(place: Place, own: dict[str, str]) -> tuple[Program, ...]:
    config = broker.write_files(place, own["REDIS_URL"])
    return base_programs(redis_config=config, containerd=False, dockerd=False)


def eventually(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def process_id(place: Place, name: str) -> int:
    listed = commands.run(place.bin("supervisorctl"), "-c", place.run / "supervisord.conf", "pid", name)
    return int(listed)


def test_redis_is_up_lets_only_its_users_in_and_comes_back_with_its_data_when_killed(
    place: Place, own: dict[str, str]
) -> None:
    url = own["REDIS_URL"]
    supervision.start_supervisor(place, redis_program(place, own))
    eventually(lambda: broker.answers(url))
    with redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
        time.sleep(1.1)  # what was written more than a second ago is on disk
    stranger = url.replace(url.split("@")[0], "redis://default:guess")
    assert not broker.answers(stranger)

    first = process_id(place, "redis")
    os.kill(first, signal.SIGKILL)
    eventually(lambda: broker.answers(url) and process_id(place, "redis") != first)
    with redis.Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"


def test_shutting_down_leaves_no_process_and_can_be_done_twice(place: Place, own: dict[str, str]) -> None:
    supervision.start_supervisor(place, redis_program(place, own))
    eventually(lambda: broker.answers(own["REDIS_URL"]))
    pid = process_id(place, "redis")
    assert supervision.shut_down(place)
    assert not supervision.lives(pid)
    assert not supervision.is_running(place)
    assert not supervision.shut_down(place)


def test_starting_again_restarts_what_changed_and_nothing_else(place: Place, own: dict[str, str]) -> None:
    def sleepers(release: str) -> tuple[Program, ...]:
        return tuple(
            Program(name, ("sleep", "600"), 20, {"RELEASE": known})
            for name, known in (("steady", "one"), ("changing", release))
        )

    base = redis_program(place, own)
    supervision.start_supervisor(place, base)
    supervision.start_platform(place, sleepers("one"))
    supervision.wait_until_running(place, ["steady:steady", "changing:changing", "redis:redis"], 15)
    before = {name: process_id(place, name) for name in ("redis", "steady", "changing")}

    supervision.start_supervisor(place, base)
    supervision.start_platform(place, sleepers("two"))
    supervision.wait_until_running(place, ["steady:steady", "changing:changing", "redis:redis"], 15)
    after = {name: process_id(place, name) for name in before}
    assert {name for name in before if before[name] != after[name]} == {"changing"}

    supervision.stop_platform(place)
    assert set(supervision.states(place)) == {"redis:redis"}


def test_what_a_killed_supervisor_left_running_is_ended_before_the_next_start(
    place: Place, own: dict[str, str]
) -> None:
    base = redis_program(place, own)
    supervision.start_supervisor(place, base)
    eventually(lambda: broker.answers(own["REDIS_URL"]))
    left = process_id(place, "redis")
    supervisor = int((place.run / "supervisor.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not supervision.is_running(place))

    assert supervision.orphans(place) == (left,)
    assert supervision.end_orphans(place)
    assert not supervision.lives(left)
    assert environment.prepare(place, running=False) == own
    supervision.start_supervisor(place, base)
    eventually(lambda: broker.answers(own["REDIS_URL"]))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A clone, as far as bootstrap.sh reads it."""
    folder = tmp_path / f"copy-{uuid.uuid4().hex[:6]}"
    (folder / "scripts").mkdir(parents=True)
    for file in ("scripts/bootstrap.sh", "requirements.txt", "requirements-dev.txt", "constraints.txt"):
        shutil.copy(REPOSITORY / file, folder / file)
    (folder / ".venv").symlink_to(REPOSITORY / ".venv")
    return folder


def test_bootstrap_with_everything_there_says_and_does_nothing(copy: Path) -> None:
    (copy / ".venv").unlink()
    (copy / ".venv" / "bin").mkdir(parents=True)
    (copy / ".venv" / "bin" / "python").symlink_to(REPOSITORY / ".venv" / "bin" / "python")
    commands.run(
        "bash",
        "-c",
        f"cd {copy} && mkdir -p .venv/.naas && cat requirements*.txt constraints.txt"
        " | sha256sum | cut -c1-16 > .venv/.naas/requirements.txt",
    )
    started = time.monotonic()
    assert commands.run(copy / "scripts" / "bootstrap.sh", "run") == ""
    assert time.monotonic() - started < 2


def test_bootstrap_refuses_a_purpose_it_does_not_know(copy: Path) -> None:
    with pytest.raises(commands.CommandFailed, match="unknown purpose"):
        commands.run(copy / "scripts" / "bootstrap.sh", "fly")
