"""A PBX behind a NAT that forgets soon and gives other ports: it is reached where it is, whatever it says."""

from __future__ import annotations

import dataclasses
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from sbc.policy import Address
from tests.system.sbc.box import INSIDE, Box, run, until
from tests.system.sbc.calls import PBX, carried, tables
from tests.system.sbc.hiding import WORDS, hiding
from tests.system.sbc.phone import Message, Phone, connect, hang_up
from tests.system.sbc.rtp import exchange

pytestmark = pytest.mark.system

#: Behind the NAT, which is the PBX's side of the SBC.
HOME = "192.168.77"
#: Seconds after which the NAT has forgotten a binding, and between two things that the SBC sends to keep it.
FORGETS, KEEPS = 3, 1
#: From this port what goes out keeps its port, as where a PBX has been given one.
KEPT = 5080
RULES = f"""
table ip nat {{
  chain out {{
    type nat hook postrouting priority srcnat;
    oifname "sbc0" udp sport {KEPT} masquerade
    oifname "sbc0" masquerade random
  }}
}}
"""
SOME = 25
#: Kamailio's state of a dialog that has ended.
OVER = 5


@pytest.fixture(scope="module")
def standing() -> Iterator[Box]:
    box = Box(keep_alive=KEEPS)
    try:
        box.start()
        yield box
    finally:
        box.close()


@pytest.fixture(scope="module")
def home(standing: Box) -> Iterator[str]:
    """A namespace whose way to the SBC leads through the NAT."""
    nat, home = standing.namespace("pbx"), f"{standing.name}-home"
    wire = f"v{secrets.token_hex(4)}"
    run("ip", "netns", "add", home)
    try:
        run("ip", "-n", nat, "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", home)
        for namespace, device, host in ((nat, wire, 1), (home, "eth0", 2)):
            run("ip", "-n", namespace, "addr", "add", f"{HOME}.{host}/24", "dev", device)
            run("ip", "-n", namespace, "link", "set", device, "up")
        run("ip", "-n", home, "route", "add", "default", "via", f"{HOME}.1")
        subprocess.run(["ip", "netns", "exec", nat, "nft", "-f", "-"], input=RULES, text=True, check=True)
        timeouts = [f"net.netfilter.nf_conntrack_udp_timeout{which}={FORGETS}" for which in ("", "_stream")]
        run("ip", "netns", "exec", nat, "sysctl", "-qw", "net.ipv4.ip_forward=1", *timeouts)
        yield home
    finally:
        run("ip", "netns", "del", home)


@pytest.fixture
def phone(standing: Box, home: str) -> Iterator[Phone]:
    with closing(Phone(standing, "pbx", port=5070, media=31000, at=(home, f"{HOME}.2"))) as phone:
        yield phone


@pytest.fixture
def carrier(standing: Box) -> Iterator[Phone]:
    with closing(Phone(standing, "carrier")) as phone:
        yield phone


def stay_silent(phone: Phone, seconds: float = FORGETS + 1) -> list[Message]:
    """Answer what comes to keep the binding, and say nothing of one's own; what came."""
    end, came = time.monotonic() + seconds, []
    while (left := end - time.monotonic()) > 0:
        try:
            came.append(phone.receive(left))
        except TimeoutError:
            break
        assert came[-1].start.startswith("OPTIONS "), came[-1].start
        phone.reply(came[-1], 200)
    return came


def test_a_phone_behind_a_nat_calls_and_is_reached_for_as_long_as_the_call_lasts(
    standing: Box, phone: Phone, carrier: Phone
) -> None:
    standing.load(tables(), carried(pbx={"nat": True}))
    with hiding(standing, WORDS | {"pbx": (*WORDS["pbx"], f"{HOME}.")}):
        connect(phone, carrier)
        exchange([phone.media, carrier.media], SOME)
        assert carrier.media.heard.total() == SOME
        assert phone.media.heard.total() >= SOME - 2, "at most what came before the relay had heard the phone"
        assert len(stay_silent(phone)) >= FORGETS - 1
        offer(carrier, phone)
        offer(phone, carrier)
        stay_silent(phone)
        hang_up(carrier, phone)


def offer(one: Phone, other: Phone) -> None:
    """One end of a call offers new media, and the other agrees."""
    one.request("INVITE", one.describe())
    other.reply(other.asked("INVITE"), 200, other.describe())
    assert one.answer_to("INVITE").code == 200
    one.acknowledge()
    other.asked("ACK")


def test_without_it_the_nat_forgets_and_nothing_arrives(standing: Box, phone: Phone, carrier: Phone) -> None:
    standing.load(tables(), carried())
    connect(phone, carrier)
    carrier.request("INFO")
    assert phone.hears_nothing(), "the Contact is of no use outside"
    hang_up(phone, carrier)


def test_the_sbc_ends_a_call_where_the_phone_is(standing: Box, phone: Phone, carrier: Phone) -> None:
    standing.load(tables(), carried(pbx={"nat": True}))
    connect(phone, carrier)
    offer(phone, carrier)
    (dialog,) = (dialog for dialog in standing.rpc("dlg.list") if dialog["state"] < OVER)
    standing.rpc("dlg.end_dlg", dialog["h_entry"], dialog["h_id"])
    for end in (phone, carrier):
        end.reply(end.asked("BYE"), 200)
    until(lambda: standing.counter("*") == 0)


def test_a_pbx_behind_a_nat_can_be_called_for_as_long_as_it_was_heard_once(
    standing: Box, home: str, carrier: Phone
) -> None:
    # At a port where nothing of other calls was sent, which the NAT would remember.
    trunk = dataclasses.replace(PBX, addresses=(Address(f"sip:{INSIDE}.2:{KEPT}"),))
    with closing(Phone(standing, "pbx", port=KEPT, media=31000, at=(home, f"{HOME}.2"))) as pbx:
        assert is_heard(pbx)
        standing.load(tables(trunk), carried(pbx={"nat": True}))
        assert len(stay_silent(pbx, 2 * FORGETS)) >= FORGETS
        connect(carrier, pbx)
        exchange([pbx.media, carrier.media], SOME)
        assert carrier.media.heard.total() == SOME
        stay_silent(pbx)
        hang_up(carrier, pbx)


def is_heard(phone: Phone) -> bool:
    """Whether the SBC answers OPTIONS of a phone, which is in no call then."""
    phone.target = f"sip:{INSIDE}.1"
    phone.local, phone.remote = f"<sip:pbx@{HOME}.2>;tag={phone.tag}", f"<{phone.target}>"
    phone.request("OPTIONS")
    answer = phone.answer_to("OPTIONS")
    phone.remote = ""
    return answer.code == 200
