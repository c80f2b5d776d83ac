"""Runs other programs, and turns a failure into a sentence with the end of what they said."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from scripts.errors import SetupError

#: Lines of a failed program's output that are shown.
SHOWN_LINES = 15

Argument = str | Path
Environment = Mapping[str, str] | None


class CommandFailed(SetupError):
    """A program ended with an error."""


def run(*command: Argument, env: Environment = None, cwd: Path | None = None) -> str:
    """Run to the end and return what was written to stdout. Raises `CommandFailed`."""
    done = _started(command, env=env, cwd=cwd)
    if done.returncode != 0:
        raise CommandFailed(failure(command, done.returncode, (done.stdout + done.stderr).splitlines()))
    return done.stdout


def succeeds(*command: Argument) -> bool:
    """Whether the program is there and ends with 0. Its output is dropped."""
    try:
        return _started(command).returncode == 0
    except SetupError:
        return False


def stream(command: Iterable[Argument], on_line: Callable[[str], None], *, env: Environment = None) -> None:
    """Run, giving each line of output (stdout and stderr together) as it comes. Raises `CommandFailed`."""
    arguments = [str(part) for part in command]
    said: list[str] = []

    def note(line: str) -> None:
        said.append(line)
        on_line(line)

    status = follow(arguments, note, env=env)
    if status != 0:
        raise CommandFailed(failure(arguments, status, said))


def follow(command: Iterable[Argument], on_line: Callable[[str], None], *, env: Environment = None) -> int:
    """Run, giving each line of output as it comes, and return the exit status."""
    with subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=env,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            on_line(line.rstrip())
    return process.returncode


def attach(*command: Argument, env: Environment = None, cwd: Path | None = None) -> int:
    """Run with the terminal of the caller, and return the exit status."""
    return subprocess.run([str(part) for part in command], env=env, cwd=cwd, check=False).returncode


def failure(command: Iterable[Argument], status: int, said: list[str]) -> str:
    """The sentence about a failed program."""
    shown = "\n".join(f"    {line}" for line in said[-SHOWN_LINES:])
    return f"`{' '.join(map(str, command))}` ended with status {status}\n{shown}".rstrip()


def _started(
    command: Iterable[Argument], *, env: Environment = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    arguments = [str(part) for part in command]
    try:
        return subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, cwd=cwd, check=False
        )
    except FileNotFoundError as error:
        raise SetupError(f"{arguments[0]} is not installed: run scripts/bootstrap.sh") from error
