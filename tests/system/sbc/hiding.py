"""What no side may learn of the other, whatever is called: for every scenario, not for those of hiding alone.

What is inside says `secret` of itself, what is outside `hidden`, in every header that has a name or an address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.system.sbc import leaks
from tests.system.sbc.box import INSIDE, INSIDE6, OUTSIDE, OUTSIDE6, Box

#: Words that only one side knows, by that side.
WORDS = {
    "pbx": ("secret", "inside.example", "deep.", f"{INSIDE}.", f"{INSIDE}.2", f"{INSIDE6}:"),
    "carrier": ("hidden", "outside.example", f"{OUTSIDE}.", f"{OUTSIDE}.2", f"{OUTSIDE6}:"),
}
#: What the other side may know for certain that it is sealed somewhere: an address of which it guessed the form.
KNOWN = {
    side: tuple(
        text.encode()
        for host in hosts
        for text in (
            f"sip:secretuser@{host}:5060",
            f"sip:hiddenuser@{host}:5060",
            f"SIP/2.0/UDP {host}:5060;branch=",
            f"<sip:{host}:5060",
        )
    )
    for side, hosts in {
        "pbx": (f"{INSIDE}.2", f"[{INSIDE6}:2]"),
        "carrier": (f"{OUTSIDE}.2", f"[{OUTSIDE6}:2]"),
    }.items()
}
OTHER = {"pbx": "carrier", "carrier": "pbx"}


@contextmanager
def hiding(box: Box, words: Mapping[str, Sequence[str]] = WORDS) -> Iterator[None]:
    """Nothing that is sent meanwhile tells one side of the other: as it is, decoded, or read with what is known."""
    box.capture()
    yield
    assert_hidden(box.captured(), words)


def assert_hidden(files: Mapping[str, Path], words: Mapping[str, Sequence[str]] = WORDS) -> None:
    for side, file in files.items():
        texts, forbidden = leaks.messages(file), words[OTHER[side]]
        assert texts, f"nothing was seen at the {side}"
        assert leaks.leaks(texts, forbidden) == set(), f"the {side} can read it"
        assert leaks.learned(texts, KNOWN[OTHER[side]], forbidden) == {}, f"the {side} can work it out"
