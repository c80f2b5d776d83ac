"""The lab against the real kernel. Each test plays the PoP itself: a namespace with a macvlan on the UNI."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worker import lab

pytestmark = pytest.mark.system


def ip(*arguments: str, netns: str | None = None) -> list[dict[str, Any]]:
    command = ["ip", "-json", *(("-netns", netns) if netns else ()), *arguments]
    found: list[dict[str, Any]] = json.loads(subprocess.check_output(command, text=True) or "[]")
    return found


def link_names(netns: str | None = None) -> set[str]:
    return {link["ifname"] for link in ip("link", "show", netns=netns)}


def run(name: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(lab.inside(name, *command), check=False, capture_output=True, text=True, timeout=30)


def command_line(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker.lab", *arguments], check=False, capture_output=True, text=True, timeout=30
    )


@pytest.fixture
def prefix() -> Iterator[str]:
    """A name that only this test uses; every site whose name starts with it is gone afterwards."""
    prefix = f"t{secrets.token_hex(2)}"
    yield prefix
    for name in lab.names():
        if name.startswith(prefix):
            lab.down(name)


@pytest.fixture
def wanted(prefix: str) -> lab.Site:
    return lab.site(f"{prefix}-a", f"{prefix}a", ["10.77.1.10/24", "fd77:1::10/64"])


@pytest.fixture
def namespace(prefix: str) -> Iterator[Callable[[str], str]]:
    made: list[str] = []

    def make(name: str) -> str:
        ip("netns", "add", f"{prefix}-{name}")
        made.append(f"{prefix}-{name}")
        return made[-1]

    yield make
    for name in made:
        ip("netns", "delete", name)


@pytest.fixture
def router(namespace: Callable[[str], str]) -> Callable[..., str]:
    """Gives a namespace with addresses on the UNI, as a PoP would take it over."""

    def make(uni: str, *addresses: str) -> str:
        name = namespace("pop")
        ip("link", "add", "link", uni, "name", f"{uni}m", "type", "macvlan", "mode", "passthru")
        ip("link", "set", f"{uni}m", "netns", name)
        for address in addresses:
            ip("address", "add", address, "dev", f"{uni}m", *(("nodad",) if ":" in address else ()), netns=name)
        ip("link", "set", f"{uni}m", "up", netns=name)
        return name

    return make


def test_a_host_reaches_the_router_on_its_uni_by_both_families(wanted, router):
    lab.up(wanted)
    router(wanted.uni, "10.77.1.1/24", "fd77:1::1/64")
    assert run(wanted.name, "ping", "-c1", "-W2", "10.77.1.1").returncode == 0
    assert run(wanted.name, "ping", "-c1", "-W2", "fd77:1::1").returncode == 0


def test_a_host_sends_what_is_elsewhere_to_the_first_address_of_its_network(wanted):
    lab.up(wanted)
    assert lab.standing(wanted.name).gateways == ("10.77.1.1", "fd77:1::1")


def test_a_gateway_can_be_named(wanted):
    lab.up(lab.site(wanted.name, wanted.uni, ["10.77.1.10/24"], ["10.77.1.254"]))
    assert lab.standing(wanted.name).gateways == ("10.77.1.254",)


def test_making_a_site_twice_leaves_its_interfaces_alone(wanted):
    lab.up(wanted)
    before = ip("link", "show", "dev", wanted.uni), ip("address", "show", netns=wanted.namespace)
    lab.up(wanted)
    assert (ip("link", "show", "dev", wanted.uni), ip("address", "show", netns=wanted.namespace)) == before


def test_a_site_moves_to_other_addresses_without_a_new_interface(wanted):
    lab.up(wanted)
    (before,) = ip("link", "show", "dev", wanted.uni)
    lab.up(lab.site(wanted.name, wanted.uni, ["10.77.2.10/24"]))
    (after,) = ip("link", "show", "dev", wanted.uni)
    assert after["ifindex"] == before["ifindex"]
    assert lab.standing(wanted.name).addresses == ("10.77.2.10/24",)
    assert lab.standing(wanted.name).gateways == ("10.77.2.1",)


def test_a_site_that_was_left_half_made_is_made_whole(wanted):
    ip("netns", "add", wanted.namespace)
    ip("link", "add", "name", wanted.uni, "type", "veth", "peer", "name", "eth0", "netns", wanted.namespace)
    lab.up(wanted)
    assert lab.standing(wanted.name).uni == wanted.uni


def test_a_deleted_uni_comes_back(wanted):
    lab.up(wanted)
    ip("link", "delete", wanted.uni)
    lab.up(wanted)
    assert lab.standing(wanted.name) == lab.Standing(
        wanted.name, wanted.uni, ("10.77.1.10/24", "fd77:1::10/64"), ("10.77.1.1", "fd77:1::1"), 0
    )


def test_a_link_that_was_put_down_comes_up_again(wanted, router):
    lab.up(wanted)
    router(wanted.uni, "10.77.1.1/24")
    ip("link", "set", "eth0", "down", netns=wanted.namespace)
    lab.up(wanted)
    assert run(wanted.name, "ping", "-c1", "-W2", "10.77.1.1").returncode == 0


def test_an_interface_that_is_not_the_labs_is_refused_and_left_alone(wanted, namespace):
    ip("link", "add", "name", wanted.uni, "type", "veth", "peer", "name", "x", "netns", namespace("foreign"))
    (before,) = ip("link", "show", "dev", wanted.uni)
    try:
        with pytest.raises(lab.LabError, match="something other than the lab"):
            lab.up(wanted)
        lab.down(wanted.name)
        assert ip("link", "show", "dev", wanted.uni) == [before]
    finally:
        ip("link", "delete", wanted.uni)


def test_a_uni_of_another_site_is_refused_by_name(wanted, prefix):
    lab.up(wanted)
    with pytest.raises(lab.LabError, match=f"belongs to site '{wanted.name}'"):
        lab.up(replace(wanted, name=f"{prefix}-b"))


def test_removing_a_site_leaves_nothing_of_it(wanted, router):
    before = link_names()
    lab.up(wanted)
    lab.serve(wanted.name)
    pop = router(wanted.uni)
    processes = subprocess.check_output(["ip", "netns", "pids", wanted.namespace], text=True).split()
    assert lab.down(wanted.name)
    assert link_names() == before
    assert link_names(pop) == {"lo"}
    assert wanted.namespace not in {n["name"] for n in ip("netns", "list")}
    assert not (lab.ETC / wanted.namespace).exists()
    assert processes and not any(_runs(pid) for pid in processes)


def _runs(pid: str) -> bool:
    """Whether the process lives; one that waits only for its parent to notice its death does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_removing_a_site_twice_is_no_error(wanted):
    lab.up(wanted)
    assert lab.down(wanted.name)
    assert not lab.down(wanted.name)


def test_removing_one_site_leaves_the_other(wanted, prefix):
    lab.up(wanted)
    lab.up(lab.site(f"{prefix}-b", f"{prefix}b", ["10.77.2.10/24"]))
    lab.down(wanted.name)
    assert [name for name in lab.names() if name.startswith(prefix)] == [f"{prefix}-b"]


def test_the_servers_of_a_site_answer_once_and_for_all(wanted):
    lab.up(wanted)
    lab.serve(wanted.name)
    lab.serve(wanted.name)
    assert lab.standing(wanted.name).processes == 2
    assert run(wanted.name, "curl", "-s", "http://10.77.1.10/").stdout == f"{wanted.name} greets 10.77.1.10\n"
    assert run(wanted.name, "curl", "-s", "http://[fd77:1::10]/").stdout == f"{wanted.name} greets fd77:1::10\n"
    measured = run(wanted.name, "iperf3", "-J", "-c", "10.77.1.10", "-n", "1M")
    assert json.loads(measured.stdout)["end"]["sum_sent"]["bytes"] > 0


def test_a_name_that_cannot_be_resolved_is_refused_at_once(wanted):
    lab.up(wanted)
    started = time.monotonic()
    assert run(wanted.name, "getent", "hosts", "example.org").returncode != 0
    assert time.monotonic() - started < 2


def test_the_lab_serves_a_pop_with_a_root_namespace_of_its_own(wanted, namespace):
    root = namespace("root")
    lab.up(replace(wanted, root=root))
    assert wanted.uni in link_names(root)
    assert wanted.uni not in link_names()
    lab.down(wanted.name, root=root)
    assert wanted.uni not in link_names(root)


@pytest.mark.parametrize("name", ["", "A", "a b", "../x", "a/../../x", "-a", "a" * 21, "a;b", "a\n"])
def test_what_cannot_name_a_site_is_refused_before_anything_happens(name):
    with pytest.raises(lab.LabError, match="cannot name a site"):
        lab.site(name, "uni", ["10.0.0.2/24"])
    with pytest.raises(lab.LabError, match="cannot name a site"):
        lab.down(name)


@pytest.mark.parametrize(
    ("uni", "addresses", "gateways", "reason"),
    [
        ("a-name-that-is-too-long", ["10.0.0.2/24"], [], "cannot name an interface"),
        ("uni/x", ["10.0.0.2/24"], [], "cannot name an interface"),
        ("uni", [], [], "at least one address"),
        ("uni", ["10.0.0.300/24"], [], "not an address"),
        ("uni", ["10.0.0.2/24"], ["ten"], "not an address"),
        ("uni", ["10.0.0.2/24"], ["10.9.0.1"], "in none of the site's networks"),
        ("uni", ["10.0.0.1/24"], [], "its network's router"),
    ],
)
def test_what_cannot_be_a_site_is_refused_with_the_reason(uni, addresses, gateways, reason):
    with pytest.raises(lab.LabError, match=reason):
        lab.site("site", uni, addresses, gateways)


def test_the_command_line_makes_lists_enters_and_removes_a_site(wanted):
    made = command_line("up", wanted.name, "--uni", wanted.uni, "--address", "10.77.1.10/24")
    assert made.stdout == f"site {wanted.name} stands on {wanted.uni} with 10.77.1.10/24\n"
    assert wanted.name in command_line("list").stdout
    entered = command_line("exec", wanted.name, "--", "sh", "-c", "ip -br address show eth0; exit 7")
    assert (entered.returncode, "10.77.1.10/24" in entered.stdout) == (7, True)
    assert command_line("down", wanted.name).stdout == f"site {wanted.name} is removed\n"


def test_entering_a_site_that_is_not_there_says_so(prefix):
    refused = command_line("exec", prefix, "--", "true")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: there is no site '{prefix}'")


def test_without_root_the_lab_says_what_to_do():
    # Root is given up after the import: somebody else may not be able to read this checkout.
    program = "import os, sys; from worker import lab; os.setuid(65534); sys.exit(lab.main(['list']))"
    refused = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (refused.returncode, "run it as root" in refused.stderr) == (1, True)
