"""Everybody at one wallet at once."""

import random
from collections.abc import Sequence

from proof.faults.stage import Counts, Stage, fault
from proof.harness.api import ApiServer, pour
from proof.harness.invariants import Books
from proof.harness.world import Due, World


@fault(16, "a hot wallet: withdrawals and racing deposits, money for half")
def hot_wallet(stage: Stage) -> Counts:
    """First without deposits, where the outcome must be the sequential one to the row; then with
    deposits racing, where every single decision must fit the balance it was made on."""
    chance = stage.random()
    count = stage.size(300, 5_000)
    amounts = [chance.randint(1, 1_000) for _ in range(count)]
    with stage.world() as here:
        quiet = _quiet(here, amounts)
        racing = _racing(here, amounts, deposits=stage.size(60, 1_000), chance=chance)
        books = here.check(audit=True)
        _expect_every_decision_to_fit(here, books, racing)
        paid = sum(books.statuses[one.id] == "SUCCEEDED" for one in quiet + racing)
        return {"withdrawals": 2 * count, "succeeded": paid, "failed": 2 * count - paid}


def _quiet(here: World, amounts: Sequence[int]) -> list[Due]:
    due = here.due(here.wallet(sum(amounts) // 2), amounts)
    here.drain(executors=3, concurrency=16, seconds=300)
    statuses = here.books().statuses
    left = sum(amounts) // 2
    for one in due:
        expected = "SUCCEEDED" if one.amount <= left else "FAILED"
        left -= one.amount if expected == "SUCCEEDED" else 0
        here.expect(statuses[one.id] == expected, f"{one.id} is not {expected} as one by one")
    return due


def _racing(
    here: World, amounts: Sequence[int], *, deposits: int, chance: random.Random
) -> list[Due]:
    each = sum(amounts) // 2 // (2 * deposits)
    wallet = here.wallet(sum(amounts) // 4)
    with ApiServer(here) as api:
        due = here.due(wallet, amounts)
        fleet = [here.executor(concurrency=16) for _ in range(3)]
        pour(api, wallet, [each + chance.randint(0, 9) for _ in range(deposits)], threads=4)
        here.until_done(seconds=300)
        for executor in fleet:
            here.expect(executor.end() == 0, executor.errors())
    return due


def _expect_every_decision_to_fit(here: World, books: Books, due: Sequence[Due]) -> None:
    """In the order of decisions the withdrawals are in theirs, and whoever was turned away met,
    between the decisions around it, a balance that did not cover it."""
    wanted = {one.id: one for one in due}
    steps = [step for step in books.steps if step[0] in wanted and step[1] == "SCHEDULED"]
    # A batch is written in one statement, those that are paid first; it was decided in order.
    batches = list(dict.fromkeys(step[4] for step in steps))
    steps.sort(key=lambda step: (batches.index(step[4]), step[0]))
    decided = [(pk, reason) for pk, _, _, reason, _ in steps]
    here.expect([pk for pk, _ in decided] == sorted(wanted), "decided out of order")
    wallet_id = due[0].wallet_id
    entries = [one for one in books.movements if one.wallet_id == wallet_id]
    at_claim = {
        one.transaction_id: place for place, one in enumerate(entries) if one.debit == "WALLET"
    }
    previous = 0
    following = [len(entries)] * (len(decided) + 1)
    for place in range(len(decided) - 1, -1, -1):
        following[place] = at_claim.get(decided[place][0], following[place + 1])
    for place, (pk, reason) in enumerate(decided):
        if reason != "insufficient_funds":
            previous = at_claim[pk]
            continue
        window = entries[previous : following[place]]
        lowest = min(one.balance_after for one in window)
        here.expect(lowest < wanted[pk].amount, f"{pk} was turned away with {lowest} at hand")
