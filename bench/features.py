"""What each feature of the SBC costs a call: the SBC as it is shipped, next to one without that feature.

A feature is taken out of the configuration that is rendered, so that all else is as shipped. What is left would be no
SBC to sell: it is one to measure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bench.load import Side
from bench.measure import Comparison, compare
from tests.system.sbc.box import INSIDE, Box
from tests.system.sbc.calls import carried, tables

RATE, CALLS = 150, 300
#: Who calls whom, as in sipp's scenario.
CALLER, NUMBER = "\t\t+4930111", "+4940222"
#: A statement that costs nothing, where one has to stand.
NOTHING = "$var(nothing) = 1;"
KAMAILIO, RTPENGINE = "kamailio.cfg", "rtpengine.conf"
Change = Callable[[str], str]


def emptied(route: str, body: str = "return;") -> Change:
    """A route does nothing but `body`."""
    return replaced(rf"(?ms)^route\[{route}\] \{{.*?^\}}", f"route[{route}] {{\n    {body}\n}}")


def replaced(pattern: str, by: str) -> Change:
    def change(text: str) -> str:
        changed, count = re.subn(pattern, lambda _: by, text)
        if not count:
            raise RuntimeError(f"the configuration has no {pattern}: this feature is measured by it")
        return changed

    return change


def both(*changes: Change) -> Change:
    def change(text: str) -> str:
        for each in changes:
            text = each(text)
        return text

    return change


#: By feature: the file it is in, and what takes it out.
FEATURES: Mapping[str, tuple[str, Change]] = {
    "dialogs kept in the store": (KAMAILIO, replaced(r'"db_mode", 2', '"db_mode", 0')),
    "media state kept in the store": (RTPENGINE, replaced(r"(?m)^redis.*\n", "")),
    "records": (KAMAILIO, emptied("RECORD")),
    "sources, limited and judged": (KAMAILIO, emptied("SOURCE", "$var(source) = 1;")),
    "sanity of messages": (KAMAILIO, replaced(r'!sanity_check\("17895", "7"\)', "0")),
    "limits of calls": (KAMAILIO, emptied("ADMIT")),
    "From and To rewritten": (KAMAILIO, replaced(r"uac_replace_(from|to)\(.*\);", NOTHING)),
    "header rules": (KAMAILIO, emptied("HEADERS")),
    "codec and encryption noted": (KAMAILIO, both(emptied("AGREED"), emptied("ENCRYPTION", '$avp(srtp_in) = "0";'))),
    "media relayed": (
        KAMAILIO,
        both(
            replaced(r"if \(!rtpengine_offer\([^;]*\) drop;", NOTHING),
            emptied("MEDIA_BACK"),
            replaced(r"(?m)^ +rtpengine_delete\(.*\);\n", ""),
        ),
    ),
    "all hidden": (
        KAMAILIO,
        both(
            replaced(r'(?m)^loadmodule "/usr/lib/naas/hide.so"\n', ""),
            replaced(r'(?m)^modparam\("hide".*\n', ""),
            replaced(r"(?m)^ +hide_callid\(.*\);\n", ""),
        ),
    ),
}
#: The same for the question where a call goes, whose answer is then in the configuration.
ROUTING = "where it goes, asked of the tables"


class Without(Box):
    """An SBC in whose configuration one feature is missing."""

    def __init__(self, file: str, change: Change) -> None:
        super().__init__(most_calls=100_000, most_per_second=100_000)
        self._file, self._change = file, change

    def write_files(self) -> None:
        super().write_files()
        file = Path(self.dir / "etc" / self._file)
        file.write_text(self._change(file.read_text()))


def measure(*, rounds: int) -> Iterator[Comparison]:
    with Side(Box(most_calls=100_000, most_per_second=100_000)) as whole:
        whole.box.load(tables(), carried())
        features = {**FEATURES, ROUTING: (KAMAILIO, emptied("DECIDE", answered(whole.box)))}
        yield from _costs(whole, features, max(1, rounds // 3))


def answered(box: Box) -> str:
    """What the answer of the tables comes to in the routing script, written down for the calls of this bench."""
    asked = ("inside\t" + f"{INSIDE}.2" + "\t\t1\t", NUMBER, CALLER)
    code, told, from_trunk, route, attempt = box.redis().execute_command("FCALL_RO", "decide", 0, *asked)
    trunk, _, emergency, *_ = told.split("\t")
    found = {
        "$var(code)": code,
        "$avp(told)": told,
        "$avp(in)": trunk,
        "$avp(emergency)": emergency,
        "$avp(from_trunk)": from_trunk,
        "$avp(route)": route,
        "$avp(attempt)": attempt,
    }
    return "\n    ".join(f'{name} = "{_escaped(value)}";' for name, value in found.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace('"', '\\"').replace("$", "$$")


def _costs(whole: Side, features: Mapping[str, tuple[str, Change]], rounds: int) -> Iterator[Comparison]:
    product = partial(whole.time_calls, RATE, CALLS)
    for name, (file, change) in features.items():
        with Side(Without(file, change)) as less:
            less.box.load(tables(), carried())
            time_less = partial(less.time_calls, RATE, CALLS)
            time_less()  # what has just been started is dearer
            title = f"a call, to one without: {name}"
            yield compare(title, yardstick=time_less, product=product, rounds=rounds, unit="ms", warm_up=False)
