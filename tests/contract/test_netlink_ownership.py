"""What the netlink wiring does with things that are not its own, that were left half made, or that others make too."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import cached_property
from itertools import count
from pathlib import Path

import pytest

from tests.contract.beds import run
from worker.errors import PermanentError, TemporaryError
from worker.topology import Nic, Route, Segment, Wire, fabric_port
from worker.wiring.netlink import NetlinkWiring, kernel

pytestmark = pytest.mark.system

LAN = Segment("lan", mtu=1400)
WIRE = Wire(
    "edge",
    "lan",
    "lan",
    addresses=("10.0.0.1/24", "fd00::1/64"),
    routes=(Route("192.0.2.0/24", "10.0.0.254"),),
    rate_in=50_000_000,
    rate_out=20_000_000,
)


class Killed(BaseException):
    """As if the worker had been killed here: nothing catches it."""


class Counted:
    """Netlink that counts what changes something, and is killed right before or after the nth such request."""

    CHANGES = frozenset(
        {"add", "set", "del", "replace", "append", "add-filter", "property_add", "property_del"},
    )

    def __init__(self, ip, state):
        self._ip, self._state = ip, state

    def __getattr__(self, name):
        method = getattr(self._ip, name)

        def call(*args, **kwargs):
            if not args or args[0] not in self.CHANGES:
                return method(*args, **kwargs)
            self._state["count"] += 1
            dies = self._state["count"] == self._state.get("kill_at")
            if dies and not self._state["after"]:
                raise Killed
            result = method(*args, **kwargs)
            if dies:
                raise Killed
            return result

        return call


@pytest.fixture
def counted(monkeypatch):
    state = {"count": 0, "after": False}
    made = vars(kernel.Net)["_ip"].func

    class Watched(kernel.Net):
        @cached_property
        def _ip(self):
            return Counted(made(self), state)

    monkeypatch.setattr(kernel, "Net", Watched)
    return state


def links(netns):
    return {link["ifname"] for link in json.loads(run("ip", "-j", "-n", Path(netns).name, "link"))}


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def build(bed, netns):
    bed.wiring.add_segment(replace(LAN, uplink=Nic("uni1")))
    bed.wiring.plug("svc", WIRE, netns, mtu=LAN.mtu)


def observed(bed, netns):
    return bed.wiring.segments(), bed.wiring.wires("svc", {"edge": netns})


def remove_what_is_observed(bed, netns):
    """As the PoP does it: from what it finds, not from what it remembers."""
    segments, wires = observed(bed, netns)
    for wire in wires:
        bed.wiring.unplug("svc", wire.vnf, wire.port)
    for segment in segments:
        bed.wiring.remove_segment(segment.id)


def test_doing_it_again_sends_the_kernel_no_change(netlink, counted):
    netlink.add_interface("uni1")
    netns = netlink.namespace()
    build(netlink, netns)
    assert counted["count"]
    counted["count"] = 0
    build(netlink, netns)
    assert counted["count"] == 0


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_change_the_next_try_finishes_it(netlink, counted, after):
    netlink.add_interface("uni1")
    netns = netlink.namespace()
    build(netlink, netns)
    whole = observed(netlink, netns)
    remove_what_is_observed(netlink, netns)
    counted["after"] = after
    for kill_at in count(1):
        counted.update(count=0, kill_at=kill_at)
        try:
            build(netlink, netns)
        except Killed:
            build(netlink, netns)
        else:
            break
        assert observed(netlink, netns) == whole
        remove_what_is_observed(netlink, netns)
        assert links(netlink.fabric) == {"lo"}
    assert kill_at > 10


def test_killed_at_any_change_what_is_found_can_be_removed(netlink, counted):
    netlink.add_interface("uni1")
    netns = netlink.namespace()
    for kill_at in count(1):
        counted.update(count=0, kill_at=kill_at, after=False)
        try:
            build(netlink, netns)
        except Killed:
            remove_what_is_observed(netlink, netns)
        else:
            break
        # A bridge that was made and not yet marked is nobody's; the next segment that goes takes it along.
        assert len(links(netlink.fabric) - {"lo"}) <= (kill_at == 2)
        netlink.wiring.remove_segment("some")
        assert links(netlink.fabric) == {"lo"}
    assert kill_at > 10


def test_shaping_left_by_a_lost_namespace_is_found_and_removed(netlink):
    netns = netlink.namespace()
    netlink.wiring.add_segment(LAN)
    netlink.wiring.plug("svc", WIRE, netns, mtu=LAN.mtu)
    netlink.drop("svc", "edge", "lan")
    (left,) = netlink.wiring.wires("svc", {"edge": netns})
    assert (left.vnf, left.port, left.digest) == ("edge", "lan", None)
    assert netlink.wiring.instances() == {"svc"}
    netlink.wiring.unplug("svc", left.vnf, left.port)
    netlink.wiring.remove_segment("lan")
    assert links(netlink.fabric) == {"lo"}


def test_foreign_interfaces_are_not_seen_and_not_touched(netlink):
    netlink.wiring.add_segment(LAN)
    run("ip", "-n", netlink.fabric, "link", "add", "foreign", "type", "bridge")
    run("ip", "-n", netlink.fabric, "link", "add", "other", "type", "bridge")
    run("ip", "-n", netlink.fabric, "link", "property", "add", "dev", "other", "altname", "naas:otherpop:seg:lan:0:-")
    run("ip", "-n", netlink.fabric, "link", "property", "add", "dev", "other", "altname", "naas:some:thing")
    netns = netlink.namespace()
    netlink.wiring.plug("svc", WIRE, netns, mtu=LAN.mtu)
    assert [segment.id for segment in netlink.wiring.segments()] == ["lan"]
    remove_what_is_observed(netlink, netns)
    assert links(netlink.fabric) == {"lo", "foreign", "other"}


def test_two_pops_in_one_fabric_do_not_see_each_other(netlink):
    netns = netlink.namespace()
    netlink.wiring.add_segment(LAN)
    netlink.wiring.plug("svc", WIRE, netns, mtu=LAN.mtu)
    other = NetlinkWiring("otherpop", netlink.fabric, netlink.root)
    assert other.segments() == ()
    assert other.instances() == frozenset()
    assert other.wires("svc", {"edge": netns}) == ()


def test_what_the_vnf_adds_to_its_port_stays(netlink):
    netns = netlink.namespace()
    netlink.wiring.add_segment(LAN)
    netlink.wiring.plug("svc", WIRE, netns, mtu=LAN.mtu)
    vnf = Path(netns).name
    run("ip", "-n", vnf, "addr", "add", "10.0.0.100/32", "dev", "lan")
    run("ip", "-n", vnf, "route", "add", "198.51.100.0/24", "via", "10.0.0.253")
    netlink.wiring.plug("svc", replace(WIRE, addresses=("10.0.0.2/24",), routes=()), netns, mtu=LAN.mtu)
    (wire,) = netlink.wiring.wires("svc", {"edge": netns})
    assert wire.addresses == {"10.0.0.2/24", "10.0.0.100/32"}
    assert wire.routes == frozenset()
    assert "198.51.100.0/24" in run("ip", "-n", vnf, "route")


def test_an_interface_of_the_vnf_with_the_ports_name_is_left_alone_and_named(netlink):
    netns = netlink.namespace()
    netlink.wiring.add_segment(LAN)
    run("ip", "-n", Path(netns).name, "link", "add", "lan", "type", "bridge")
    with pytest.raises(PermanentError, match="an interface lan of its own"):
        netlink.wiring.plug("svc", WIRE, netns, mtu=LAN.mtu)
    assert links(netns) == {"lo", "lan"}


def test_an_address_taken_over_by_hand_is_taken_back(netlink):
    netns = netlink.namespace()
    netlink.wiring.add_segment(LAN)
    netlink.wiring.plug("svc", WIRE, netns, mtu=LAN.mtu)
    run("ip", "-n", Path(netns).name, "addr", "flush", "dev", "lan", "scope", "global")
    run("ip", "-n", Path(netns).name, "addr", "add", "10.0.0.1/24", "dev", "lan")
    netlink.wiring.plug("svc", WIRE, netns, mtu=LAN.mtu)
    (wire,) = netlink.wiring.wires("svc", {"edge": netns})
    assert wire.addresses == set(WIRE.addresses)
    assert wire.routes == set(WIRE.routes)


def test_a_namespace_that_ended_is_waited_for(netlink):
    netlink.wiring.add_segment(LAN)
    with pytest.raises(TemporaryError, match="no network namespace"):
        netlink.wiring.plug("svc", WIRE, "/proc/4194303/ns/net", mtu=LAN.mtu)


def test_a_plain_file_in_place_of_the_fabric_is_replaced(netlink):
    Path("/run/netns", netlink.fabric).touch()
    assert netlink.wiring.segments() == ()
    netlink.wiring.add_segment(LAN)
    assert [segment.id for segment in netlink.wiring.segments()] == ["lan"]


def test_marks_that_are_too_long_are_refused_before_anything_is_made(netlink):
    netns = netlink.namespace()
    netlink.wiring.add_segment(LAN)
    with pytest.raises(PermanentError, match="shorter names"):
        netlink.wiring.plug("i" * 90, WIRE, netns, mtu=LAN.mtu)
    assert fabric_port("i" * 90, "edge", "lan") not in links(netlink.fabric)


def test_calls_leave_no_descriptor_open(netlink):
    netns = netlink.namespace()
    netlink.add_interface("uni1")
    build(netlink, netns)
    before = open_descriptors()
    for _ in range(5):
        build(netlink, netns)
        observed(netlink, netns)
    remove_what_is_observed(netlink, netns)
    assert open_descriptors() == before


RACER = """
import sys
from worker.topology import Segment, Wire
from worker.wiring.netlink import NetlinkWiring
pop, fabric, root, number, netns = sys.argv[1:]
wiring = NetlinkWiring(pop, fabric, root)
sys.stdin.readline()
wiring.add_segment(Segment("lan", 1400))
wiring.plug("svc" + number, Wire("edge", "lan", "lan", (f"10.0.0.{number}/24",), rate_out=10**7), netns, mtu=1400)
"""


def test_processes_that_build_one_fabric_at_a_time_do_not_disturb_each_other(netlink):
    namespaces = {str(number): netlink.namespace() for number in range(1, 5)}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, netlink.pop, netlink.fabric, netlink.root, number, netns],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, netns in namespaces.items()
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        _, complaint = racer.communicate(timeout=30)
        assert racer.returncode == 0, complaint
    (segment,) = netlink.wiring.segments()
    assert (segment.digest, len(segment.ports)) == (LAN.digest, 4)
    for number, netns in namespaces.items():
        (wire,) = netlink.wiring.wires(f"svc{number}", {"edge": netns})
        assert wire.digest
        assert wire.shaped_out
