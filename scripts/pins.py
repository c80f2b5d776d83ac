"""Renews `constraints.txt`: the exact version of every Python package, direct or not.

The requirements are installed into a fresh environment without constraints, so that the
file holds what they ask for today and nothing that happened to be around.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from scripts import commands
from scripts.console import step
from scripts.place import Place

HEADER = """\
# Every package of requirements-dev.txt and what those need, at the versions tested together.
# Made by `make pins`.
"""
#: Tools of the environment itself.
LEFT_OUT = frozenset({"pip", "setuptools", "wheel"})


def renew(place: Place) -> None:
    with step("Pins") as running, tempfile.TemporaryDirectory() as folder:
        running.progress("installing the requirements into a fresh environment")
        commands.run(sys.executable, "-m", "venv", folder)
        python = Path(folder) / "bin" / "python"
        commands.run(python, "-m", "pip", "install", "--quiet", "-r", place.repo / "requirements-dev.txt")
        listed = json.loads(commands.run(python, "-m", "pip", "list", "--format=json"))
        versions = {package["name"]: package["version"] for package in listed}
        (place.repo / "constraints.txt").write_text(render(versions))
        running.outcome = f"{len(versions)} packages"


def render(versions: dict[str, str]) -> str:
    """The text of the file, sorted as people look names up."""
    pinned = (f"{name}=={version}" for name, version in versions.items() if name.lower() not in LEFT_OUT)
    return HEADER + "\n".join(sorted(pinned, key=str.lower)) + "\n"
