"""The platform's own Redis: what is in its configuration and in its list of users.

The unnamed user is off. `core` may do everything; every PoP has a user of its own, made
when it is enrolled, and those are kept as they are.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

import redis

from scripts.place import Place

CORE_USER = "core"


def configuration(place: Place, port: int) -> str:
    """The text of redis.conf.

    Append-only: without it a restart loses the queue. A process title would be written over
    the environment, by which supervisor's processes are known.
    """
    return f"""\
bind 127.0.0.1
port {port}
protected-mode yes
set-proc-title no
daemonize no
dir {place.redis}
aclfile {users_file(place)}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


def users(known: str, password: str) -> str:
    """The text of the users file: ours as they must be, all others as they are."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    ours = ("user default off", f"user {CORE_USER} on #{digest} ~* &* +@all")
    own_names = ("default", CORE_USER)
    others = (line for line in known.splitlines() if line.split()[1:2] and line.split()[1] not in own_names)
    return "\n".join((*ours, *others)) + "\n"


def write_files(place: Place, url: str) -> Path:
    """Write both files for the Redis that `url` names; returns the configuration."""
    address = urlsplit(url)
    listed = users_file(place)
    known = listed.read_text() if listed.exists() else ""
    _write_private(listed, users(known, address.password or ""))
    config = place.redis / "redis.conf"
    _write_private(config, configuration(place, address.port or 6379))
    return config


def users_file(place: Place) -> Path:
    return place.redis / "users.acl"


def answers(url: str) -> bool:
    """Whether Redis is there, lets us in and has read its data."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def knows_user(url: str, user: str) -> bool:
    """Whether Redis has a user of this name."""
    with redis.Redis.from_url(url) as client:
        return bool(client.acl_getuser(user))


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(text)
