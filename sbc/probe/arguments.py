"""A test call as the arguments of the program `test-call`, there and back. Pure."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import fields
from enum import StrEnum
from ipaddress import ip_address

from sbc.probe.call import Credentials, Line, Srtp, Transport, Wanted

PROGRAM = "/usr/lib/naas/test-call"
#: Seconds that the program may take beyond the call's own time, to start and to end.
MARGIN = 5.0


class Report(StrEnum):
    """CONDITION is what a probe of the PoP reads, FULL everything that was measured; both are JSON."""

    CONDITION = "condition"
    FULL = "full"


def options(wanted: Wanted) -> tuple[str, ...]:
    """What to tell the program. The port is left out where it is that of the transport, so that a later
    `--caller-transport` changes both.
    """
    return tuple(_options(wanted))


def _options(wanted: Wanted) -> Iterator[str]:
    yield from ("--sbc", wanted.host, "--number", wanted.number)
    if wanted.port != wanted.caller.transport.port:
        yield from ("--port", str(wanted.port))
    yield from _line("caller", wanted.caller)
    if wanted.echo:
        yield from _line("echo", wanted.echo)
    yield from ("--tone", str(wanted.tone), "--digits", wanted.digits, "--codecs", ",".join(wanted.codecs))
    yield from ("--answer", str(wanted.answer), "--within", str(wanted.within), "--least-mos", str(wanted.least_mos))
    for field in fields(Credentials):
        if value := getattr(wanted.credentials, field.name):
            yield from (f"--{field.name}", value)


def _line(which: str, line: Line) -> Iterator[str]:
    yield from (f"--{which}", line.address, f"--{which}-port", str(line.port))
    yield from (f"--{which}-transport", line.transport, f"--{which}-srtp", line.srtp, f"--{which}-user", line.user)


def parse(arguments: Sequence[str]) -> tuple[Wanted, Report, str]:
    """The call, how to report it, and the name of the condition. Exits with a usage message for what is not understood.

    `@FILE` stands for the lines of a file, each one argument. What is said last holds.
    """
    options = _parser().parse_args(arguments)
    wanted = Wanted(
        caller=_parsed_line(options, "caller"),
        host=options.sbc,
        port=options.port or options.caller_transport.port,
        number=options.number,
        echo=_parsed_line(options, "echo") if options.echo else None,
        tone=options.tone,
        digits=options.digits,
        codecs=tuple(options.codecs.split(",")),
        answer=options.answer,
        within=options.within,
        least_mos=options.least_mos,
        credentials=Credentials(options.certificate, options.key, options.authorities),
    )
    return wanted, options.report, options.name


def parse_echo(arguments: Sequence[str]) -> tuple[Line, Credentials]:
    """Where an echo listens. Exits with a usage message for what is not understood."""
    parser = argparse.ArgumentParser(
        prog="python -m sbc.probe.echo", description="Answer calls, play back what they say and press what they press."
    )
    _add_line(parser, "echo", "to answer at", required=True)
    _add_credentials(parser)
    options = parser.parse_args(arguments)
    line = _parsed_line(options, "echo")
    return line, Credentials(options.certificate, options.key, options.authorities)


def _parsed_line(options: argparse.Namespace, which: str) -> Line:
    given = vars(options)
    transport: Transport = given[f"{which}_transport"]
    port = given[f"{which}_port"]
    if port is None:
        port = transport.port if which == "echo" else 0
    return Line(given[which], transport, given[f"{which}_srtp"], port, given[f"{which}_user"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="test-call",
        description="Place a call through an SBC to an echo beside it, and say what came of it.",
        epilog="@FILE reads arguments from a file, one a line.",
        fromfile_prefix_chars="@",
    )
    parser.add_argument("--sbc", required=True, type=_address, metavar="ADDRESS", help="the SBC on the caller's side")
    parser.add_argument("--port", type=int, help="of the SBC; default: 5060, for TLS 5061")
    parser.add_argument("--number", required=True, help="that is routed to the echo")
    _add_line(parser, "caller", "who calls", required=True)
    _add_line(parser, "echo", "who answers; default: somebody else", required=False)
    parser.add_argument("--tone", type=float, default=Wanted.tone, metavar="SECONDS")
    parser.add_argument("--digits", default=Wanted.digits, help="sent as DTMF")
    parser.add_argument("--codecs", default=",".join(Wanted.codecs), help="the best first")
    parser.add_argument("--answer", type=float, default=Wanted.answer, metavar="SECONDS", help="to wait for an answer")
    parser.add_argument("--within", type=float, default=Wanted.within, metavar="SECONDS", help="for everything")
    parser.add_argument("--least-mos", type=float, default=Wanted.least_mos, metavar="MOS")
    _add_credentials(parser)
    parser.add_argument("--report", type=Report, choices=Report, default=Report.FULL)
    parser.add_argument("--name", default="test-call", help="of the condition")
    return parser


def _add_line(parser: argparse.ArgumentParser, which: str, what: str, *, required: bool) -> None:
    parser.add_argument(f"--{which}", required=required, type=_address, metavar="ADDRESS", help=what)
    parser.add_argument(f"--{which}-port", type=int)
    parser.add_argument(f"--{which}-transport", type=Transport, choices=Transport, default=Transport.UDP)
    parser.add_argument(f"--{which}-srtp", type=Srtp, choices=Srtp, default=Srtp.OFF)
    parser.add_argument(f"--{which}-user", default=Line.user)


def _add_credentials(parser: argparse.ArgumentParser) -> None:
    for field in fields(Credentials):
        parser.add_argument(f"--{field.name}", default="", metavar="FILE", help="PEM, for TLS")


def _address(text: str) -> str:
    return str(ip_address(text))
