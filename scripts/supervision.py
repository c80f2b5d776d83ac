"""Supervisor, which keeps the platform's processes running and restarts what is killed.

`render` and `render_daemon` write what supervisor reads; the other functions talk to the
one that runs, over its private socket.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from scripts import commands
from scripts.errors import SetupError
from scripts.place import Place
from scripts.processes import Program

#: Seconds that a process may take to end its work before it is killed.
GRACE = 20
SHUTDOWN_TIMEOUT = 120.0

#: What must outlive the rest.
BASE_GROUPS = {"containerd", "dockerd", "redis"}
#: How supervisor marks the processes of Docker.
ENGINE_MARKS = {"SUPERVISOR_GROUP_NAME=containerd", "SUPERVISOR_GROUP_NAME=dockerd"}

BASE_FILE = "10-base.conf"
PLATFORM_FILE = "20-platform.conf"

# --- supervisor's files -----------------------------------------------------------------


def render(programs: Iterable[Program], place: Place) -> str:
    """Supervisor's text for the programs and their groups."""
    listed = tuple(programs)
    groups: dict[str, list[Program]] = {}
    for program in listed:
        if program.group:
            groups.setdefault(program.group, []).append(program)
    sections = [_program_section(program, place) for program in listed]
    sections += [
        _section(f"group:{name}", {"programs": ",".join(p.name for p in members), "priority": members[0].priority})
        for name, members in groups.items()
    ]
    return "\n".join(sections)


def render_daemon(place: Place) -> str:
    """Supervisor's own settings: a private socket and nothing on the network."""
    socket = place.supervisor_socket
    own = {
        "logfile": place.log / "supervisor.log",
        "pidfile": place.run / "supervisor.pid",
        "childlogdir": place.log,
        "directory": place.repo,
        "identifier": "naas",
    }
    factory = "supervisor.rpcinterface:make_main_rpcinterface"
    return "\n".join(
        (
            _section("supervisord", own),
            _section("unix_http_server", {"file": socket, "chmod": "0700"}),
            _section("supervisorctl", {"serverurl": f"unix://{socket}"}),
            _section("rpcinterface:supervisor", {"supervisor.rpcinterface_factory": factory}),
            _section("include", {"files": place.run / "supervisor.d" / "*.conf"}),
        )
    )


def _program_section(program: Program, place: Place) -> str:
    environment = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
    return _section(
        f"program:{program.name}",
        {
            "command": shlex.join(program.command),
            "directory": place.repo,
            "environment": environment,
            "priority": program.priority,
            "autostart": "true",
            "autorestart": "true",
            "startsecs": 1,
            # Supervisor waits a second longer after every failed start; never give up for good.
            "startretries": 1000,
            "stopsignal": "TERM",
            "stopwaitsecs": GRACE,
            "killasgroup": str(program.with_children).lower(),
            "redirect_stderr": "true",
            "stdout_logfile": place.log / f"{program.name}.log",
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": 3,
        },
    )


def _section(name: str, options: Mapping[str, object]) -> str:
    # Supervisor expands %(...)s in values.
    lines = (f"{option} = {str(value).replace('%', '%%')}" for option, value in options.items())
    return "\n".join((f"[{name}]", *lines, ""))


# --- the running supervisor -------------------------------------------------------------


def is_running(place: Place) -> bool:
    try:
        _rpc(place).getState()
    except (OSError, xmlrpc.client.Error):
        return False
    return True


def states(place: Place) -> dict[str, str]:
    """Every process's state by its full name, as supervisor tells it."""
    return {f"{info['group']}:{info['name']}": info["statename"] for info in _rpc(place).getAllProcessInfo()}


def start_supervisor(place: Place, base: Iterable[Program]) -> None:
    """Start supervisor with the base programs alone, or bring the running one to them."""
    folder = place.run / "supervisor.d"
    folder.mkdir(exist_ok=True)
    (folder / BASE_FILE).write_text(render(base, place))
    config = place.run / "supervisord.conf"
    config.write_text(render_daemon(place))
    if is_running(place):
        update(place)
        return
    (folder / PLATFORM_FILE).unlink(missing_ok=True)
    commands.run(place.bin("supervisord"), "-c", config, env=clean_environment())


def start_platform(place: Place, programs: Iterable[Program]) -> None:
    """Bring the running supervisor to these programs besides the base ones."""
    (place.run / "supervisor.d" / PLATFORM_FILE).write_text(render(programs, place))
    update(place)


def stop_platform(place: Place) -> None:
    """Stop all but the base programs, if supervisor runs."""
    (place.run / "supervisor.d" / PLATFORM_FILE).unlink(missing_ok=True)
    if is_running(place):
        _end_platform(place)
        update(place)


def _end_platform(place: Place) -> None:
    """Tell all but the base programs to end, all at once: supervisor itself ends one group after the other."""
    groups = {name.partition(":")[0] for name in states(place)} - BASE_GROUPS
    for group in groups:
        _rpc(place).stopProcessGroup(group, False)
    deadline = time.monotonic() + GRACE + 1
    while any(state == "STOPPING" for state in states(place).values()) and time.monotonic() < deadline:
        time.sleep(0.1)


def update(place: Place) -> None:
    """Start what is new, restart what changed, stop what is listed no more."""
    commands.run(place.bin("supervisorctl"), "-c", place.run / "supervisord.conf", "update")


def shut_down(place: Place) -> bool:
    """Stop supervisor and all it runs. Says whether there was anything to stop."""
    if not is_running(place):
        return end_orphans(place)
    pid = int(_rpc(place).getPID())
    _end_platform(place)
    _rpc(place).shutdown()
    deadline = time.monotonic() + SHUTDOWN_TIMEOUT
    while lives(pid):
        if time.monotonic() > deadline:
            raise SetupError(f"supervisor (process {pid}) is still stopping; see {place.log / 'supervisor.log'}")
        time.sleep(0.1)
    return True


def end_orphans(place: Place) -> bool:
    """End what a supervisor that was killed left running. Says whether there was anything.

    Docker is not ended: it is of use as it is, and the processes that carry containers bear its mark.
    """
    left = orphans(place)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in orphans(place):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + GRACE
        while orphans(place) and time.monotonic() < deadline:
            time.sleep(0.1)
    return bool(left)


def orphans(place: Place) -> tuple[int, ...]:
    """Processes that a supervisor of this place started, by what it wrote into their environment."""
    mark = f"SUPERVISOR_SERVER_URL=unix://{place.supervisor_socket}"
    found = ((int(folder.name), _environment_of(folder)) for folder in Path("/proc").glob("[0-9]*"))
    return tuple(pid for pid, variables in found if mark in variables and not variables & ENGINE_MARKS)


def lives(pid: int) -> bool:
    """Whether the process runs. One that ended and that no one has buried yet has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def _environment_of(process: Path) -> set[str]:
    try:
        return set((process / "environ").read_text(errors="replace").split("\0"))
    except OSError:  # it ended meanwhile, or is not ours to read
        return set()


def wait_until_running(place: Place, names: Iterable[str], timeout: float) -> None:
    """Wait for the processes to stay up. Raises `SetupError` with the end of the log of one that does not."""
    deadline = time.monotonic() + timeout
    while failing := [name for name in names if states(place).get(name) != "RUNNING"]:
        if time.monotonic() > deadline:
            log = place.log / f"{failing[0].partition(':')[2]}.log"
            raise SetupError(f"{', '.join(failing)} did not come up; the end of {log}:\n{tail(log)}")
        time.sleep(0.2)


def tail(log: Path, lines: int = 15) -> str:
    if not log.exists():
        return "    (empty)"
    return "\n".join(f"    {line}" for line in log.read_text(errors="replace").splitlines()[-lines:])


def clean_environment() -> dict[str, str]:
    """The least that daemons need, so that nothing of the calling shell leaks into them."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TZ") if name in os.environ}
    return kept | {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONUNBUFFERED": "1"}


def _rpc(place: Place) -> Any:
    transport = SupervisorTransport(None, None, f"unix://{place.supervisor_socket}")
    return xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor
