"""The errors of the platform, one root.

They live in the bottom layer so that every package can raise and catch them. A
`TemporaryError` is tried again, a `PermanentError` parks the deployment with its
reason for a person to read; anything else is a bug and may crash its task.
"""

from __future__ import annotations


class NaasError(Exception):
    """Root of every error that this code base raises on purpose."""


class TemporaryError(NaasError):
    """The world is not ready yet; the same request may succeed after `delay` seconds."""

    def __init__(self, message: str, *, delay: float = 5.0) -> None:
        super().__init__(message)
        self.delay = delay


class PermanentError(NaasError):
    """Trying again cannot help: the request, or the host, must change first."""
