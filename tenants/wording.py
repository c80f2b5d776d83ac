"""How states are written for people, in the console and in the portal."""

from __future__ import annotations

import re

ABBREVIATIONS = re.compile(r"\b(bfd|bgp|frr|sip|tls|vnf|vpn)\b", re.IGNORECASE)


def words(state: object) -> str:
    """A state as people write it: "inProgress" is "In progress", "AddVnf" is "Add VNF", "no-answer" is "No answer"."""
    apart = re.sub(r"(?<=[a-z])((?=[A-Z])|-(?=[a-z]))", " ", str(state)).capitalize()
    return ABBREVIATIONS.sub(lambda found: found[0].upper(), apart)
