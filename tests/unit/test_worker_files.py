"""Sockets in a volume: what the PoP reaches there, and what a container cannot make it reach."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.errors import TemporaryError
from worker.runtime.files import socket_in


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """One whose path is longer than a socket's address may be."""
    deep = tmp_path / ("v" * 100)
    deep.mkdir()
    return deep


@pytest.fixture
def server(volume: Path, tmp_path: Path) -> Iterator[socket.socket]:
    """What listens on the volume's socket `daemon.sock`."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "short"))
        (tmp_path / "short").rename(volume / "daemon.sock")
        listening.listen()
        yield listening


def test_a_socket_is_reached_however_long_its_path(volume: Path, server: socket.socket) -> None:
    with socket_in(volume, "daemon.sock") as path, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        accepted, _ = server.accept()
        accepted.close()


def test_what_was_looked_at_is_reached_whatever_takes_its_name_meanwhile(volume: Path, server: socket.socket) -> None:
    with socket_in(volume, "daemon.sock") as path, socket.socket(socket.AF_UNIX) as client:
        (volume / "daemon.sock").unlink()
        (volume / "daemon.sock").symlink_to("/run/docker.sock")
        client.connect(path)
        accepted, _ = server.accept()
        accepted.close()


def test_a_symlink_is_not_followed(volume: Path, server: socket.socket, tmp_path: Path) -> None:
    (volume / "daemon.sock").rename(tmp_path / "outside.sock")
    (volume / "daemon.sock").symlink_to(tmp_path / "outside.sock")
    with pytest.raises(TemporaryError), socket_in(volume, "daemon.sock"):
        raise AssertionError("it was found")


@pytest.mark.parametrize("wrong", ["missing", "file", "folder"])
def test_only_a_socket_is_reached(volume: Path, wrong: str) -> None:
    (volume / "file").touch()
    (volume / "folder").mkdir()
    with pytest.raises(TemporaryError, match=wrong), socket_in(volume, wrong):
        raise AssertionError("it was found")
