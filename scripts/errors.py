"""What the set-up says when it cannot go on: what happened, and what to do next."""

from __future__ import annotations

from worker.errors import NaasError


class SetupError(NaasError):
    """The machine is not as the set-up needs it; the message says what to do."""
