"""The files of the containers on the PoP host: written whole or not at all, and what was applied of them.

    <root>/<instance>/<vnf>/<container>/files/    what the container finds at /etc/naas
    <root>/<instance>/<vnf>/<container>/applied   digest of the files that the container runs with
    <root>/<instance>/<vnf>/.volumes/<volume>/    what the VNF's containers share, theirs to write

The root is closed to everyone else on the host; `files` and the volumes themselves are open, because
a daemon that gave up root must be able to use them inside its container. A volume is like /tmp: nobody
removes what is another's. Nothing here knows Docker.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.errors import TemporaryError
from worker.topology import ConfigFile, Container, Volume

_APPLIED = "applied"
#: No container is called so.
_VOLUMES = ".volumes"


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

    def make_volumes(self, instance: str, vnf: str, volumes: Iterable[Volume]) -> None:
        """Make those that are not there yet; what is in one that is there stays."""
        for volume in volumes:
            folder = self.volume(instance, vnf, volume.name)
            with _translated(f"make the volume {volume.name} of {vnf}"):
                self._make_closed(folder.parent)
                folder.mkdir(exist_ok=True)
                folder.chmod(0o1777)

    def withdraw(self, instance: str, vnf: str, container: Container) -> None:
        """Remove the notices that the container gave: it is about to be something else."""
        with _translated(f"withdraw the notice of {container.name}"):
            for volume in container.volumes:
                (self.volume(instance, vnf, volume.name) / notice(container.name)).unlink(missing_ok=True)

    def noticed(self, instance: str, vnf: str, container: str, volume: str) -> bool:
        """Whether the container's notice is in the volume."""
        return os.path.lexists(self.volume(instance, vnf, volume) / notice(container))

    def volume(self, instance: str, vnf: str, name: str) -> Path:
        """Where the volume is, or would be."""
        return self._root / instance / vnf / _VOLUMES / name

    def vnfs(self, instance: str) -> frozenset[str]:
        """The VNFs of the instance that have files or volumes here, with or without a container."""
        return _names(self._root / instance)

    def instances(self) -> frozenset[str]:
        return _names(self._root)

    def remove(self, instance: str, vnf: str, container: str) -> None:
        """Remove the files of the container, and every folder that becomes empty by it."""
        self._remove(self._home(instance, vnf, container))

    def remove_vnf(self, instance: str, vnf: str, *, keep_volumes: bool) -> None:
        """Remove the files of the VNF's containers and, unless they are kept, its volumes."""
        home = self._root / instance / vnf
        has_volumes = (home / _VOLUMES).exists()
        for gone in [home / name for name in _names(home) - {_VOLUMES}] if keep_volumes and has_volumes else [home]:
            self._remove(gone)

    def _remove(self, gone: Path) -> None:
        """Remove a folder with all that is in it, and every folder above that becomes empty by it."""
        with _translated(f"remove {gone}"):
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
        self._make_closed(home)
        (home / "files").mkdir(mode=0o755, exist_ok=True)
        return home / "files"

    def _make_closed(self, folder: Path) -> None:
        """Make the folder (one of a VNF) and the way to it, for nobody but us."""
        for each in (self._root, folder.parent.parent, folder.parent, folder):
            each.mkdir(mode=0o700, parents=each == self._root, exist_ok=True)


@contextmanager
def socket_in(volume: Path, name: str) -> Iterator[str]:
    """A path that connects to the socket of that name in a volume, as long as the context lasts.

    What is in a volume is its containers' doing: a symlink is not followed, and only a socket is reached. The path
    names the very file that was looked at, and fits into an address whose 108 bytes the volume's own path may
    exceed. Raises `TemporaryError` when there is no such socket.
    """
    with _translated(f"find the socket {name}", delay=1):
        folder = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            file = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)
    try:
        if not stat.S_ISSOCK(os.fstat(file).st_mode):
            raise TemporaryError(f"{name} is not a socket", delay=1)
        yield f"/proc/self/fd/{file}"
    finally:
        os.close(file)


def notice(container: str) -> str:
    """The file by which a container says that it is ready."""
    return f"ready.{container}"


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
def _translated(attempt: str, delay: float = 10.0) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TemporaryError(f"cannot {attempt}: {error.strerror}", delay=delay) from error
