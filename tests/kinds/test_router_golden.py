"""What each golden case renders to, and what the daemons themselves say of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kinds.router.render import render as render_router
from tests.kinds import router_cases
from tests.kinds.routerbox import RouterBox


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
