"""The decisions of the set-up: what is started, what is built, what is written."""

from __future__ import annotations

import configparser
import os
import re
import socket
import stat
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from supervisor.options import ServerOptions

from scripts import broker, commands, engine, environment, front, images, pins, processes, suites, supervision
from scripts.errors import SetupError
from scripts.place import Place, find_place

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "repo", tmp_path / "var")
    made.make()
    return made


def found(**changed: bool) -> engine.Found:
    machine = {"answers": False, "systemd_unit": False, "dockerd": True, "containerd_answers": False}
    return engine.Found(**machine | changed)


# --- Docker -----------------------------------------------------------------------------


def test_docker_that_answers_is_used_however_it_was_started() -> None:
    assert engine.decide(found(answers=True, systemd_unit=True)) is engine.Start.NOT_NEEDED
    assert engine.decide(found(answers=True, dockerd=False)) is engine.Start.NOT_NEEDED


def test_docker_is_started_by_systemd_where_that_knows_it() -> None:
    assert engine.decide(found(systemd_unit=True)) is engine.Start.BY_SYSTEMD


def test_docker_is_a_process_of_ours_where_there_is_no_systemd() -> None:
    assert engine.decide(found()) is engine.Start.AS_PROCESS


def test_a_machine_without_docker_is_told_what_to_do() -> None:
    with pytest.raises(SetupError, match=r"bootstrap\.sh"):
        engine.decide(found(dockerd=False))


@pytest.mark.parametrize(
    ("config", "command"),
    [
        (None, ("dockerd", "--containerd", "/run/containerd/containerd.sock", "--live-restore")),
        ('{"live-restore": false}', ("dockerd", "--containerd", "/run/containerd/containerd.sock")),
        ('{"containerd": "/x", "live-restore": true}', ("dockerd",)),
    ],
)
def test_dockerd_is_not_told_what_its_own_configuration_says(
    tmp_path: Path, config: str | None, command: tuple[str, ...]
) -> None:
    file = tmp_path / "daemon.json"
    if config is not None:
        file.write_text(config)
    assert engine.dockerd_command(file) == command


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for systemctl, which this machine may not have, and docker: they note what they are told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("systemctl", "docker"):
        (folder / name).write_text(
            f'#!/bin/sh\necho "{name} $*" >>{folder}/told\ncat {folder}/{name}.says 2>/dev/null\n:'
        )
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def told(programs: Path) -> list[str]:
    lines = (programs / "told").read_text().splitlines() if (programs / "told").exists() else []
    return [line for line in lines if line.startswith("systemctl")]


def test_dockers_unit_is_stopped_by_whom_it_was_started(place: Place, programs: Path) -> None:
    assert not engine.was_started(place)
    engine.start_unit(place)
    assert engine.was_started(place)
    assert engine.stop_unit(place) == "stopped"
    assert not engine.was_started(place)
    assert told(programs) == [
        "systemctl start docker.service",
        "systemctl stop docker.socket",
        "systemctl stop docker.service",
    ]


def test_dockers_unit_is_left_running_for_the_containers_of_others(place: Place, programs: Path) -> None:
    (programs / "docker.says").write_text("naas-fra1.x\tsvc-1\nsomeones-database\t\n")
    engine.start_unit(place)
    assert engine.stop_unit(place) == "left running for someones-database"
    assert told(programs) == ["systemctl start docker.service"]
    assert engine.was_started(place)


# --- settings ---------------------------------------------------------------------------


def test_settings_are_made_once_and_kept(place: Place) -> None:
    first = environment.prepare(place, running=False)
    assert environment.prepare(place, running=False) == first
    assert stat.S_IMODE(place.env_file.stat().st_mode) == 0o600
    assert first["DATABASE_URL"] == f"sqlite:///{place.var}/naas.sqlite3"


def test_what_a_person_changed_in_the_settings_stays(place: Place) -> None:
    environment.write(place.env_file, {"DATABASE_URL": "postgres://db/naas", "EXTRA": "a=b"})
    settings = environment.prepare(place, running=False)
    assert settings["DATABASE_URL"] == "postgres://db/naas"
    assert settings["EXTRA"] == "a=b"
    assert settings["SECRET_KEY"]


def test_a_port_that_was_taken_meanwhile_is_replaced_and_the_password_stays(place: Place) -> None:
    before = environment.prepare(place, running=False)
    ports = environment.remembered_ports(before)
    with socket.create_server(("127.0.0.1", ports.redis)):
        after = environment.prepare(place, running=False)
        assert environment.prepare(place, running=True) == after
    assert environment.remembered_ports(after).redis > ports.redis
    assert before["REDIS_URL"].split("@")[0] == after["REDIS_URL"].split("@")[0]


def test_ports_in_use_by_the_running_platform_are_left_alone(place: Place) -> None:
    before = environment.prepare(place, running=False)
    with socket.create_server(("127.0.0.1", environment.remembered_ports(before).web)):
        assert environment.prepare(place, running=True) == before


def test_a_redis_elsewhere_is_left_as_it_was_set(place: Place) -> None:
    settings = environment.complete(
        {"REDIS_URL": "rediss://u:p@broker.example:6380/1"}, place.var, environment.Ports(1, 2)
    )
    assert settings["REDIS_URL"] == "rediss://u:p@broker.example:6380/1"
    assert environment.is_foreign_broker(settings)


def test_no_free_port_is_said() -> None:
    with pytest.raises(SetupError, match="no free port"):
        environment.free_port(9000, free=lambda _: False)


def test_a_var_folder_too_deep_for_a_socket_is_refused() -> None:
    with pytest.raises(SetupError, match="shorter"):
        find_place({"NAAS_VAR": "/tmp/" + "x" * 100})
    assert find_place({"NAAS_VAR": "/tmp/x"}).var == Path("/tmp/x")
    assert find_place({}).var == REPOSITORY / "var"


# --- Redis ------------------------------------------------------------------------------


def test_users_of_pops_survive_a_change_of_the_cores_password() -> None:
    pop = "user pop-fra1 on #aa ~pop.fra1* +@read"
    known = f"user default on nopass ~* +@all\nuser core on #00 ~* +@all\n{pop}\n"
    listed = broker.users(known, "secret").splitlines()
    assert listed[0] == "user default off"
    assert listed[1].startswith("user core on #2bb80d537b1da3e3")
    assert listed[2:] == [pop]


# --- images -----------------------------------------------------------------------------


def test_every_folder_with_a_dockerfile_is_an_image(tmp_path: Path) -> None:
    folders = (
        "services/kinds/router/image",
        "services/kinds/vpn/image",
        "sbc/kind/image/redis",
        "sbc/kind/image/media",
    )
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "Dockerfile").touch()
    assert {recipe.tag: recipe.folder for recipe in images.recipes(tmp_path)} == {
        "naas/holder:1": tmp_path / "worker/image/holder",
        "naas/router:1": tmp_path / "services/kinds/router/image",
        "naas/vpn:1": tmp_path / "services/kinds/vpn/image",
        "naas/sbc-media:1": tmp_path / "sbc/kind/image/media",
        "naas/sbc-redis:1": tmp_path / "sbc/kind/image/redis",
        "naas/sbc-probe:1": tmp_path / "sbc/probe",
    }


def test_an_image_is_built_again_when_its_folder_or_its_base_changes(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("one")
    before = images.recipe_digest(tmp_path, "sha256:base")
    assert images.recipe_digest(tmp_path, "sha256:base") == before
    assert images.recipe_digest(tmp_path, "sha256:other") != before
    (tmp_path / "run").chmod(0o755)
    executable = images.recipe_digest(tmp_path, "sha256:base")
    (tmp_path / "run").write_text("two")
    assert len({before, executable, images.recipe_digest(tmp_path, "sha256:base")}) == 3


def test_an_image_gets_the_pinned_version_of_its_wheel() -> None:
    pinned = (REPOSITORY / "constraints.txt").read_text()
    assert images.wheel_prefix("pjsua2-python", "a==1\npjsua2-python==2.15.1\n") == "pjsua2_python-2.15.1-"
    assert all(images.wheel_prefix(recipe.wheel, pinned) for recipe in images.recipes(REPOSITORY) if recipe.wheel)
    with pytest.raises(SetupError, match="does not pin a: run `make pins`"):
        images.wheel_prefix("a", "ab==1\n")


def test_a_wheel_that_is_there_is_not_fetched_again_and_an_older_one_goes(place: Place) -> None:
    recipe = images.Recipe("naas/x:1", place.repo / "x", wheel="a-b")
    wheels = recipe.folder / "wheels"
    wheels.mkdir(parents=True)
    (place.repo / "constraints.txt").write_text("a-b==2\n")
    (wheels / "a_b-2-py3-none-any.whl").touch()
    images.fetch_wheel(place, recipe)
    (place.repo / "constraints.txt").write_text("a-b==3\n")
    with pytest.raises(SetupError):
        images.fetch_wheel(place, recipe)
    assert not list(wheels.iterdir())


def test_the_base_is_made_from_the_machines_own_source_of_debian(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "docker.list").write_text("deb https://example.org/linux/debian bookworm main")
    with pytest.raises(SetupError, match="docker load"):
        images.apt_source(tmp_path)
    (tmp_path / "sources.list").write_text("deb http://mirror.example/debian bookworm main contrib")
    assert images.apt_source(tmp_path) == tmp_path / "sources.list"
    preferred = tmp_path / "sources.list.d" / "0000debian.sources"
    preferred.write_text("Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n")
    assert images.apt_source(tmp_path) == preferred


# --- processes --------------------------------------------------------------------------


@pytest.fixture
def pop(place: Place) -> str:
    for package in processes.CORE_CODE:
        (place.repo / package).mkdir(parents=True)
    place.env_file.touch()
    (place.pops / "fra1").mkdir()
    (place.pops / "fra1" / "pop.json").write_text("{}")
    return "fra1"


def test_supervisor_reads_back_the_programs_that_were_written(place: Place, pop: str) -> None:
    (place.run / "supervisor.d").mkdir()
    base = processes.base_programs(redis_config=place.redis / "redis.conf", containerd=True, dockerd=True)
    platform = processes.platform_programs(place, "8000")
    config = place.run / "supervisord.conf"
    config.write_text(supervision.render_daemon(place))
    (place.run / "supervisor.d" / supervision.BASE_FILE).write_text(supervision.render(base, place))
    (place.run / "supervisor.d" / supervision.PLATFORM_FILE).write_text(supervision.render(platform, place))

    options = ServerOptions()
    options.realize(["-c", str(config)])
    read = {
        f"{group.name}:{program.name}": program
        for group in options.process_group_configs
        for program in group.process_configs
    }

    assert set(read) == {program.full_name for program in base + platform}
    assert list(read)[:3] == ["containerd:containerd", "dockerd:dockerd", "redis:redis"]
    assert read["pop-fra1:pop-fra1-worker"].environment["NAAS_POP_CONFIG"] == str(place.pops / "fra1" / "pop.json")
    assert "pop-fra1@localhost" in read["pop-fra1:pop-fra1-worker"].command
    assert not read["dockerd:dockerd"].killasgroup


def test_a_pop_is_not_told_where_the_cores_settings_are(place: Place, pop: str) -> None:
    for program in processes.pop_programs(place, pop):
        assert set(program.environment) == {"NAAS_POP_CONFIG", "NAAS_RELEASE"}


def test_a_change_of_the_core_restarts_no_pop(place: Place, pop: str) -> None:
    (place.repo / "services" / "orders.py").write_text("one")
    before = {program.name: program.environment for program in processes.platform_programs(place, "8000")}
    (place.repo / "services" / "orders.py").write_text("two")
    after = {program.name: program.environment for program in processes.platform_programs(place, "8000")}
    assert {name for name in before if before[name] != after[name]} == {"web", "events", "core", "samples", "beat"}


def test_percent_signs_reach_programs_through_supervisors_expansion(place: Place) -> None:
    program = processes.Program("p", ("echo", "100% of it"), 1, {"NOTE": "50%"})
    parser = configparser.RawConfigParser()
    parser.read_string(supervision.render([program], place))
    assert parser["program:p"]["command"] == "echo '100%% of it'"
    assert parser["program:p"]["environment"] == 'NOTE="50%%"'


# --- tests and pins ---------------------------------------------------------------------


def test_suites_are_those_that_have_tests(tmp_path: Path) -> None:
    for name in ("unit", "system", "contract", "browser"):
        (tmp_path / "tests" / name).mkdir(parents=True)
    (tmp_path / "tests" / "conftest.py").touch()
    for name in ("unit", "system"):
        (tmp_path / "tests" / name / "test_it.py").touch()
    planned = suites.suites(tmp_path, "postgres://x")
    assert [suite.title for suite in planned] == ["unit", "unit on SQLite", "unit on PostgreSQL", "system", "alone"]
    assert planned[2].environment == {"DATABASE_URL": "postgres://x"}
    together, alone = (suite.arguments for suite in planned[3:])
    assert (together[0], together[-1]) == ("tests/system", "not alone")
    assert alone == ("tests/system", "-m", "alone")


def test_tests_do_not_inherit_an_installations_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://production")
    assert "DATABASE_URL" not in suites.environment()
    assert suites.environment()["PATH"] == os.environ["PATH"]


def test_pins_leave_out_the_environments_own_tools() -> None:
    text = pins.render({"pip": "26", "Django": "5.2", "celery": "5.7", "amqp": "5"})
    assert text.splitlines()[2:] == ["amqp==5", "celery==5.7", "Django==5.2"]


def test_every_pinned_requirement_agrees_with_the_constraints() -> None:
    constraints = (REPOSITORY / "constraints.txt").read_text()
    requirements = "".join((REPOSITORY / file).read_text() for file in ("requirements.txt", "requirements-dev.txt"))
    assert requirement_versions(requirements).items() <= requirement_versions(constraints).items()


def requirement_versions(text: str) -> dict[str, str]:
    pinned = re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==(\S+)", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pinned}


def test_haproxy_accepts_the_configuration_of_the_front(place: Place) -> None:
    front.write(place, "8000")
    commands.run("haproxy", "-c", "-f", front.file(place))
