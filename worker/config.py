"""What a PoP's processes must be told: one JSON file, named by the environment variable NAAS_POP_CONFIG.

It holds the PoP's private keys, so only its owner may read it. It is read once, at start;
what is wrong with it is said in a sentence, and nothing starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.errors import PermanentError
from worker.seal import Identity, PublicIdentity
from worker.topology import Name

VARIABLE = "NAAS_POP_CONFIG"

Seconds = Annotated[float, Field(gt=0, le=3600)]


class PopConfig(BaseModel):
    """The settings of one PoP.

    `fabric` names the network namespace of its bridges, `root_namespace` the one that has
    its network cards (None: that of the process). Intervals are in seconds.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    pop: Name
    broker_url: Annotated[str, Field(pattern=r"^(redis|rediss|redis\+socket)://", repr=False)]
    docker_socket: Annotated[str, Field(min_length=1)]
    fabric: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    root_namespace: str | None = None
    state_dir: Annotated[Path, Field(strict=False)]
    holder_image: Annotated[str, Field(min_length=1)]
    identity: Identity
    core: PublicIdentity
    sweep_interval: Seconds = 10.0
    probe_interval: Seconds = 10.0
    sample_interval: Seconds = 10.0


def load(environment: Mapping[str, str] = os.environ) -> PopConfig:
    """The PoP's settings. Raises `PermanentError` with what to do about it."""
    name = environment.get(VARIABLE)
    if not name:
        raise PermanentError(f"set {VARIABLE} to the path of this PoP's configuration file")
    path = Path(name)
    try:
        if path.stat().st_mode & 0o077:
            raise PermanentError(f"{path} holds private keys and others can read it: run chmod 600 {path}")
        return PopConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PermanentError(f"{path} (from {VARIABLE}) cannot be read: {error.strerror}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        # Not `from error`: it quotes the input, which holds private keys.
        raise PermanentError(f"{path} is not a PoP configuration: {wrong}") from None
