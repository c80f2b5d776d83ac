"""What a PoP's configuration file must say, and what is said when it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from worker.config import VARIABLE, PopConfig, load
from worker.errors import PermanentError
from worker.seal import Identity

FRA, CORE = Identity.generate("pop.fra1"), Identity.generate("core")


def document(**changes: Any) -> dict[str, Any]:
    config = PopConfig(
        pop="fra1",
        broker_url="redis://pop-fra1:hunter2@127.0.0.1:6379/0",
        docker_socket="unix:///var/run/docker.sock",
        fabric="naas-fra1",
        state_dir=Path("/var/lib/naas/fra1"),
        holder_image="naas/holder:1",
        identity=FRA,
        core=CORE.public(),
    )
    return {**config.model_dump(mode="json"), **changes}


def written(tmp_path: Path, content: object, mode: int = 0o600) -> dict[str, str]:
    path = tmp_path / "pop.json"
    path.touch(mode)
    path.chmod(mode)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return {VARIABLE: str(path)}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    config = load(written(tmp_path, document()))
    assert (config.pop, config.identity, config.core) == ("fra1", FRA, CORE.public())
    assert config.state_dir == Path("/var/lib/naas/fra1")
    assert (config.sweep_interval, config.root_namespace) == (10.0, None)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"pop": "Fra 1"}, "pop"),
        ({"broker_url": "http://127.0.0.1"}, "broker_url"),
        ({"fabric": "../etc"}, "fabric"),
        ({"sweep_interval": 0}, "sweep_interval"),
        ({"sweep_interval": "10"}, "sweep_interval"),
        ({"identity": {}}, "identity"),
        ({"identity": {**FRA.to_json(), "box_seed": "short"}}, "identity.box_seed"),
        ({"core": None}, "core"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, Any], where: str) -> None:
    with pytest.raises(PermanentError, match=where):
        load(written(tmp_path, document(**changes)))


def test_a_refusal_repeats_no_secret(tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as refusal:
        load(written(tmp_path, document(pop=FRA.signing_seed, broker_url="hunter2")))
    assert FRA.signing_seed not in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_no_secret_is_printed_with_the_configuration(tmp_path: Path) -> None:
    printed = repr(load(written(tmp_path, document())))
    assert FRA.signing_seed not in printed
    assert "hunter2" not in printed


def test_every_refusal_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=f"set {VARIABLE}"):
        load({})
    with pytest.raises(PermanentError, match="No such file"):
        load({VARIABLE: str(tmp_path / "missing")})
    with pytest.raises(PermanentError, match="chmod 600"):
        load(written(tmp_path, document(), 0o644))
    with pytest.raises(PermanentError, match="not a PoP configuration"):
        load(written(tmp_path, "{"))
