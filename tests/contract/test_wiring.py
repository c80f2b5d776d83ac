"""What every wiring promises, held against the double and the kernel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface

import pytest

from worker.errors import PermanentError, TemporaryError
from worker.topology import Nic, Route, Segment, Wire, fabric_port

LAN = Segment("lan", mtu=1400)
WIRE = Wire(
    "edge",
    "lan",
    "lan",
    addresses=("10.0.0.1/24", "fd00:0::1/64"),
    mac="02:00:00:00:00:01",
    routes=(Route("192.0.2.0/24", "10.0.0.254"), Route("2001:DB8::/32", "fd00::fe")),
    rate_in=50_000_000,
    rate_out=20_000_000,
)
PLAIN = Wire("edge", "wan", "lan", addresses=("10.0.0.9/24",))


@pytest.fixture
def wiring(wiring_bed):
    return wiring_bed.wiring


@pytest.fixture
def netns(wiring_bed):
    return wiring_bed.namespace()


@pytest.fixture
def plugged(wiring, netns):
    """A wiring with LAN and WIRE."""
    wiring.add_segment(LAN)
    wiring.plug("svc", WIRE, netns, mtu=LAN.mtu)
    return wiring


def only(wiring, netns):
    (wire,) = wiring.wires("svc", {"edge": netns})
    return wire


class TestSegments:
    def test_without_a_fabric_there_is_nothing(self, wiring, netns):
        assert wiring.segments() == ()
        assert wiring.instances() == frozenset()
        assert wiring.counters() == ()
        assert wiring.wires("svc", {"edge": netns}) == ()
        wiring.remove_segment("lan")
        wiring.unplug("svc", "edge", "lan")

    def test_adding_a_segment_twice_makes_one(self, wiring):
        for _ in range(2):
            wiring.add_segment(LAN)
            (segment,) = wiring.segments()
            assert (segment.id, segment.digest, segment.ports) == ("lan", LAN.digest, frozenset())

    def test_segments_are_sorted_by_id(self, wiring):
        for id in ("b", "c", "a"):
            wiring.add_segment(Segment(id))
        assert [segment.id for segment in wiring.segments()] == ["a", "b", "c"]

    def test_a_changed_mtu_keeps_the_wires(self, plugged, netns):
        changed = replace(LAN, mtu=1300)
        plugged.add_segment(changed)
        (segment,) = plugged.segments()
        assert segment.digest == changed.digest
        assert only(plugged, netns).segment == "lan"

    def test_removing_a_segment_twice_is_success(self, wiring):
        wiring.add_segment(LAN)
        for _ in range(2):
            wiring.remove_segment("lan")
            assert wiring.segments() == ()

    def test_a_segment_with_a_port_stays(self, plugged, netns):
        plugged.remove_segment("lan")
        (segment,) = plugged.segments()
        assert segment.ports == {fabric_port("svc", "edge", "lan")}
        assert only(plugged, netns).digest == WIRE.digest
        plugged.unplug("svc", "edge", "lan")
        plugged.remove_segment("lan")
        assert plugged.segments() == ()

    def test_an_uplink_that_is_not_there_is_waited_for(self, wiring_bed, wiring):
        segment = Segment("site", uplink=Nic("uni7"))
        with pytest.raises(TemporaryError, match=r"uplink|uni7"):
            wiring.add_segment(segment)
        wiring_bed.add_interface("uni7")
        wiring.add_segment(segment)
        (found,) = wiring.segments()
        assert found.digest == segment.digest

    def test_a_lost_uplink_is_seen_and_made_again(self, wiring_bed, wiring):
        segment = Segment("site", uplink=Nic("uni7"))
        wiring_bed.add_interface("uni7")
        wiring.add_segment(segment)
        wiring_bed.remove_interface("uni7")
        (lost,) = wiring.segments()
        assert lost.digest is None
        wiring_bed.add_interface("uni7")
        wiring.add_segment(segment)
        (found,) = wiring.segments()
        assert found.digest == segment.digest

    def test_an_uplink_comes_and_goes_without_touching_the_wires(self, wiring_bed, plugged, netns):
        before = only(plugged, netns)
        wiring_bed.add_interface("uni7")
        for segment in (replace(LAN, uplink=Nic("uni7")), LAN):
            plugged.add_segment(segment)
            (found,) = plugged.segments()
            assert found.digest == segment.digest
            assert only(plugged, netns) == before


class TestWires:
    def test_a_wire_is_found_as_it_was_plugged(self, plugged, netns):
        wire = only(plugged, netns)
        assert (wire.vnf, wire.port, wire.segment, wire.digest) == ("edge", "lan", "lan", WIRE.digest)
        assert (wire.up, wire.mac, wire.mtu) == (True, "02:00:00:00:00:01", 1400)
        assert wire.addresses == {"10.0.0.1/24", "fd00::1/64"}
        assert wire.routes == {Route("192.0.2.0/24", "10.0.0.254"), Route("2001:db8::/32", "fd00::fe")}
        assert (wire.shaped_in, wire.shaped_out) == (True, True)
        assert plugged.instances() == {"svc"}

    def test_plugging_twice_changes_nothing(self, plugged, netns):
        before = only(plugged, netns)
        plugged.plug("svc", WIRE, netns, mtu=LAN.mtu)
        assert only(plugged, netns) == before

    def test_a_wire_without_wishes_gets_a_mac_of_its_own_and_no_limits(self, wiring, netns):
        wiring.add_segment(LAN)
        wiring.plug("svc", PLAIN, netns, mtu=LAN.mtu)
        wire = only(wiring, netns)
        assert wire.mac
        assert (wire.shaped_in, wire.shaped_out) == (False, False)

    def test_a_mac_is_the_same_after_plugging_anew(self, wiring, netns):
        wiring.add_segment(LAN)
        wiring.plug("svc", PLAIN, netns, mtu=LAN.mtu)
        before = only(wiring, netns)
        wiring.unplug("svc", "edge", "wan")
        wiring.plug("svc", PLAIN, netns, mtu=LAN.mtu)
        assert only(wiring, netns) == before

    def test_wires_are_sorted_by_vnf_and_port(self, wiring_bed, plugged, netns):
        other = wiring_bed.namespace()
        plugged.plug("svc", replace(PLAIN, port="a"), netns, mtu=1400)
        plugged.plug("svc", replace(PLAIN, vnf="core"), other, mtu=1400)
        wires = plugged.wires("svc", {"edge": netns, "core": other})
        assert [(wire.vnf, wire.port) for wire in wires] == [("core", "wan"), ("edge", "a"), ("edge", "lan")]

    def test_a_wire_needs_its_segment(self, wiring, netns):
        with pytest.raises(TemporaryError, match="lan"):
            wiring.plug("svc", WIRE, netns, mtu=1400)
        wiring.add_segment(Segment("other"))
        with pytest.raises(TemporaryError, match="lan"):
            wiring.plug("svc", WIRE, netns, mtu=1400)

    @pytest.mark.parametrize(
        "change",
        [
            {"addresses": ("10.0.0.2/24",)},
            {"addresses": ("10.0.0.2/24", "10.0.0.1/24", "10.0.0.3/24", "fd00::5/64")},
            {"addresses": (), "routes": ()},
            {"mac": "02:00:00:00:00:02"},
            {"routes": (Route("0.0.0.0/0", "10.0.0.254"), Route("::/0", "fd00::fe"))},
            {"routes": (Route("192.0.2.0/24", "10.0.0.253"),)},
            {"rate_in": None},
            {"rate_out": None},
            {"rate_in": None, "rate_out": None},
            {"rate_in": 1_000_000, "rate_out": 2_000_000},
        ],
        ids=str,
    )
    def test_a_change_is_applied_and_taken_back_in_place(self, plugged, netns, change):
        before = only(plugged, netns)
        changed = replace(WIRE, **change)
        if "addresses" in change:
            changed = replace(changed, routes=())
        plugged.plug("svc", changed, netns, mtu=1400)
        wire = only(plugged, netns)
        assert wire.digest == changed.digest
        assert wire.addresses == {str(ip_interface(address)) for address in changed.addresses}
        assert wire.mac == changed.mac
        assert (wire.shaped_in, wire.shaped_out) == (changed.rate_in is not None, changed.rate_out is not None)
        plugged.plug("svc", WIRE, netns, mtu=1400)
        assert only(plugged, netns) == before

    def test_a_wire_moves_to_another_segment_and_mtu(self, plugged, netns):
        plugged.add_segment(Segment("dmz", mtu=1300))
        moved = replace(WIRE, segment="dmz")
        plugged.plug("svc", moved, netns, mtu=1300)
        wire = only(plugged, netns)
        assert (wire.segment, wire.mtu, wire.digest) == ("dmz", 1300, moved.digest)

    def test_what_is_no_address_is_refused(self, wiring, netns):
        wiring.add_segment(LAN)
        with pytest.raises(PermanentError, match=r"10\.0\.0\.300"):
            wiring.plug("svc", replace(WIRE, addresses=("10.0.0.300/24",)), netns, mtu=1400)

    def test_every_wire_has_counters_by_its_name_in_the_fabric(self, wiring_bed, plugged):
        plugged.plug("svc", replace(PLAIN, vnf="core"), wiring_bed.namespace(), mtu=1400)
        found = {counters.port: counters for counters in plugged.counters()}
        assert set(found) == {fabric_port("svc", "edge", "lan"), fabric_port("svc", "core", "wan")}
        assert all(counters.in_drops == counters.in_errors == 0 for counters in found.values())

    def test_counters_go_on_while_a_wire_is_changed_and_begin_anew_with_another(self, plugged, netns):
        (before,) = plugged.counters()
        plugged.plug("svc", replace(WIRE, rate_in=None), netns, mtu=1400)
        (changed,) = plugged.counters()
        assert changed.index == before.index
        assert changed.in_packets >= before.in_packets
        plugged.unplug("svc", "edge", "lan")
        assert plugged.counters() == ()
        plugged.plug("svc", WIRE, netns, mtu=1400)
        (anew,) = plugged.counters()
        assert anew.index != before.index

    def test_unplugging_twice_leaves_nothing(self, plugged, netns):
        for _ in range(2):
            plugged.unplug("svc", "edge", "lan")
            assert plugged.wires("svc", {"edge": netns}) == ()
            assert plugged.instances() == frozenset()
        (segment,) = plugged.segments()
        assert segment.ports == frozenset()

    def test_a_dropped_wire_is_seen_and_plugged_again(self, wiring_bed, plugged, netns):
        before = only(plugged, netns)
        wiring_bed.drop("svc", "edge", "lan")
        assert [wire for wire in plugged.wires("svc", {"edge": netns}) if wire.digest] == []
        plugged.plug("svc", WIRE, netns, mtu=1400)
        assert only(plugged, netns) == before

    def test_a_half_made_wire_is_seen_and_finished(self, wiring_bed, plugged, netns):
        before = only(plugged, netns)
        wiring_bed.halve("svc", "edge", "lan")
        assert only(plugged, netns).digest is None
        plugged.plug("svc", WIRE, netns, mtu=1400)
        assert only(plugged, netns) == before

    def test_a_wire_into_an_old_namespace_is_seen_and_made_anew(self, wiring_bed, plugged):
        new = wiring_bed.namespace()
        assert only(plugged, new).digest is None
        plugged.plug("svc", WIRE, new, mtu=1400)
        assert only(plugged, new).digest == WIRE.digest

    def test_a_wire_whose_vnf_does_not_run_counts_as_half_made(self, plugged):
        (wire,) = plugged.wires("svc", {})
        assert wire.digest is None

    def test_what_a_lost_namespace_leaves_can_be_unplugged(self, wiring_bed, plugged, netns):
        wiring_bed.lose_namespace(netns)
        for wire in plugged.wires("svc", {}):
            assert wire.digest is None
            plugged.unplug("svc", wire.vnf, wire.port)
        plugged.unplug("svc", "edge", "lan")
        assert plugged.instances() == frozenset()

    def test_a_lost_fabric_is_made_again(self, wiring_bed, plugged, netns):
        before = only(plugged, netns)
        wiring_bed.lose_fabric()
        assert plugged.segments() == ()
        assert plugged.wires("svc", {"edge": netns}) == ()
        plugged.add_segment(LAN)
        plug_patiently(plugged, netns)
        assert only(plugged, netns) == before

    def test_instances_do_not_see_each_other(self, wiring_bed, plugged, netns):
        other = wiring_bed.namespace()
        plugged.plug("other", WIRE, other, mtu=1400)
        assert plugged.instances() == {"svc", "other"}
        plugged.unplug("other", "edge", "lan")
        assert only(plugged, netns).digest == WIRE.digest


def plug_patiently(wiring, netns):
    """The kernel takes a lost fabric's wires away in its own time: until then a plug says to try again."""
    import time

    for _ in range(50):
        try:
            return wiring.plug("svc", WIRE, netns, mtu=1400)
        except TemporaryError:
            time.sleep(0.1)
    raise AssertionError("the old wire never went away")
