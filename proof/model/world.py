"""All withdrawals together: one wallet, one ledger, two executors."""

from collections.abc import Iterator
from typing import NamedTuple

from proof.model.options import Options
from proof.model.ours import AMOUNT, Move, Ours, affordable
from proof.model.states import (
    EXECUTORS,
    PROCESSING,
    SUCCEEDED,
    TERMINAL,
    Bank,
    Payout,
    Record,
    swapped,
)
from proof.model.steps import Step, Steps, is_due, wrong, wrong_step

_ACCOUNTS = ("WALLET", "IN_TRANSIT", "BANK")

Accounts = tuple[int, int, int]
# What the wallet has, what is held, what was paid out; and the withdrawals by number.
World = tuple[Accounts, tuple[int, ...]]


class Edge(NamedTuple):
    text: str
    who: str
    after: World
    fault: bool
    # The executors' names are exchanged from here on: such states are looked at once.
    swapped: bool
    wrong: str


class Worlds:
    """Withdrawals are known by number, and their steps are worked out once each."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._ours = Ours(options)
        self._steps = Steps(options, self._ours)
        self._numbers: dict[Payout, int] = {}
        self._payouts: list[Payout] = []
        self._wrong: list[str] = []
        self._local: list[list[tuple[Step, int]] | None] = []
        self._twin: list[int] = []
        self._crashed: dict[tuple[int, str], int] = {}
        self._claims: dict[tuple[int, bool], list[tuple[Step, int]]] = {}
        self._deposited = options.deposited
        self._affordable = {n: affordable(n) for n in range(options.deposited + 1)}

    def start(self) -> World:
        return (self._deposited, 0, 0), (self._number(Payout()),) * self._options.withdrawals

    def is_over(self, world: World) -> bool:
        """Every withdrawal is terminal or waits for a person."""
        records = [self._payouts[number].record for number in world[1]]
        return all(r.status in TERMINAL or self._ours.waits_for_a_person(r) for r in records)

    def statuses(self, world: World) -> tuple[str, ...]:
        return tuple(self._payouts[number].record.status for number in world[1])

    def edges(self, world: World) -> Iterator[Edge]:
        accounts, numbers = world
        for index, number in enumerate(numbers):
            for step, after in self._steps_of(number):
                yield self._edge(world, index, step, after)
        yield from self._claiming(world)
        for who in EXECUTORS:
            after_all = tuple(self._crash(number, who) for number in numbers)
            if after_all != numbers:
                yield self._seen(f"{who} crashes", who, (accounts, after_all), fault=True)
        if not self._options.assumes("durable"):
            yield from self._rolling_back(world)

    # --- Steps -----------------------------------------------------------------------------------

    def _steps_of(self, number: int) -> list[tuple[Step, int]]:
        steps = self._local[number]
        if steps is None:
            payout = self._payouts[number]
            steps = [(step, self._number(step.after)) for step in self._steps.of(payout)]
            self._local[number] = steps
        return steps

    def _claiming(self, world: World) -> Iterator[Edge]:
        accounts, numbers = world
        due = [index for index, number in enumerate(numbers) if self._claimable(number)]
        for index in due if not self._options.keeps("order") else due[:1]:
            covered = self._affordable[accounts[0]]
            key = (numbers[index], covered)
            if key not in self._claims:
                steps = self._steps.claims(self._payouts[numbers[index]], affordable=covered)
                self._claims[key] = [(step, self._number(step.after)) for step in steps]
            for step, after in self._claims[key]:
                edge = self._edge(world, index, step, after)
                if any(is_due(self._payouts[number]) for number in numbers[:index]):
                    edge = edge._replace(wrong="a withdrawal was decided before an earlier one")
                yield edge

    def _claimable(self, number: int) -> bool:
        payout = self._payouts[number]
        if is_due(payout):
            return len(payout.hands) <= self._options.size.stale
        again = payout.record.status == PROCESSING and not self._options.keeps("claimed_once")
        return again and not payout.hands

    def _crash(self, number: int, who: str) -> int:
        key = (number, who)
        if key not in self._crashed:
            self._crashed[key] = self._number(self._steps.crashed(self._payouts[number], who))
        return self._crashed[key]

    def _rolling_back(self, world: World) -> Iterator[Edge]:
        accounts, numbers = world
        for index, number in enumerate(numbers):
            before = self._steps.rolled_back(self._payouts[number])
            if before is not None:
                after = _with(numbers, index, self._number(before))
                restored = _moved(accounts, ("IN_TRANSIT", "WALLET"))
                text = f"{_name(index)}: the database loses the commit of the claim"
                yield self._seen(text, "", (restored, after), fault=True)

    # --- Edges -----------------------------------------------------------------------------------

    def _edge(self, world: World, index: int, step: Step, after: int) -> Edge:
        accounts, numbers = world
        text = f"{_name(index)}: {step.who + ' ' if step.who else ''}{step.text}"
        if step.move is not None:
            accounts = _moved(accounts, step.move)
        changed = wrong_step(self._payouts[numbers[index]], self._payouts[after])
        return self._seen(
            text,
            step.who,
            (accounts, _with(numbers, index, after)),
            fault=step.fault,
            changed=changed,
        )

    def _seen(self, text: str, who: str, after: World, *, fault: bool, changed: str = "") -> Edge:
        accounts, numbers = after
        twins = tuple([self._twin[number] for number in numbers])
        swap = twins < numbers
        fault_found = changed or self._wrong_in(accounts, numbers)
        kept = (accounts, twins) if swap else after
        return Edge(text, who, kept, fault, swap, fault_found)

    def _wrong_in(self, accounts: Accounts, numbers: tuple[int, ...]) -> str:
        for number in numbers:
            if self._wrong[number]:
                return self._wrong[number]
        statuses = [self._payouts[number].record.status for number in numbers]
        held, paid = statuses.count(PROCESSING) * AMOUNT, statuses.count(SUCCEEDED) * AMOUNT
        if accounts != (self._deposited - held - paid, held, paid):
            return f"the books are wrong: wallet, in transit, paid out are {accounts}"
        return "" if accounts[0] >= 0 else "the wallet is overdrawn"

    def _number(self, payout: Payout) -> int:
        if self._options.withdrawals > 1 and payout.record.status in TERMINAL:
            payout = _at_rest(payout)
        number = self._add(payout)
        if self._twin[number] < 0:
            twin = self._add(swapped(payout))
            self._twin[number], self._twin[twin] = twin, number
        return number

    def _add(self, payout: Payout) -> int:
        number = self._numbers.get(payout)
        if number is None:
            number = self._numbers[payout] = len(self._payouts)
            self._payouts.append(payout)
            self._wrong.append(wrong(payout))
            self._local.append(None)
            self._twin.append(-1)
        return number

    @property
    def payouts(self) -> int:
        """How many different states of one withdrawal were met."""
        return len(self._payouts)


def _at_rest(payout: Payout) -> Payout:
    """A withdrawal that has ended, without what is left of it in memories and on the network.

    That cannot touch the other one: it moves no money any more, as is shown with one withdrawal.
    """
    record = Record(status=payout.record.status)
    return Payout(record, bank=Bank(paid=payout.bank.paid))


def _name(index: int) -> str:
    return "first" if index == 0 else "second"


def _with(numbers: tuple[int, ...], index: int, after: int) -> tuple[int, ...]:
    return (*numbers[:index], after, *numbers[index + 1 :])


def _moved(accounts: Accounts, move: Move) -> Accounts:
    debit, credit = (_ACCOUNTS.index(account) for account in move)
    after = list(accounts)
    after[debit] -= AMOUNT
    after[credit] += AMOUNT
    return after[0], after[1], after[2]
