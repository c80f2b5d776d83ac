"""Orders an SBC between a PBX and a carrier, and places a call through it.

A plain client like `demo`. The two ends are telephones of `sbc.probe` at sites of the lab: the PBX speaks TLS
and SRTP, the carrier, which plays back what it hears, UDP and RTP.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.table import Table

from scripts.commands import CommandFailed
from scripts.console import console, print_plain, say, step
from scripts.customer import (
    POLL,
    POP,
    Account,
    Api,
    DemoFailed,
    Json,
    access,
    await_working,
    complete,
    find_service,
    lab,
    order_under_way,
)
from scripts.place import Place

NAME = "border"
#: Who calls whom, as it is dialled in the PBX's country; the carrier and the record have the numbers in E.164.
CALLER, DIALLED, CALLED = "040111222", "0301234567", "+49301234567"
#: Seconds of tone: long enough for the ends to report in RTCP, every 5 s, how they hear each other.
TONE = 5.5
#: Seconds within which the SBC works, what is configured is in force, and the record is there.
SBC_PATIENCE = 60
TABLES_PATIENCE = 20
RECORD_PATIENCE = 20


@dataclass(frozen=True)
class End:
    """One end of the calls: a host at a site, and the SBC's port towards it."""

    site: str
    segment: str
    port: str
    net: str

    @property
    def host(self) -> str:
        return self._at(10)

    @property
    def sbc(self) -> str:
        return self._at(1)

    def _at(self, last: int) -> str:
        return f"{self.net.rpartition('.')[0]}.{last}"


PBX = End("pbx", "pbx-lan", "inside", "10.30.0.0/24")
CARRIER = End("carrier", "carrier-net", "outside", "198.51.100.0/24")
ENDS = (PBX, CARRIER)

SPEC: Json = {
    "ports": [{"name": end.port, "segment": end.segment, "addresses": [f"{end.sbc}/24"]} for end in ENDS],
    "country": "49",
    "tls": {},
}
TRUNKS: tuple[Json, ...] = (
    {
        "name": PBX.site,
        "side": PBX.port,
        "transport": "tls",
        "srtp": "required",
        "addresses": [{"host": PBX.host}],
    },
    {"name": CARRIER.site, "side": CARRIER.port, "addresses": [{"host": CARRIER.host}]},
)
ROUTES: tuple[Json, ...] = ({"name": "out", "from_trunk": PBX.site, "targets": [{"trunk": CARRIER.site}]},)


@dataclass(frozen=True)
class Call:
    """What the PBX's telephone measured, and the SBC's own record of the call."""

    measured: Json
    record: Json


def segments(account: Account) -> list[Json]:
    return [access(account, end.segment, end.site, end.net) for end in ENDS]


def make_premises(place: Place, account: Account) -> None:
    for end in ENDS:
        uni = account.unis[end.site]["interface"]
        lab(place, "up", end.site, "--uni", uni, "--address", f"{end.host}/24", "--gateway", end.sbc)


# --- the order ------------------------------------------------------------------------


def order(api: Api) -> Json:
    """The SBC, ordered unless it is there, with its trunks and routes in force."""
    if find_service(api, NAME) is None:
        item = {"action": "add", "kind": "sbc", "pop": POP, "name": NAME, "size": "S", "spec": SPEC}
        complete(api, api.post("orders", {"items": [item]}))
    elif under_way := order_under_way(api, [NAME]):
        complete(api, under_way)
    sbc = find_service(api, NAME)
    assert sbc is not None, "its order is complete"
    with step("Trunks and routes") as running:
        made = configure(api, sbc)
        running.outcome = f"{made} made" if made else "are there"
    return sbc


def configure(api: Api, sbc: Json) -> int:
    """Make what is missing, and wait until all is in force; how many that were."""
    made = 0
    for path, documents in (("trunks", TRUNKS), ("routes", ROUTES)):
        there = {document["name"] for document in api.find(f"sbc/{sbc['id']}/{path}")}
        for document in documents:
            if document["name"] not in there:
                api.post(f"sbc/{sbc['id']}/{path}", document)
                made += 1
    deadline = time.monotonic() + TABLES_PATIENCE
    while not api.get(f"sbc/{sbc['id']}/tables")["in_force"]:
        if time.monotonic() > deadline:
            raise DemoFailed(f"trunks and routes of {NAME} are not in force after {TABLES_PATIENCE} s")
        time.sleep(POLL)
    return made


# --- the call -------------------------------------------------------------------------


def place_call(place: Place, api: Api, sbc: Json) -> Call:
    """Call the carrier from the PBX, and read the record of it. By then the SBC has said how it is."""
    began = datetime.now(UTC)
    with step("Call PBX > SBC > carrier") as running, _echo(place):
        measured = _call(place)
        running.outcome = measured["message"]
    with step("Record of the call") as running:
        record = _record(api, sbc, began)
        running.outcome = f"{record['caller']} > {record['called']}"
    await_working(api, NAME, SBC_PATIENCE)
    return Call(measured, record)


@contextmanager
def _echo(place: Place) -> Iterator[None]:
    """The carrier's telephone, as long as the block runs."""
    python = str(place.python)
    command = (python, "-m", "worker.lab", "exec", CARRIER.site, "--", python, "-m", "sbc.probe.echo")
    with subprocess.Popen(
        [*command, "--echo", CARRIER.host], cwd=place.repo, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as echo:
        try:
            assert echo.stdout is not None
            if not any(line.startswith("answering") for line in echo.stdout):
                raise DemoFailed(f"the carrier's telephone does not listen at {CARRIER.host}")
            yield
        finally:
            echo.terminate()


def _call(place: Place) -> Json:
    """Call from the PBX, and what its telephone says of it."""
    caller = ("--caller", PBX.host, "--caller-transport", "tls", "--caller-srtp", "required")
    what = ("--sbc", PBX.sbc, "--caller-user", CALLER, "--number", DIALLED, "--tone", str(TONE))
    try:
        said = lab(place, "exec", PBX.site, "--", str(place.python), "-m", "sbc.probe", *caller, *what)
    except CommandFailed as error:
        raise DemoFailed(f"the call from the PBX to the carrier failed\n{error}") from error
    measured: Json = json.loads(said)
    return measured


def _record(api: Api, sbc: Json, since: datetime) -> Json:
    deadline = time.monotonic() + RECORD_PATIENCE
    while True:
        found = api.find(f"sbc/{sbc['id']}/records", since=since.isoformat(), called=CALLED)
        if found:
            return found[0]
        if time.monotonic() > deadline:
            raise DemoFailed(f"{NAME} has brought no record of the call after {RECORD_PATIENCE} s")
        time.sleep(POLL)


# --- telling --------------------------------------------------------------------------


def show(sbc: Json, call: Call) -> None:
    measured, record = call.measured, call.record
    say(f"[bold]Call {PBX.site} (TLS, SRTP) > {NAME} > {CARRIER.site} (UDP, RTP)[/]")
    figures = Table(show_header=False)
    figures.add_row("SBC", f"{sbc['id']}, accepted by a call of its own probe")
    figures.add_row("Set up in", f"{measured['setup']:.0f} ms")
    figures.add_row("MOS (ITU-T G.107)", f"{measured['mos']:.2f}")
    for end, heard in measured["quality"].items():
        if heard:
            figures.add_row(f"{end} hears", _quality(heard))
    console.print(figures)
    say("[bold]Record of the call, from the API[/]")
    for line in record_lines(record):
        print_plain(f"  {line}")


def record_lines(record: Json) -> Iterator[str]:
    """What people look for in a record."""
    yield f"{record['started']}  {record['caller']} > {record['called']}, {record['duration_ms'] / 1000:.1f} s"
    encrypted = (f"{'SRTP' if record[leg] else 'RTP'}" for leg in ("srtp_in", "srtp_out"))
    yield f"{record['from_trunk']} > route {record['route']} > {record['to_trunk']}: {record['code']} {record['cause']}"
    yield f"{record['codec']}, {' > '.join(encrypted)}"
    for end, heard in (record["quality"] or {}).items():
        yield f"{end}: {_quality(heard) if heard else 'quality not reported'}"


def _quality(heard: Json) -> str:
    mos = "not known" if heard["mos"] is None else f"{heard['mos']:.2f}"
    round_trip = "" if heard["round_trip"] is None else f", round trip {heard['round_trip']:.1f} ms"
    return f"MOS {mos}, loss {heard['loss']:.1f} %, jitter {heard['jitter'] or 0:.1f} ms{round_trip}"
