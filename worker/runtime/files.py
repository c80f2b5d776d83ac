"""The files of the containers on the PoP host: written whole or not at all, and what was applied of them.

    <root>/<instance>/<vnf>/<container>/files/    what the container finds at /etc/naas
    <root>/<instance>/<vnf>/<container>/applied   digest of the files that the container runs with

The root is closed to everyone else on the host; `files` itself is open, because a daemon that
gave up root must be able to enter it inside its container. Nothing here knows Docker.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.errors import TemporaryError
from worker.topology import ConfigFile, Container

_APPLIED = "applied"


class Files:
    """The files of one PoP under `root`. Raises `TemporaryError` when the disk refuses."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, instance: str, vnf: str, container: str) -> Path:
        """What is mounted at `/etc/naas`."""
        return self._home(instance, vnf, container) / "files"

    def write(self, instance: str, vnf: str, container: Container) -> None:
        """Make the folder hold exactly the container's files. Until `note` they count as not applied."""
        home = self._home(instance, vnf, container.name)
        with _translated(f"write the files of {container.name}"):
            folder = self._make(home)
            if self.applied(instance, vnf, container.name) != container.config:
                (home / _APPLIED).unlink(missing_ok=True)
            for file in container.files:
                _replace(folder / file.name, file)
            for stale in set(folder.iterdir()) - {folder / file.name for file in container.files}:
                stale.unlink()
            _sync(folder)

    def note(self, instance: str, vnf: str, container: Container) -> None:
        """The container runs with these files."""
        if self.applied(instance, vnf, container.name) != container.config:
            with _translated(f"note the files of {container.name}"):
                home = self._home(instance, vnf, container.name)
                _replace(home / _APPLIED, ConfigFile(_APPLIED, container.config))

    def applied(self, instance: str, vnf: str, container: str) -> str | None:
        """Digest of the files the container runs with, None when none was applied to the end."""
        try:
            return (self._home(instance, vnf, container) / _APPLIED).read_text()
        except FileNotFoundError:
            return None

    def vnfs(self, instance: str) -> frozenset[str]:
        """The VNFs of the instance that have files here, with or without a container."""
        return _names(self._root / instance)

    def instances(self) -> frozenset[str]:
        return _names(self._root)

    def remove(self, instance: str, vnf: str, container: str | None = None) -> None:
        """Remove the files of the container, or of the whole VNF, and every folder that becomes empty by it."""
        gone = self._root / instance / vnf if container is None else self._home(instance, vnf, container)
        with _translated(f"remove the files of {vnf}"):
            with suppress(FileNotFoundError):
                shutil.rmtree(gone)
            for folder in gone.parents[: gone.parents.index(self._root)]:
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    continue
                except OSError:
                    break  # not empty: someone else's files are in it

    def _home(self, instance: str, vnf: str, container: str) -> Path:
        return self._root / instance / vnf / container

    def _make(self, home: Path) -> Path:
        for folder in (self._root, home.parent.parent, home.parent, home):
            folder.mkdir(mode=0o700, parents=folder == self._root, exist_ok=True)
        (home / "files").mkdir(mode=0o755, exist_ok=True)
        return home / "files"


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return frozenset()


def _replace(path: Path, file: ConfigFile) -> None:
    """Write the file under another name, on disk to the end, then put it in place of the old one."""
    if path.is_file() and path.read_bytes() == file.content.encode() and path.stat().st_mode & 0o7777 == file.mode:
        return
    descriptor, draft = tempfile.mkstemp(prefix=".", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
        stream.write(file.content)
        os.fchmod(stream.fileno(), file.mode)
        stream.flush()
        os.fsync(stream.fileno())
    Path(draft).replace(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(attempt: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TemporaryError(f"cannot {attempt}: {error.strerror}", delay=10) from error
