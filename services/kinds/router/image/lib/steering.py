"""Steers FRR and nftables inside the router's container: load, change, verify, and say how things are.

The platform puts whole files at /etc/naas; here they become what runs, and only then are they
copied to /run/naas as "applied". It does not decide what a router should do, and it trusts no
exit status: a change counts when `show running-config` equals the file.

Why not frr-reload.py alone: it removes before it adds (a changed filter is open for a moment), asks
for the running configuration twice and leaves half a change behind when a line is refused. It is
kept as the second way, for a difference that the first did not settle.

Only the standard library, and as little of it as possible: the start of the interpreter counts in
every change of every router.
"""

import fcntl
import io
import os
import signal
import socket
import sys
import time

#: Where the platform puts the files, at any time.
GIVEN = "/etc/naas"
CONFIG, FILTER = "frr.conf", "nftables.conf"
#: The files that were applied to the end, and below `wanted` those that are being applied.
STATE = "/run/naas"
#: Seconds that the readiness program waits for a container that has just started; its probe gives it five.
BOOT_WAIT = 4.0
WANTED = f"{STATE}/wanted"
#: What tells the PoP that the files it gave are applied. The PoP takes it away when it gives others.
NOTICE = "/run/notices/ready.frr"
SOCKETS = "/run/frr"
DAEMONS = ("zebra", "staticd", "bgpd", "bfdd")
TABLE = ("nft", "-s", "list", "table", "inet", "naas")

#: Seconds after which a load or change is given up: a daemon hangs.
PATIENCE = 20
#: Seconds for the container to start, when a change comes that early.
START = 10
#: Lines of `show running-config` that tell of the kernel or the program, not of the configuration.
NOT_OURS = (
    "frr version",
    "hostname ",
    "log ",
    "service integrated-vtysh-config",
    "ip forwarding",
    "no ip forwarding",
    "ipv6 forwarding",
    "no ipv6 forwarding",
)

#: What bgpd gives as the reason while a neighbour is being configured, and keeps until the first session.
UNTRIED = "No AFI/SAFI activated for peer"

#: The daemon that acts by a line of the top level; others keep a copy, or none.
OWNERS = (
    ("ip route ", "staticd"),
    ("ipv6 route ", "staticd"),
    ("router bgp ", "bgpd"),
    ("ip prefix-list ", "bgpd"),
    ("ipv6 prefix-list ", "bgpd"),
    ("route-map ", "bgpd"),
    ("bfd", "bfdd"),
)

#: A configuration is a tree: each line maps to the lines indented below it.
Tree = dict[str, "Tree"]


class Refused(Exception):
    """The files cannot be applied; the message is for people. What ran before runs still."""


# --- programs -------------------------------------------------------------------------


class Program:
    """A program that was started; `finish` waits for it. Not `subprocess`, whose import costs more than most runs."""

    def __init__(self, *argv: str) -> None:
        self.argv = argv
        reading, writing = os.pipe()
        self._output = reading
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writing, 1),
            (os.POSIX_SPAWN_DUP2, writing, 2),
        ]
        self._pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
        os.close(writing)

    def finish(self) -> tuple[int, str]:
        """Its exit status, and stdout with stderr."""
        with os.fdopen(self._output, "rb") as pipe:
            output = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return status, output.decode(errors="replace")

    def require(self, what: str) -> str:
        status, output = self.finish()
        if status != 0:
            raise Refused(f"{what}: {readable(output)}")
        return output


def readable(output: str) -> str:
    """The first lines of a program's output in one line, without secrets."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return "; ".join(_without_secret(line) for line in lines[:5]) or "no reason given"


def _without_secret(line: str) -> str:
    head, word, _ = line.partition(" password ")
    return f"{head}{word}***" if word else line


# --- daemons --------------------------------------------------------------------------


def ask(daemon: str, command: str, timeout: float = 2.0) -> str:
    """What `daemon` answers to `command` on its socket: what vtysh does, without its 20 ms.

    Raises OSError when it does not answer in `timeout` seconds.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(timeout)
        line.connect(f"{SOCKETS}/{daemon}.vty")
        line.sendall(b"enable\0")
        _answer(line)
        line.sendall(command.encode() + b"\0")
        return _answer(line)


def _answer(line: socket.socket) -> str:
    """One answer: text, three NULs and a status byte."""
    received = b""
    while len(received) < 4 or received[-4:-1] != b"\0\0\0":
        piece = line.recv(65536)
        if not piece:
            raise ConnectionResetError("the daemon closed the connection")
        received += piece
    return received[:-4].decode(errors="replace")


def silent() -> list[str]:
    """The daemons that do not answer."""
    return [daemon for daemon in DAEMONS if not _answers(daemon)]


def _answers(daemon: str) -> bool:
    try:
        ask(daemon, "echo alive")
    except OSError:
        return False
    return True


def wait_for_daemons() -> None:
    """Returns when all of them answer. Raises `Refused` naming those that do not."""
    end = time.monotonic() + START
    while missing := silent():
        if time.monotonic() > end:
            raise Refused(f"{', '.join(missing)} does not answer")
        time.sleep(0.005)


# --- configuration as a tree ----------------------------------------------------------


def parse(text: str) -> Tree:
    """Read a configuration as `show running-config` writes it: one more space, one level down."""
    root: Tree = {}
    open_levels = [root]
    for line in text.splitlines():
        word = line.strip()
        if not _counts(word):
            continue
        depth = len(line) - len(line.lstrip(" "))
        del open_levels[depth + 1 :]
        open_levels.append(open_levels[-1].setdefault(word, {}))
    return root


def _counts(word: str) -> bool:
    if not word or word[0] in "!#" or word == "end" or word.startswith("exit"):
        return False
    return not word.startswith(NOT_OURS) and not word.endswith("configuration:") and word != "Building configuration..."


def running() -> Tree:
    """The running configuration, each part from the daemon that acts by it.

    vtysh takes a line from whichever daemon has it: a filter that zebra read and bgpd did
    not would look as if it stood. Raises `Refused` when a daemon does not answer.
    """
    tree: Tree = {}
    for daemon in DAEMONS:
        for line, below in parse(_shown_by(daemon)).items():
            # An empty `bfd` says nothing; frr-reload.py leaves it behind.
            if _owner(line) in (None, daemon) and (below or line != "bfd"):
                tree[line] = below
    return tree


def _shown_by(daemon: str) -> str:
    try:
        return ask(daemon, "show running-config", timeout=PATIENCE / 4)
    except OSError as error:
        raise Refused(f"{daemon} does not tell its configuration: {error}") from error


def _owner(line: str) -> str | None:
    return next((daemon for start, daemon in OWNERS if line.startswith(start)), None)


def delta(wanted: Tree, found: Tree) -> list[str]:
    """The commands that lead from `found` to `wanted`: first what is new or replaced, then what goes.

    What another line still refers to is thereby there for as long as the reference is.
    """
    commands = [f"no {line}" for line in found if line not in wanted and line.startswith("router bgp ")]
    # Under another AS number nothing of the old process remains that could be changed.
    kept = {line: below for line, below in found.items() if f"no {line}" not in commands}
    commands += _additions(wanted, kept, 0)
    removed = _removed_neighbours(wanted, kept)
    commands += _removals(wanted, kept, 0, removed)
    return commands


def _additions(wanted: Tree, found: Tree, depth: int) -> list[str]:
    commands = []
    # BGP last: a filter that is named before it is written denies everything meanwhile.
    for line, below in sorted(wanted.items(), key=lambda item: item[0].startswith("router bgp ")):
        inner = _additions(below, found.get(line, {}), depth + 1)
        if line not in found or inner:
            commands += [" " * depth + line, *inner, *_leave(line, below, depth)]
    return commands


def _removals(wanted: Tree, found: Tree, depth: int, removed: frozenset[str]) -> list[str]:
    commands = [" " * depth + _negated(line) for line in _goes_by_itself(wanted, found, removed)]
    for line, below in found.items():
        if line in wanted or line.startswith("address-family "):
            inner = _removals(wanted.get(line, {}), below, depth + 1, removed)
            commands += [" " * depth + line, *inner, *_leave(line, below, depth)] if inner else []
    return commands


def _goes_by_itself(wanted: Tree, found: Tree, removed: frozenset[str]) -> list[str]:
    """The lines that need a removal of their own: not replaced, and not taken along by another's."""
    replaced = {slot(line) for line in wanted}
    going = [line for line in found if line not in wanted and not line.startswith("address-family ")]
    return [
        line
        for line in going
        if slot(line) not in replaced
        and not _goes_with_neighbour(line, removed)
        # `no neighbor X bfd` takes `neighbor X bfd profile P` along; saying that as well brings bfd back.
        and not any(line.startswith(f"{other} ") for other in going if other.startswith("neighbor "))
    ]


def _negated(line: str) -> str:
    if line.startswith("no "):
        return line[3:]
    words = line.split(" ")
    if words[0] == "neighbor" and words[2] == "remote-as":
        return f"no neighbor {words[1]}"
    if words[0] == "neighbor" and words[2] in ("password", "description"):
        return "no " + " ".join(words[:3])
    return f"no {line}"


def _leave(line: str, below: Tree, depth: int) -> list[str]:
    if not below:
        return []
    return [" " * depth + ("exit-address-family" if line.startswith("address-family ") else "exit")]


def slot(line: str) -> str:
    """What can have one value only: setting it anew replaces the old one, so the old needs no removal."""
    words = line.split(" ")
    if words[0] == "neighbor" and len(words) > 3:
        if words[2] in ("prefix-list", "route-map"):
            return " ".join((*words[:3], words[-1]))
        if words[2] == "timers":
            return " ".join(words[:3] + ["connect"] * (words[3] == "connect"))
        if words[2] == "bfd":
            return " ".join(words[:4])
        return " ".join(words[:3])
    if words[0] in ("bgp", "set", "hostname", "log", "frr", "maximum-paths", "detect-multiplier"):
        return " ".join(words[:2]) if words[0] in ("bgp", "set", "log", "frr") else words[0]
    if words[0] in ("transmit-interval", "receive-interval"):
        return words[0]
    return line


def _removed_neighbours(wanted: Tree, found: Tree) -> frozenset[str]:
    return frozenset(_neighbours(found) - _neighbours(wanted))


def _neighbours(tree: Tree) -> set[str]:
    return {
        line.split(" ")[1]
        for process, below in tree.items()
        if process.startswith("router bgp ")
        for line in below
        if line.startswith("neighbor ")
    }


def _goes_with_neighbour(line: str, removed: frozenset[str]) -> bool:
    """`no neighbor X` takes every other line of X along."""
    words = line.split(" ")
    return words[0] == "neighbor" and words[1] in removed and words[2] != "remote-as"


# --- load and change ------------------------------------------------------------------


def apply_commands(commands: list[str]) -> str:
    """Let vtysh carry the commands out. Returns what it complained about; the comparison afterwards decides."""
    path = f"{STATE}/delta"
    _write(path, "\n".join([*commands, "end", ""]))
    status, output = Program("vtysh", "-f", path).finish()
    return readable(output) if status else ""


def settle(wanted: Tree, found: Tree) -> None:
    """Bring FRR from `found` to `wanted`. Raises `Refused` when it does not get there."""
    complaint = ""
    for _ in range(2):
        if found == wanted:
            return
        complaint = apply_commands(delta(wanted, found)) or complaint
        found = running()
    if found != wanted:
        raise Refused(complaint or f"FRR did not take: {readable(chr(10).join(delta(wanted, found)))}")


def revive(wanted: Tree, before: Tree) -> None:
    """Start the sessions that ended for too many prefixes and whose limit has changed: FRR would wait its minutes."""
    limits = _limits(before)
    for neighbour, limit in _limits(wanted).items():
        if limits.get(neighbour, limit) != limit and not _established(neighbour):
            ask("bgpd", f"clear bgp {neighbour}")


def _established(neighbour: str) -> bool:
    return "BGP state = Established" in ask("bgpd", f"show bgp neighbors {neighbour}")


def _limits(tree: Tree) -> dict[str, str]:
    """The prefix limit of each neighbour."""
    lines = [line for process in tree.values() for family in process.values() for line in family]
    return {line.split(" ")[1]: line for line in lines if " maximum-prefix " in line}


def settle_by_frr_reload(wanted: Tree, first: Refused) -> None:
    """The second way: frr-reload.py, for what `delta` does not know. Raises `first` when that fails too."""
    Program("/usr/lib/frr/frr-reload.py", "--reload", "--stdout", "--confdir", WANTED, f"{WANTED}/{CONFIG}").finish()
    if running() != wanted:
        raise first


def boot() -> None:
    """Load the files into daemons that have just started. The filter already stands."""
    wait_for_daemons()
    Program("vtysh", "-f", f"{WANTED}/{CONFIG}").finish()
    # Under load vtysh may have read half the file (FRRouting issue 15799): compare, and add what is missing.
    settle(parse(_read(f"{WANTED}/{CONFIG}")), running())
    _note_applied()


def reload() -> None:
    """Bring what runs to the files, or leave what runs as it is and raise `Refused`."""
    for name in (CONFIG, FILTER):
        _write(f"{WANTED}/{name}", _read(f"{GIVEN}/{name}"))
    # All at once: three quarters of a program's time is its start.
    syntax = Program("vtysh", "-C", "-f", f"{WANTED}/{CONFIG}")
    filter_syntax = Program("nft", "-c", "-f", f"{WANTED}/{FILTER}")
    listing = Program(*TABLE)
    wait_for_daemons()
    before = running()
    complaints = [
        _outcome(syntax, "the routing configuration is refused"),
        _outcome(filter_syntax, "the packet filter is refused"),
    ]
    filter_stands = _is_applied(FILTER, WANTED) and listing.finish() == (0, _read(f"{STATE}/nftables.listing"))
    if any(complaints):
        raise Refused("; ".join(filter(None, complaints)))
    if not filter_stands:
        Program("nft", "-f", f"{WANTED}/{FILTER}").require("the packet filter is refused")
    _change(parse(_read(f"{WANTED}/{CONFIG}")), before)
    _note_applied(filter_changed=not filter_stands)


def _change(wanted: Tree, before: Tree) -> None:
    try:
        try:
            settle(wanted, before)
        except Refused as first:
            settle_by_frr_reload(wanted, first)
    except Refused:
        _go_back(before)
        raise
    revive(wanted, before)


def _go_back(before: Tree) -> None:
    """Put back what ran before a change that was refused half way."""
    if not _is_applied(FILTER, WANTED):
        Program("nft", "-f", f"{STATE}/{FILTER}").finish()
    settle(before, running())


def _outcome(program: Program, what: str) -> str:
    status, output = program.finish()
    return f"{what}: {readable(output)}" if status else ""


def _note_applied(*, filter_changed: bool = True) -> None:
    """Note the files as applied, the routing configuration last: with it the change is whole."""
    if filter_changed:
        _write(f"{STATE}/nftables.listing", Program(*TABLE).require("the packet filter cannot be read"))
        _write(f"{STATE}/{FILTER}", _read(f"{WANTED}/{FILTER}"))
    _write(f"{STATE}/{CONFIG}", _read(f"{WANTED}/{CONFIG}"))
    if not applied():
        _write(NOTICE, "")


def _is_applied(name: str, folder: str) -> bool:
    """Whether the file of that name in `folder` is the one applied last."""
    try:
        return _read(f"{folder}/{name}") == _read(f"{STATE}/{name}")
    except FileNotFoundError:
        return False


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is 10 ms
        return file.read()


def _write(path: str, content: str) -> None:
    with open(f"{path}.new", "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is 10 ms
        file.write(content)
    os.rename(f"{path}.new", path)  # noqa: PTH104 - pathlib is 10 ms


# --- conditions -----------------------------------------------------------------------


def applied() -> str:
    """Why the files are not what runs, as far as it is known without asking FRR; empty when they are."""
    stale = [name for name in (CONFIG, FILTER) if not _is_applied(name, GIVEN)]
    return f"{', '.join(stale)} has not been read completely" if stale else ""


def daemons_alive() -> str:
    missing = silent()
    return f"{', '.join(missing)} does not answer" if missing else ""


def configuration_applied() -> str:
    """Why the running configuration is not the one of the files; empty when it is."""
    if reason := applied():
        return reason
    listing = Program(*TABLE)
    try:
        found = running()
    except Refused as refused:
        return str(refused)
    if listing.finish() != (0, _read(f"{STATE}/nftables.listing")):
        return "the packet filter differs from the one applied"
    if differing := delta(parse(_read(f"{GIVEN}/{CONFIG}")), found):
        return f"the running configuration differs: {readable(chr(10).join(differing))}"
    return ""


def neighbours_up(peers: dict | None) -> str:  # type: ignore[type-arg]
    """Which of these BGP neighbours are not established, and why; empty when all are, or none is wanted."""
    if peers is None:
        return "bgpd does not tell its neighbours"
    return "; ".join(reason for address, peer in peers.items() if (reason := _reason(address, peer)))


def neighbours() -> dict | None:  # type: ignore[type-arg]
    """What bgpd tells of each of its neighbours, by address; None when it does not."""
    import json

    try:
        told = json.loads(ask("bgpd", "show bgp neighbors json") or "{}")
    except (OSError, ValueError):
        return None
    return {address: peer for address, peer in told.items() if isinstance(peer, dict)}


def measured(peers: dict | None) -> dict[str, float]:  # type: ignore[type-arg]
    """What there is to count: neighbours where BGP is wanted, and routes. What is not told is left out."""
    import json

    found: dict[str, float] = {}
    if peers:
        found["bgp.neighbours"] = len(peers)
        found["bgp.neighbours.up"] = sum(peer.get("bgpState") == "Established" for peer in peers.values())
    for family in ("ip", "ipv6"):
        try:
            total = json.loads(ask("zebra", f"show {family} route summary json") or "{}").get("routesTotal")
        except (OSError, ValueError):
            continue
        if isinstance(total, int):
            found["routes"] = found.get("routes", 0) + total
    return found


def _reason(address: str, peer: dict) -> str:  # type: ignore[type-arg]
    state = peer.get("bgpState", "unknown")
    if state == "Established" or peer.get("adminShutDown"):
        return ""
    why = peer.get("lastNotificationReason") or peer.get("lastResetDueTo") or UNTRIED
    return f"{address} is {state} ({'no session so far' if why == UNTRIED else why})"


# --- programs of the image ------------------------------------------------------------


def _give_up(_signal: int, _frame: object) -> None:
    raise Refused(f"not finished within {PATIENCE} s")


def reload_main(arguments: list[str]) -> int:
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(PATIENCE)
    try:
        with _alone():
            boot() if arguments == ["--boot"] else reload()
    except Refused as refused:
        print(refused, file=sys.stderr)  # noqa: T201 - this is the program's answer
        return 1
    return 0


def _alone() -> io.TextIOWrapper:
    """The lock under which files are applied. The folder is there as soon as the filter stands."""
    end = time.monotonic() + START
    while time.monotonic() < end:
        try:
            lock = open(f"{STATE}/lock", "w")  # noqa: PTH123, SIM115 - pathlib is 10 ms; the caller closes it
        except FileNotFoundError:
            time.sleep(0.005)
        else:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return lock
    raise Refused("the container did not start")


def ready_main() -> int:
    """Holds when the files have been read to the end and every daemon answers.

    While the container starts it waits for that: asking again costs the host more than waiting.
    """
    end = time.monotonic() + BOOT_WAIT
    while not os.path.exists(f"{STATE}/{CONFIG}") and time.monotonic() < end:  # noqa: PTH110 - pathlib is 10 ms
        time.sleep(0.01)
    reason = applied() or daemons_alive()
    print(reason or "ready")  # noqa: T201 - this is the program's answer
    return 1 if reason else 0


def health_main() -> int:
    import json

    peers = neighbours()
    reasons = {
        "DaemonsAlive": daemons_alive(),
        "ConfigurationApplied": configuration_applied(),
        "NeighboursUp": neighbours_up(peers),
    }
    conditions = [
        {
            "type": name,
            "status": "false" if reason else "true",
            "message": reason,
            "values": measured(peers) if name == "NeighboursUp" else {},
        }
        for name, reason in reasons.items()
    ]
    print(json.dumps(conditions))  # noqa: T201 - this is the program's answer
    return 0
