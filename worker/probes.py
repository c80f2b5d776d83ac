"""Runs the probes a VNF carries as values, and reads their answers.

What a probe finds are conditions, and values where a command has some to tell. What comes out
of a container is somebody else's text: it is parsed and cut to size, and what cannot be read
becomes one condition of status unknown that says so. Nothing here raises for what a probe
finds, and nothing repairs.
"""

from __future__ import annotations

import ctypes
import http.client
import ipaddress
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from worker.errors import NaasError, TemporaryError
from worker.report import Condition, Status
from worker.runtime.base import ExecResult, Runtime
from worker.samples import SampleKey
from worker.topology import Exec, Http, Notice, Probe, ProbeRole, Tcp

#: Seconds for which what a probe told counts as the present value.
FRESH = 30.0
#: Characters of a container's output that go into a message.
MESSAGE = 300


def run(probe: Probe, instance: str, vnf: str, runtime: Runtime) -> tuple[Condition, ...]:
    """Ask once. A probe that cannot be asked (container not running, time out) is unknown, with the reason."""
    return find(probe, instance, vnf, runtime).conditions


@dataclass(frozen=True)
class Found:
    """What a probe found: conditions, and values by their names as in `worker.samples`."""

    conditions: tuple[Condition, ...]
    values: Mapping[str, float] = field(default_factory=dict)


def find(probe: Probe, instance: str, vnf: str, runtime: Runtime) -> Found:
    """The same with the values that the probe told."""
    try:
        match probe:
            case Exec():
                said = runtime.exec(instance, vnf, probe.container, probe.command, timeout=probe.timeout)
                return Found(_exec(probe, said), values(probe, said))
            case Notice():
                return Found((_notice(probe, runtime.noticed(instance, vnf, probe.container, probe.volume)),))
            case Tcp():
                return Found(_tcp(probe, runtime.netns(instance, vnf)))
            case Http():
                return Found(_http(probe, runtime.netns(instance, vnf)))
    except NaasError as error:
        return Found((_condition(probe, Status.UNKNOWN, str(error)),))


Asker = Callable[[Probe, str, str, Runtime], tuple[Condition, ...]]


@dataclass(frozen=True)
class _Answer:
    probe: Probe
    found: Found
    at: float

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return self.found.conditions

    def stands_for(self, probe: Probe, now: float) -> bool:
        """Whether the probe need not run again yet: it is the same, held, and is one that is run seldom."""
        every = probe.every if isinstance(probe, Exec) else 0.0
        return probe == self.probe and now < self.at + every and all(c.status is Status.TRUE for c in self.conditions)


class Answers:
    """What probes said last, for those that are dear and need not run each time (`Exec.every`)."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], _Answer] = {}

    def ask(self, probe: Probe, instance: str, vnf: str, runtime: Runtime) -> tuple[Condition, ...]:
        """What the probe says, or said when it need not run again yet."""
        last = self._last.get((instance, vnf, probe.name))
        if last is not None and last.stands_for(probe, time.monotonic()):
            return last.conditions
        return self.ask_anew(probe, instance, vnf, runtime)

    def ask_anew(self, probe: Probe, instance: str, vnf: str, runtime: Runtime) -> tuple[Condition, ...]:
        """What the probe says now."""
        found = find(probe, instance, vnf, runtime)
        self._last[instance, vnf, probe.name] = _Answer(probe, found, time.monotonic())
        return found.conditions

    def values(self, instance: str) -> dict[str, float]:
        """The values that probes of the instance told lately."""
        fresh = time.monotonic() - FRESH
        # Others may be asking meanwhile.
        answers = [answer for key, answer in tuple(self._last.items()) if key[0] == instance and answer.at >= fresh]
        return {name: value for answer in answers for name, value in answer.found.values.items()}

    def forget(self, instance: str) -> None:
        """What was said before the instance was changed or repaired says nothing of it now."""
        # Others may be asking meanwhile, of other instances.
        for key in tuple(self._last):
            if key[0] == instance:
                self._last.pop(key, None)


def _condition(probe: Probe, status: Status, message: str = "") -> Condition:
    return Condition(probe.name, status, message, readiness=probe.role is ProbeRole.READINESS)


# --- commands in a container ----------------------------------------------------------

Parser = Callable[[Exec, ExecResult], tuple[Condition, ...]]


def exit_status(probe: Exec, result: ExecResult) -> tuple[Condition, ...]:
    """Holds when the command ended with status 0; its output says why not."""
    if result.status == 0:
        return (_condition(probe, Status.TRUE),)
    said = _excerpt(result.output) or f"{probe.command[0]} ended with status {result.status}"
    return (_condition(probe, Status.FALSE, said),)


#: Values that a condition may have.
MOST_VALUES = 400


class _Said(BaseModel):
    """One condition as a probe command prints it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9 ._:/-]{0,63}$")]
    status: Status
    message: Annotated[str, Field(max_length=4000)] = ""
    values: Annotated[dict[SampleKey, Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=MOST_VALUES)] = {}


_CONDITIONS = TypeAdapter(Annotated[list[_Said], Field(min_length=1, max_length=64)])


def conditions(probe: Exec, result: ExecResult) -> tuple[Condition, ...]:
    """The command prints a JSON list of {"type", "status", "message"}, whatever its exit status.

    An entry may have `values` besides: see there.
    """
    try:
        found = _CONDITIONS.validate_json(result.output, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the output"
        said = f"{probe.command[0]} printed no list of conditions: {where}: {first['msg']}"
        if result.status:
            said = f"{probe.command[0]} ended with status {result.status}: {_excerpt(result.output)}"
        return (_condition(probe, Status.UNKNOWN, said),)
    readiness = probe.role is ProbeRole.READINESS
    return tuple(Condition(said.type, said.status, _excerpt(said.message), readiness) for said in found)


def values(probe: Exec, result: ExecResult) -> dict[str, float]:
    """The numbers that a command of the parser "conditions" told beside them, by name. None when it cannot be read."""
    if probe.parser != "conditions":
        return {}
    try:
        found = _CONDITIONS.validate_json(result.output, strict=True)
    except ValidationError:
        return {}
    return {name: value for said in found for name, value in said.values.items()}


PARSERS: Mapping[str, Parser] = {"exit-status": exit_status, "conditions": conditions}


def _exec(probe: Exec, result: ExecResult) -> tuple[Condition, ...]:
    parser = PARSERS.get(probe.parser)
    if parser is None:
        known = ", ".join(sorted(PARSERS))
        return (_condition(probe, Status.UNKNOWN, f"no parser is called {probe.parser}; there are {known}"),)
    return parser(probe, result)


def _excerpt(text: str) -> str:
    """The end of a text, on one line of printable characters: that is where programs say what went wrong."""
    line = "".join(c if c.isprintable() else " " for c in text.strip())
    return line if len(line) <= MESSAGE else "..." + line[-MESSAGE:]


def _notice(probe: Notice, given: bool) -> Condition:
    if given:
        return _condition(probe, Status.TRUE)
    return _condition(probe, Status.FALSE, f"{probe.container} has not said that it is ready")


# --- connections from inside the namespace --------------------------------------------


def _tcp(probe: Tcp, netns: str) -> tuple[Condition, ...]:
    try:
        _connect(netns, probe.host, probe.port, probe.timeout).close()
    except OSError as error:
        return (_condition(probe, Status.FALSE, f"{probe.host}:{probe.port}: {error.strerror or error}"),)
    return (_condition(probe, Status.TRUE),)


def _http(probe: Http, netns: str) -> tuple[Condition, ...]:
    connection = http.client.HTTPConnection(probe.host, probe.port, timeout=probe.timeout)
    try:
        connection.sock = _connect(netns, probe.host, probe.port, probe.timeout)
        connection.request("GET", probe.path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        said = f"{probe.host}:{probe.port}{probe.path}: {error or type(error).__name__}"
        return (_condition(probe, Status.FALSE, said),)
    finally:
        connection.close()
    if status != probe.status:
        return (_condition(probe, Status.FALSE, f"{probe.path} answered {status}, not {probe.status}"),)
    return (_condition(probe, Status.TRUE),)


def _connect(netns: str, host: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection made inside the namespace. Raises `OSError`; `host` is an address, for names need a resolver."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        raise OSError(f"{host} is not an IP address") from None
    connection = socket_in(netns, socket.AF_INET if version == 4 else socket.AF_INET6)
    connection.settimeout(timeout)
    try:
        connection.connect((host, port))
    except OSError:
        connection.close()
        raise
    return connection


def socket_in(netns: str, family: socket.AddressFamily) -> socket.socket:
    """A TCP socket that lives in the network namespace at path `netns`, to be used from anywhere.

    A socket belongs for life to the namespace of the thread that made it, so a thread of
    its own enters, makes it and ends: 0.16 ms, where a child `nsenter` takes 1.5. Raises
    `TemporaryError` when the namespace is gone.
    """
    made: list[socket.socket | OSError] = []

    def make() -> None:
        try:
            _enter(netns)
            made.append(socket.socket(family, socket.SOCK_STREAM))
        except OSError as error:
            made.append(error)

    thread = Thread(target=make)
    thread.start()
    thread.join()
    match made:
        case [socket.socket() as created]:
            return created
        case [error]:
            raise TemporaryError(f"network namespace {netns} cannot be entered: {error}", delay=1.0)
        case _:
            raise AssertionError("the thread appends exactly one thing")


_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def _enter(netns: str) -> None:
    """Move the calling thread into the namespace (setns(2); Python has it from 3.12 on)."""
    with Path(netns).open("rb") as file:
        if _LIBC.setns(file.fileno(), _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
