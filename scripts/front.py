"""The front: HAProxy on the platform's port. It sends the event streams to their process and all else to gunicorn.

A browser must find both at one origin, and a thousand open streams must not hold gunicorn's threads. It runs as nobody,
in a folder that has nothing but the sockets of the two.
"""

from __future__ import annotations

from pathlib import Path

from scripts.place import Place

#: What callers read while the web process is away. HAProxy itself waits for it for some seconds first.
AWAY = '{"type":"urn:naas:problem:starting","title":"The platform is starting","status":503}'


def configuration(place: Place, port: str) -> str:
    """The text of HAProxy's configuration. Paths of sockets begin at the folder that it is locked into."""
    return f"""\
global
    chroot {folder(place)}
    user nobody
    group nogroup
    maxconn 4000

defaults
    mode http
    option forwardfor
    option http-keep-alive
    retries 3
    timeout connect 2s
    timeout client 75s
    timeout server 300s
    timeout http-request 30s
    timeout http-keep-alive 75s
    http-error status 503 content-type application/problem+json string '{AWAY}'

frontend site
    bind 127.0.0.1:{port}
    use_backend events if {{ path_reg ^/t/[^/]+/events$ }}
    default_backend web

backend web
    server web unix@/{web_socket(place).name}

backend events
    # A sign of life goes to every client each 15 seconds.
    timeout server 60s
    server events unix@/{events_socket(place).name}
"""


def write(place: Place, port: str) -> None:
    """Write the configuration, and make the folder of the sockets. Doing it twice does no harm."""
    folder(place).mkdir(mode=0o755, exist_ok=True)
    file(place).write_text(configuration(place, port))


def folder(place: Place) -> Path:
    return place.run / "front"


def web_socket(place: Place) -> Path:
    return folder(place) / "web.sock"


def events_socket(place: Place) -> Path:
    return folder(place) / "events.sock"


def file(place: Place) -> Path:
    return place.run / "front.cfg"
