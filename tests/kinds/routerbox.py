"""A router's container started by hand, without the platform: the image and the rendered files alone."""

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from services.kinds.router.render import CAPABILITIES, IMAGE, SYSCTLS, TMPFS
from tests.kinds import router_cases

#: The image's own reload, which may give commands only once.
ONE_PASS = """
import sys
sys.path.insert(0, "/usr/lib/naas")
import steering
given, apply = [], steering.apply_commands
def once(commands):
    assert not given, ("a second pass", given, commands)
    given.append(commands)
    return apply(commands)
steering.apply_commands = once
sys.exit(steering.reload_main([]))
"""
#: The same where nothing is left to change.
NO_PASS = ONE_PASS.replace("given, apply = []", "given, apply = [None]")


class RouterBox:
    """One container with its own namespace, in which no interface but `lo` stands."""

    def __init__(self, directory: Path, files: Mapping[str, str] | None = None) -> None:
        self.name = f"naas-test-router-{secrets.token_hex(4)}"
        self.directory = directory
        self.write(files or router_cases.files(router_cases.load("minimal")))

    def __enter__(self) -> Self:
        options = [f"--cap-add={capability}" for capability in CAPABILITIES]
        options += [f"--tmpfs={mount}" for mount in TMPFS]
        options += [f"--sysctl={key}={value}" for key, value in SYSCTLS]
        options += ["--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only", "--init", "--network=none"]
        options += ["--tmpfs=/run/notices"]
        mount = f"--volume={self.directory}:/etc/naas:ro"
        subprocess.run(["docker", "run", "-d", "--name", self.name, *options, mount, IMAGE], check=True)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        subprocess.run(["docker", "rm", "-f", self.name], check=True, capture_output=True)

    def write(self, files: Mapping[str, str]) -> None:
        for name, content in files.items():
            new = self.directory / f"{name}.new"
            new.write_text(content)
            new.chmod(0o600)
            new.rename(self.directory / name)

    @property
    def pid(self) -> int:
        return int(self._docker("inspect", "--format", "{{.State.Pid}}", self.name).stdout)

    @property
    def running(self) -> bool:
        return self._docker("inspect", "--format", "{{.State.Running}}", self.name).stdout.strip() == "true"

    def attempt(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self._docker("exec", self.name, *command)

    def run(self, *command: str) -> str:
        done = self.attempt(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def reload_in_one_pass(self) -> None:
        """Reload, and fail when its first pass of commands did not suffice."""
        self.run("python3", "-I", "-S", "-c", ONE_PASS)

    def inside(self, *command: str) -> None:
        """Run a program of this machine in the container's network namespace."""
        subprocess.run(["nsenter", f"--net=/proc/{self.pid}/ns/net", *command], check=True, capture_output=True)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a program of this machine in the container's network namespace."""
        argv = ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def vtysh(self, command: str) -> str:
        return self.run("vtysh", "-c", command)

    def condition(self, name: str) -> str:
        """`true`, or `false: why`."""
        told = {said["type"]: said for said in json.loads(self.run("/usr/lib/naas/health"))}
        return f"{told[name]['status']}: {told[name]['message']}".removesuffix(": ")

    def wait_until_ready(self, seconds: float = 10.0) -> None:
        wait_until(lambda: self.attempt("/usr/lib/naas/ready").returncode == 0, seconds, self.logs)

    def logs(self) -> str:
        done = self._docker("logs", "--tail", "20", self.name)
        return done.stdout + done.stderr

    @staticmethod
    def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["docker", *arguments], check=False, capture_output=True, text=True, timeout=60)


def wait_until(holds: Callable[[], bool], seconds: float, otherwise: Callable[[], object] = str) -> None:
    """Returns as soon as `holds()`; fails with what `otherwise()` says after `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, otherwise()
        time.sleep(0.05)
