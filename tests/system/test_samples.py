"""What a router on a real PoP carries is seen in its samples, and one goes back to what it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.platform import SAMPLES, Json, Platform, wait_for
from tests.routers import A, succeeds

pytestmark = pytest.mark.system

#: A PoP samples every ten seconds, and a rate takes two looks.
SEEN_WITHIN = 90.0


def spec(*, routes: list[str]) -> Json:
    port = {"name": "lan", "segment": "lan-a", "addresses": [f"{A.address(4, 1)}/24", f"{A.address(6, 1)}/64"]}
    return {
        "ports": [port],
        "static_routes": [{"destination": route, "via": A.address(4, 10)} for route in routes],
        # One that never answers.
        "bgp": {"asn": 65001, "neighbours": [{"address": A.address(4, 253), "remote_asn": 65002}]},
    }


@pytest.fixture
def router(platform: Platform) -> Iterator[str]:
    platform.run(SAMPLES)
    order = platform.done(platform.add("metered", spec(routes=["172.16.1.0/24"])))
    service: str = order["items"][0]["service"]["id"]
    yield service
    platform.done({"action": "delete", "service": service})
    platform.kill(SAMPLES)


def most(platform: Platform, service: str, name: str) -> float:
    """The most that was measured in the last hour; 0 before anything was."""
    found = platform.get(f"services/{service}/metrics", name=name)["series"]
    return max((point[3] for series in found for point in series["points"]), default=0.0)


def test_traffic_is_seen_in_the_samples_and_a_change_is_gone_back_on(platform: Platform, router: str) -> None:
    def carries() -> bool:
        # 50 packets of 1,042 bytes each way.
        assert succeeds(platform, A, "ping", "-n", "-q", "-c50", "-i0.01", "-s1000", A.address(4, 1))
        return min(most(platform, router, f"port.{way}.bits") for way in ("in", "out")) > 8 * 40 * 1042 / 10

    wait_for(carries, "the traffic in the samples", SEEN_WITHIN, every=1.0)
    assert most(platform, router, "memory") > 2**20
    assert most(platform, router, "port.in.packets") >= 4
    wait_for(lambda: most(platform, router, "routes") >= 2, "the routes that its probe counts", SEEN_WITHIN, every=1.0)
    assert most(platform, router, "bgp.neighbours") == 1
    shown = platform.get(f"services/{router}/metrics")["series"]
    assert [series["points"][-1][2] for series in shown if series["name"] == "bgp.neighbours.up"] == [0]
    assert {series["label"] for series in shown if series["name"].startswith("port.")} == {"lan"}

    platform.done({"action": "modify", "service": router, "spec": spec(routes=["172.16.2.0/24"])})
    platform.done({"action": "modify", "service": router, "revert_to": 1})
    service = platform.get(f"services/{router}")
    assert service["generation"] == 3
    assert [route["destination"] for route in service["spec"]["static_routes"]] == ["172.16.1.0/24"]
    asked = platform.post(f"services/{router}/inquiries", {"question": "routes"}, Prefer="wait=15")
    assert "172.16.1.0/24" in asked["output"]
    assert "172.16.2.0/24" not in asked["output"]
