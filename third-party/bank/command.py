"""The command line: what the bank is told at its start."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bank.faults import FAULTS, INQUIRY, TRANSFER, Fault
from bank.payments import InvalidError
from bank.rules import Rule, make_rule
from bank.server import CannotStartError, Settings, serve

DEFAULT_DB = Path(__file__).resolve().parent.parent / "bank.sqlite3"
COULD_NOT_START = 2

_DESCRIPTION = """\
A mock bank. It pays once per idempotency key, remembers across restarts what it paid and shows it.
Without further flags it behaves well; told to, it refuses, stalls, lies and breaks connections.

  POST /                       pay: {"idempotency_key", "wallet_owner_ref", "amount", "currency"}
  GET /transfers/KEY           what became of a key
  GET /ledger                  what was paid: ?limit= &after= &key= &format=csv
  GET /requests                how often each key was asked about: ?key=
  GET /health                  whether it is up
  GET, POST, DELETE /control   list, add, clear the rules of misbehaviour
  POST /control/reset-book     forget everything that was paid and asked
"""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    settings = Settings(
        host=options.host,
        port=options.port,
        db=options.db,
        # Chances first: a fault that always happens would leave them none.
        rules=(*options.fault_rate, *options.fault),
        seed=options.seed,
        latency=options.latency_ms / 1000,
        verbose=options.verbose,
    )
    try:
        asyncio.run(serve(settings))
    except CannotStartError as error:
        print(error, file=sys.stderr)
        return COULD_NOT_START
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="app.py",
        description=_DESCRIPTION,
        epilog=_list_of_faults(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="default %(default)s")
    parser.add_argument(
        "--port", type=_port, default=8010, help="default %(default)s; 0 takes a free one"
    )
    parser.add_argument(
        "--db",
        default=str(DEFAULT_DB),
        metavar="PATH",
        help="the book, a SQLite file, or :memory: (default: bank.sqlite3 beside app.py)",
    )
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="[inquiry:]NAME[=ARG]",
        help="misbehave so at every request; may be given again",
    )
    parser.add_argument(
        "--fault-rate",
        type=_fault_rate,
        action="append",
        default=[],
        metavar="[inquiry:]NAME=RATE[,ARG]",
        help="misbehave so with this probability, as in failed_503=0.1; may be given again",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="makes the chances repeatable")
    parser.add_argument(
        "--latency-ms",
        type=_milliseconds,
        default=0.0,
        metavar="MS",
        help="how long every transfer and inquiry takes (default 0)",
    )
    parser.add_argument("--verbose", action="store_true", help="one line per request")
    return parser


def _list_of_faults() -> str:
    lines = ["faults, for transfers unless it says inquiry:"]
    for fault in FAULTS.values():
        lines.append(f"  {fault.name:<20} {fault.summary}{_argument_of(fault)}")
    lines.append("")
    lines.append("ARG is read as JSON where it is JSON, else as text. See README.md for examples.")
    return "\n".join(lines)


def _argument_of(fault: Fault) -> str:
    where = "" if INQUIRY not in fault.on else " (also inquiry)"
    if TRANSFER not in fault.on:
        where = " (inquiry only)"
    what = f" [{fault.argument.describe()}]" if fault.argument.what else ""
    return f"{what}{where}"


def _fault(text: str) -> Rule:
    on, name, rest = _take_apart(text)
    return _rule(name, None if rest is None else _value(rest), on, 1.0)


def _fault_rate(text: str) -> Rule:
    on, name, rest = _take_apart(text)
    rate, comma, argument = (rest or "").partition(",")
    return _rule(name, _value(argument) if comma else None, on, _value(rate))


def _take_apart(text: str) -> tuple[str | None, str, str | None]:
    """``[on:]NAME[=REST]``"""
    name, equals, rest = text.partition("=")
    on, colon, bare_name = name.partition(":")
    given = rest if equals else None
    return (on, bare_name, given) if colon else (None, name, given)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _rule(name: str, argument: Any, on: str | None, probability: Any) -> Rule:
    try:
        return make_rule(name, argument, on=on, probability=probability)
    except InvalidError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem


def _port(text: str) -> int:
    if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a whole number from 0 to 65535")
    return int(text)


def _milliseconds(text: str) -> float:
    try:
        milliseconds = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("takes milliseconds, a number") from error
    if not 0 <= milliseconds <= 600_000:
        raise argparse.ArgumentTypeError("takes milliseconds from 0 to 600000")
    return milliseconds
