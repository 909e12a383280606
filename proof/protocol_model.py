"""Look at every reachable state of the payout protocol.

``python -m proof.protocol_model`` shows that the rules hold for every kind of bank, ``--guards``
that they do not without any one guard or assumption. Exit code 0: as it should be.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TextIO

from proof.model.options import ASSUMPTIONS, GUARDS, REDUNDANT, Options, Rule, Size
from proof.model.search import Found, search
from wallets.domain.outcomes import Idempotency

QUICK = Size(retries=0, stale=1, requests=1)
# As many tries as BANK_RETRY_COUNT allows by default; then more memories of one withdrawal.
FULL = (Size(retries=2, stale=1, requests=1), Size(retries=0, stale=2, requests=1))
# With two withdrawals in flight at once the states multiply.
PAIR = Size(retries=0, stale=0, requests=0)
BANKS = [(bank, inquiry) for bank in Idempotency for inquiry in (True, False)]


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    # The domain warns of every result it drops; here that happens in thousands of ways.
    logging.getLogger("wallets").setLevel(logging.CRITICAL + 1)
    if chosen.guards:
        return _show_guards()
    return _show_rules(chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="proof.protocol_model", description=__doc__)
    parser.add_argument("--withdrawals", type=int, choices=(1, 2), help="default: both")
    parser.add_argument("--bank", choices=[str(bank) for bank in Idempotency], help="default: all")
    parser.add_argument(
        "--inquiry", choices=("yes", "no"), help="whether the bank can be asked; default: both"
    )
    parser.add_argument("--full", action="store_true", help="the full size: minutes, not seconds")
    parser.add_argument(
        "--without", nargs="+", choices=GUARDS, default=[], metavar="GUARD", help=_known(GUARDS)
    )
    parser.add_argument(
        "--broken",
        nargs="+",
        choices=ASSUMPTIONS,
        default=[],
        metavar="ASSUMPTION",
        help=_known(ASSUMPTIONS),
    )
    parser.add_argument(
        "--guards", action="store_true", help="take each guard and each assumption away in turn"
    )
    return parser


def _known(rules: dict[str, Rule]) -> str:
    return "one or more of: " + ", ".join(rules)


# --- The rules hold -------------------------------------------------------------------------------


def _show_rules(chosen: argparse.Namespace) -> int:
    wrong = states = 0
    for options in _plan(chosen):
        found = search(options, on_progress=_progress(sys.stderr))
        print(_line(options, found), flush=True)
        _print_trace(found.violation, found.trace)
        if found.stuck:
            _print_trace(f"{found.stuck} states lead nowhere without a fault", found.stuck_trace)
        wrong += bool(found.violation or found.stuck)
        states += found.states
    print(f"{states} states, {'violated' if wrong else 'every rule holds'}")
    return 1 if wrong else 0


def _plan(chosen: argparse.Namespace) -> Iterator[Options]:
    for bank, inquiry in _banks(chosen):
        one = Options(
            bank,
            inquiry,
            size=QUICK,
            without=frozenset(chosen.without),
            broken=frozenset(chosen.broken),
        )
        if chosen.withdrawals in (None, 1):
            yield from (replace(one, size=size) for size in (FULL if chosen.full else [QUICK]))
        if chosen.withdrawals in (None, 2):
            yield replace(one, withdrawals=2, size=QUICK if chosen.full else PAIR)
            if _pair_fits(bank, inquiry, full=chosen.full):
                yield replace(one, withdrawals=2, deposited=120, size=PAIR)


def _pair_fits(bank: Idempotency, inquiry: bool, *, full: bool) -> bool:
    """Whether two withdrawals in flight at once are few enough states for the size."""
    ignores_keys = bank is Idempotency.NONE
    return ignores_keys or not inquiry if full else ignores_keys and not inquiry


def _banks(chosen: argparse.Namespace) -> list[tuple[Idempotency, bool]]:
    return [
        (bank, inquiry)
        for bank, inquiry in BANKS
        if chosen.bank in (None, str(bank)) and chosen.inquiry in (None, "yes" if inquiry else "no")
    ]


def _line(options: Options, found: Found) -> str:
    endings = ", ".join(f"{'+'.join(key)} {n}" for key, n in sorted(found.endings.items()))
    return (
        f"bank {options.bank}, inquiry {'yes' if options.inquiry else 'no'}, "
        f"{options.withdrawals} withdrawal{'s' if options.withdrawals > 1 else ''} "
        f"of 60 from {options.deposited}, {options.size.retries} retries, "
        f"{options.size.stale} stale hands: "
        f"{found.states} states, {found.edges} steps, depth {found.depth}, {found.seconds:.1f} s; "
        f"at rest: {endings or 'not looked at'}"
    )


def _print_trace(what: str, trace: Sequence[str]) -> None:
    if what:
        print(f"  {what}, after {len(trace)} steps:")
        for number, step in enumerate(trace, 1):
            print(f"    {number:2} {step}")


# --- Nothing may be left out ----------------------------------------------------------------------


def _show_guards() -> int:
    surprises = []
    for taken_away, rules in (("without", GUARDS), ("broken", ASSUMPTIONS)):
        for name, rule in rules.items():
            print(f"{taken_away} {name}: {rule.text}", flush=True)
            found = search(options_for(name, taken_away, rule), liveness=False)
            if bool(found.violation) is (name in REDUNDANT):
                surprises.append(name)
            _print_trace(found.violation, found.trace)
            if not found.violation:
                print(f"  nothing goes wrong: {REDUNDANT.get(name, 'it should have')}")
    print(f"surprises: {', '.join(surprises) or 'none'}")
    return 1 if surprises else 0


def options_for(name: str, taken_away: str, rule: Rule) -> Options:
    """``taken_away``: "without" for a guard, "broken" for an assumption."""
    names = frozenset({name})
    return Options(
        rule.bank,
        rule.inquiry,
        withdrawals=2 if name == "order" else 1,
        size=QUICK,
        without=names if taken_away == "without" else frozenset(),
        broken=names if taken_away == "broken" else frozenset(),
    )


def _progress(stream: TextIO) -> Callable[[int], None] | None:
    if not stream.isatty():
        return None
    return lambda states: print(f"\r{states} states ", end="\r", file=stream, flush=True)


if __name__ == "__main__":
    sys.exit(main())
