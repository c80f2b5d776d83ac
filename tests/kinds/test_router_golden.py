"""What each golden case renders to, and what the daemons themselves say of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kinds.router.render import render as render_router
from tests.kinds import router_cases
from tests.kinds.routerbox import NO_PASS, RouterBox


@pytest.mark.parametrize("case", router_cases.NAMES)
def test_a_spec_renders_to_its_golden_files(case: str, update_golden: bool) -> None:
    rendered = router_cases.files(router_cases.load(case))
    assert set(rendered) == set(router_cases.FILES)
    for name, content in rendered.items():
        golden = router_cases.CASES / case / name
        if update_golden:
            golden.write_text(content)
        assert content == golden.read_text(), f"{case}/{name}"


@pytest.mark.parametrize("case", router_cases.NAMES)
def test_rendering_twice_gives_the_same(case: str) -> None:
    assert router_cases.render(router_cases.load(case)) == router_cases.render(router_cases.load(case))


def test_the_kind_renders_its_example() -> None:
    from services.kinds.router import KIND

    spec = router_cases.parse(KIND.example)
    assert render_router(spec, KIND.example_context)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterBox]:
    with RouterBox(tmp_path_factory.mktemp("naas")) as box:
        box.wait_until_ready()
        yield box


@pytest.mark.system
@pytest.mark.parametrize("case", router_cases.NAMES)
def test_the_daemons_own_checkers_take_the_golden_files(box: RouterBox, case: str) -> None:
    box.write(_golden(case))
    box.run("vtysh", "-C", "-f", "/etc/naas/frr.conf")
    box.run("nft", "-c", "-f", "/etc/naas/nftables.conf")


@pytest.mark.system
@pytest.mark.parametrize("case", [*router_cases.NAMES, *reversed(router_cases.NAMES)])
def test_any_case_can_follow_any_other_without_a_restart(box: RouterBox, case: str) -> None:
    """`reload` succeeds only when `show running-config` then equals the file: so the files are in FRR's own form."""
    box.write(_golden(case))
    box.run("/usr/lib/naas/reload")
    assert "true" in box.condition("ConfigurationApplied")


def _golden(case: str) -> dict[str, str]:
    directory: Path = router_cases.CASES / case
    return {name: (directory / name).read_text() for name in router_cases.FILES}


@pytest.mark.system
def test_frr_reload_leads_to_the_same_configuration(box: RouterBox) -> None:
    """The second way of `reload`, and the yardstick of its speed."""
    box.write(_golden("static_routes"))
    box.run("/usr/lib/frr/frr-reload.py", "--reload", "/etc/naas/frr.conf")
    box.run("python3", "-I", "-S", "-c", NO_PASS)
    assert box.condition("ConfigurationApplied") == "true"


#: Settings of one neighbour, each of which is given and then taken away again.
SETTINGS: list[dict[str, object]] = [
    {"description": "Carrier north"},
    {"password": "s3cret-42"},
    {"bfd": True},
    {"bfd": True, "bfd_timers": {"detect_multiplier": 5}},
    {"bfd": True, "bfd_timers": {"receive_interval": 100, "transmit_interval": 100}},
    {"timers": {"keepalive": 3, "hold": 9}},
    {"ebgp_multihop": 5},
    {"ebgp_multihop": 255},
    {"next_hop_self": True},
    {"default_originate": True},
    {"local_preference": 150},
    {"med": 10, "prepend": 2},
    {"med": 20},
    {"allow_own_asn": 1},
    {"allow_own_asn": 3},
    {"shutdown": True},
    {"max_prefix": 5},
    {"med": 0},
    {"local_preference": 100},
    {"timers": {"keepalive": 60, "hold": 180}},
    {"bfd": True, "bfd_timers": {"detect_multiplier": 255, "receive_interval": 60000, "transmit_interval": 60000}},
    {"max_prefix": 1000000},
    {"prefixes_in": []},
    {"prefixes_in": [{"action": "permit", "prefix": "10.0.0.0/8"}], "prefixes_out": []},
    {"remote_asn": 65009},
    {"remote_asn": 65001},
    {"address": "10.255.0.4"},
]
#: Settings of the BGP process.
PROCESS: list[dict[str, object]] = [
    {"asn": 65077},
    {"router_id": "192.0.2.9"},
    {"networks": ["10.1.0.0/24", "10.5.0.0/16"]},
    {"redistribute": ["connected", "static"]},
    {"graceful_shutdown": True},
    {"neighbours": []},
]


def _changes() -> Iterator[dict[str, object]]:
    plain: dict[str, object] = {"address": "10.255.0.2", "remote_asn": 65002}
    for setting in SETTINGS:
        yield {"asn": 65001, "neighbours": [{**plain, **setting}]}
    for setting in PROCESS:
        yield {"asn": 65001, "neighbours": [plain], **setting}


@pytest.mark.system
@pytest.mark.parametrize("bgp", list(_changes()), ids=str)
def test_every_setting_is_given_and_taken_away_in_one_pass(box: RouterBox, bgp: dict[str, object]) -> None:
    """In one pass of commands each way, without the second and without frr-reload.py."""
    ports = [
        {"name": "lan", "segment": "lan", "addresses": ["10.1.0.1/24"]},
        {"name": "wan", "segment": "wan", "addresses": ["10.255.0.1/29"]},
    ]
    plain = {"asn": 65001, "neighbours": [{"address": "10.255.0.2", "remote_asn": 65002}]}
    for step in (plain, bgp, plain):
        box.write(router_cases.files({"ports": ports, "bgp": step}))
        box.reload_in_one_pass()


@pytest.mark.system
@pytest.mark.parametrize("case", ["bgp_everything", "nat"])
def test_a_change_that_comes_while_the_container_starts_is_not_lost(tmp_path: Path, case: str) -> None:
    with RouterBox(tmp_path) as starting:
        starting.write(_golden(case))
        starting.run("/usr/lib/naas/reload")
        assert starting.condition("ConfigurationApplied") == "true"
        starting.run("/usr/lib/naas/ready")
