"""An SBC from its order over REST to a call between two sites and its record, and back to nothing."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from tests.platform import Json, Platform, wait_for
from tests.routers import A, B
from worker import lab

#: Alone: it says how soon things are in force.
pytestmark = [pytest.mark.system, pytest.mark.alone]

SCENARIOS = Path(__file__).parent / "sbc/scenarios"
#: The PBX is the host behind UNI a, the carrier that behind b; the SBC is at .1 of both.
PBX, CARRIER = A.address(4, 10), B.address(4, 10)
SPEC: Json = {
    "ports": [
        {"name": "inside", "segment": "lan-a", "addresses": [f"{A.address(4, 1)}/24"]},
        {"name": "outside", "segment": "lan-b", "addresses": [f"{B.address(4, 1)}/24"]},
    ],
    "country": "49",
    "tls": {},
}


#: How a trunk proves itself, by a password that is in no other test.
PROOF = {"method": "digest", "user": "remote", "password": "kept between us two"}


class Standing:
    """An ordered SBC between a PBX and a carrier."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        platform.start_pages()
        session = platform.run_inside("tests.visitor", platform.tenant).strip()
        base = str(platform.client.base_url).removesuffix("/api/v1/")
        self.portal = httpx.Client(base_url=base, cookies={"sessionid": session}, timeout=30)
        order = platform.done(platform.add("border", SPEC, kind="sbc"), seconds=90)
        self.service: str = order["items"][0]["service"]["id"]
        self.at = f"sbc/{self.service}"

    def get(self, path: str, **query: str) -> Json:
        return self.platform.get(f"{self.at}/{path}", **query)

    def post(self, path: str, document: Json) -> Json:
        return self.platform.post(f"{self.at}/{path}", document)

    def established(self) -> list[Json]:
        """Calls of customers that were answered and stand. The platform's own test calls come and go beside them."""
        return [call for call in self.get("calls")["results"] if call["answered"] and call["from_trunk"] == "pbx"]

    def in_force(self) -> bool:
        return bool(self.get("tables")["in_force"])

    def configure(self) -> None:
        self.post("trunks", {"name": "pbx", "side": "inside", "addresses": [{"host": PBX}]})
        self.fill_in("trunks/new/", {"name": "carrier", "side": "outside", "addresses[0].host": CARRIER})
        self.post("routes", {"name": "out", "from_trunk": "pbx", "targets": [{"trunk": "carrier"}]})

    def fill_in(self, page: str, answers: Json) -> None:
        """Save a form of the portal, as a browser without scripts does."""
        address = f"/t/{self.platform.tenant}/services/{self.service}/sbc/{page}"
        form = self.portal.get(address)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        assert token is not None, form.text
        usual = {"enabled": "on", "transport": "udp", "addresses.rows": "1", "act": "save"}
        saved = self.portal.post(address, data=usual | answers | {"csrfmiddlewaretoken": token[1]})
        assert saved.status_code == 303, saved.text

    def delete(self) -> None:
        self.platform.done({"action": "delete", "service": self.service})


@pytest.fixture(scope="module")
def standing(platform: Platform) -> Iterator[Standing]:
    before = platform.traces()
    standing = Standing(platform)
    yield standing
    standing.portal.close()
    standing.delete()
    assert platform.traces() == before


def sipp(platform: Platform, site: str, scenario: str, *options: str) -> subprocess.Popen[bytes]:
    """A sipp at the host of a site."""
    host = {"a": PBX, "b": CARRIER}[site]
    command = ["sipp", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-nostdin", "-i", host, "-mi", host, "-p", "5060"]
    inside = lab.inside(platform.site(site), *command, "-m", "1", *options)
    return subprocess.Popen(inside, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def called(platform: Platform, held: str = "300") -> Iterator[None]:
    """A call from the PBX to the carrier; goes on when it is established, and ends when both have hung up."""
    answering = sipp(platform, "b", "answer", "-mp", "30000")
    time.sleep(0.5)
    calling = sipp(platform, "a", "call", "-mp", "31000", "-s", "040222", "-d", held, f"{A.address(4, 1)}:5060")
    try:
        yield
        assert [calling.wait(30), answering.wait(30)] == [0, 0]
    finally:
        for process in (calling, answering):
            process.kill()
            process.wait()


def test_an_ordered_sbc_was_accepted_by_a_call(standing: Standing) -> None:
    (certificate,) = wait_for(lambda: standing.get("test-calls")["results"], "the birth certificate")
    assert (certificate["occasion"], certificate["passed"]) == ("acceptance", True)
    assert "MOS" in certificate["message"]


def test_what_is_configured_by_a_form_or_over_rest_is_in_force_within_a_second(standing: Standing) -> None:
    standing.configure()
    began = time.monotonic()
    wait_for(standing.in_force, "the tables being in force", 5)
    assert time.monotonic() - began < 1


def test_a_call_to_the_trunk_of_the_form_is_seen_while_it_stands_and_recorded_when_it_ends(standing: Standing) -> None:
    for _ in called(standing.platform, held="4000"):
        (call,) = wait_for(standing.established, "the call standing", 10)
        assert (call["from_trunk"], call["to_trunk"], call["called"]) == ("pbx", "carrier", "+4940222")
    (record,) = wait_for(lambda: standing.get("records", from_trunk="pbx")["results"], "the record", 20)
    assert (record["from_trunk"], record["to_trunk"], record["route"]) == ("pbx", "carrier", "out")
    assert (record["cause"], record["code"], record["called"]) == ("caller-hung-up", 200, "+4940222")
    assert 3500 < record["duration_ms"] < 6000


def serial(platform: Platform) -> int:
    """The serial number of the certificate that a telephone sees at the SBC's TLS port."""
    command = ("openssl", "s_client", "-connect", f"{A.address(4, 1)}:5061")
    inside = lab.inside(platform.site("a"), *command)
    shown = subprocess.run(inside, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=10)
    return x509.load_pem_x509_certificate(shown.stdout[shown.stdout.index("-----BEGIN") :].encode()).serial_number


def shows(platform: Platform, number: int) -> bool:
    return serial(platform) == number


def test_a_certificate_is_renewed_while_a_call_stands_and_nothing_restarts(standing: Standing) -> None:
    platform = standing.platform
    started = {name: container_start(name) for name in platform.containers(instance=standing.service)}
    before = serial(platform)
    assert int(standing.get("certificate")["serial"], 16) == before
    for _ in called(platform, held="4000"):
        wait_for(standing.established, "the call standing", 10)
        renewed = int(standing.post("certificate/renewal", {})["serial"], 16)
        assert renewed != before
        wait_for(partial(shows, platform, renewed), "the new certificate at the TLS port", 4)
        assert len(standing.established()) == 1, "the call stands"
    assert started == {name: container_start(name) for name in platform.containers(instance=standing.service)}
    wait_for(lambda: platform.get(f"services/{standing.service}")["state"] == "active", "being done", 10)


def test_secrets_lie_nowhere_but_in_the_sbc_itself(standing: Standing) -> None:
    """Not in databases, the broker's file, logs, answers, previews or what Docker shows."""
    platform = standing.platform
    standing.post("trunks", {"name": "remote", "side": "outside", "authentication": PROOF})
    wait_for(standing.in_force, "the tables being in force", 5)
    (kamailio,) = (name for name in platform.containers(instance=standing.service) if name.endswith("kamailio"))
    kept = [docker("exec", kamailio, "cat", f"/etc/naas/{name}") for name in ("settings.json", "hide.key")]
    secrets = [PROOF["password"], json.loads(kept[0])["redis_password"], kept[1].strip()]
    order = {"items": [{"action": "modify", "service": standing.service, "spec": SPEC | {"most_calls": 60}}]}
    service = f"services/{standing.service}"
    answers = [platform.get(path) for path in (service, f"{service}/events", f"{service}/inquiries", "orders")]
    answers += [standing.get(path) for path in ("trunks", "trunks/remote", "tables", "calls", "test-calls")]
    answers.append(platform.post("orders/preview", order))
    shown = [json.dumps(answers)]
    for name in platform.containers(instance=standing.service):
        shown += [docker("inspect", name), docker("logs", name)]
    assert [secret for secret in secrets for text in shown if secret in text] == []
    files = [path for path in platform.place.var.rglob("*") if path.is_file()]
    holding = {path for path in files for secret in secrets if secret.encode() in path.read_bytes()}
    assert holding, "the SBC has them"
    assert {path for path in holding if standing.service not in str(path)} == set()


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_a_test_call_can_be_made_at_any_time(standing: Standing) -> None:
    made = standing.platform.post(f"{standing.at}/test-calls", {"transport": "tcp"}, Prefer="wait=20")
    assert made["passed"], made


def test_a_changed_limit_restarts_nothing(standing: Standing) -> None:
    started = [container_start(name) for name in standing.platform.containers(instance=standing.service)]
    spec = {"most_calls": 50}
    whole = standing.platform.get(f"services/{standing.service}")["spec"] | spec
    standing.platform.done({"action": "modify", "service": standing.service, "spec": whole})
    assert started == [container_start(name) for name in standing.platform.containers(instance=standing.service)]


def container_start(name: str) -> str:
    return subprocess.check_output(["docker", "inspect", "-f", "{{.State.StartedAt}}", name], text=True)
