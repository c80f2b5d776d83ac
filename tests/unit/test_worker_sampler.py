"""The sampler: reads wires and control groups at once, and loses the oldest when the broker is away for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_worker_healer import ROUTER, Bed
from worker.errors import TemporaryError
from worker.runtime.cgroups import Groups
from worker.sampler import MOST_WAITING, Sampler
from worker.samples import Samples


class Meter:
    """A sampler of a PoP in memory, on which a router stands, and what it sends. Its clock goes by hand."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bed = Bed(folder)
        self.bed.want(ROUTER)
        assert self.bed.keeper.bring("svc-1", wait=True)
        self.sent: list[Samples] = []
        self.broker = True
        self.now = 1000.0
        monkeypatch.setattr("worker.sampler.time.monotonic", lambda: self.now)
        monkeypatch.setattr(self.bed.outbox, "samples", self._take)
        self.sampler = Sampler(self.bed.pop, self.bed.outbox)
        self.sampler.sample()

    def _take(self, samples: Samples) -> bool:
        if self.broker:
            self.sent.append(samples)
        return self.broker

    def after(self, seconds: float) -> dict[tuple[str, str], float]:
        """What is sent of a look so much later, by name and label."""
        self.now += seconds
        self.sampler.sample()
        ((instance, readings),) = self.sent[-1].readings
        assert instance == "svc-1"
        return {(reading.name, reading.label): reading.value for reading in readings}


@pytest.fixture
def meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Meter:
    return Meter(tmp_path, monkeypatch)


def test_what_a_port_carried_becomes_rates_by_the_second(meter: Meter) -> None:
    meter.bed.wiring.carry("svc-1", "edge", "lan0", in_bytes=10_000, in_packets=50, out_bytes=500, out_drops=20)
    found = meter.after(10)
    assert found["port.in.bits", "lan0"] == 8000
    assert found["port.in.packets", "lan0"] == 5
    assert found["port.out.bits", "lan0"] == 400
    assert found["port.out.drops", "lan0"] == 2


def test_the_processor_time_and_memory_of_a_vnf_are_told(meter: Meter) -> None:
    meter.bed.runtime.use("svc-1", "edge", "frr", cpu=2.5, memory=2**25)
    found = meter.after(10)
    assert found["cpu", "edge"] == 0.25
    assert found["memory", "edge"] == 2**25


def test_what_probes_told_is_told_on_without_asking_anybody(meter: Meter) -> None:
    asked = len(meter.bed.asked)
    meter.sampler = Sampler(meter.bed.pop, meter.bed.outbox, lambda _: {"bgp.neighbours.up": 2.0})
    assert meter.after(10)["bgp.neighbours.up", ""] == 2
    assert len(meter.bed.asked) == asked


def test_of_a_wire_that_was_made_anew_nothing_is_told_until_it_was_read_twice(meter: Meter) -> None:
    meter.bed.wiring.carry("svc-1", "edge", "lan0", in_bytes=10_000)
    meter.after(10)
    meter.bed.wiring.drop("svc-1", "edge", "lan0")
    meter.bed.keeper.bring("svc-1", wait=True)
    assert ("port.in.bits", "lan0") not in meter.after(10)
    assert meter.after(10)["port.in.bits", "lan0"] == 0


def test_what_is_not_in_force_is_not_told_of(meter: Meter) -> None:
    meter.bed.runtime.use("svc-1", "edge", "frr", cpu=1, memory=1)
    meter.bed.pop.store.accept("svc-1", 2, b"", deleted=True)
    sent = len(meter.sent)
    meter.now += 10
    meter.sampler.sample()
    assert len(meter.sent) == sent


def test_samples_wait_for_the_broker_the_latest_hour_of_them(meter: Meter) -> None:
    meter.broker = False
    for _ in range(MOST_WAITING + 5):
        meter.now += 10
        meter.sampler.sample()
    meter.broker = True
    before = len(meter.sent)
    meter.after(10)
    assert len(meter.sent) - before == MOST_WAITING
    assert [samples.at for samples in meter.sent] == sorted(samples.at for samples in meter.sent), "the oldest first"


def test_an_engine_that_is_away_costs_one_look_and_no_more(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise TemporaryError("the engine is away")

    with monkeypatch.context() as patch:
        patch.setattr(meter.bed.runtime, "usage", away)
        sent = len(meter.sent)
        meter.now += 10
        meter.sampler.sample()
        assert len(meter.sent) == sent
    meter.bed.wiring.carry("svc-1", "edge", "lan0", in_bytes=20_000)
    assert meter.after(10)["port.in.bits", "lan0"] == 8000, "over both intervals"


# --- control groups ---------------------------------------------------------------------


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_usage_is_read_of_control_groups_of_version_2(tmp_path: Path) -> None:
    folder = tmp_path / "system.slice" / "docker-abc.scope"
    write(
        folder, cpu__stat="usage_usec 2500000\nuser_usec 1\n", memory__current="4096", memory__stat="inactive_file 96\n"
    )
    groups = Groups.of("0::/system.slice/docker-abc.scope\n", tmp_path)
    assert groups is not None
    assert groups.used() == (2.5, 4000)


def test_usage_is_read_of_control_groups_of_version_1(tmp_path: Path) -> None:
    write(tmp_path / "cpuacct" / "docker" / "abc", cpuacct__usage="1500000000\n")
    write(
        tmp_path / "memory" / "docker" / "abc",
        memory__usage_in_bytes="4096\n",
        memory__stat="cache 1\ntotal_inactive_file 96\n",
    )
    groups = Groups.of("4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n", tmp_path)
    assert groups is not None
    assert groups.used() == (1.5, 4000)


def test_of_a_container_that_ended_nothing_is_known(tmp_path: Path) -> None:
    assert Groups.of("", tmp_path) is None
    assert Groups.of("0::/gone", tmp_path) is None
    (tmp_path / "ending").mkdir()
    groups = Groups.of("0::/ending", tmp_path)
    assert groups is not None
    assert groups.used() is None
