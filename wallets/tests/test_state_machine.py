"""Any order of events: deposits, claims, answers, crashes, time, people; money stays right.

The domain and the gateway are the real ones, on the real database. The bank and the network are
simulated, so that it is known what was paid for which key. ``STATE_MACHINE_EXAMPLES`` sets how many
runs are tried; unset, they are few and the same each time.
"""

import os
import random
import sys
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import transaction
from django.db.models import F, QuerySet
from django.test import TestCase
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from wallets.domain import gate
from wallets.domain.deposits import deposit
from wallets.domain.opening import open_wallet
from wallets.domain.outcomes import (
    BankHealth,
    CallKind,
    Idempotency,
    Observation,
    Outcome,
    Transfer,
    Transport,
)
from wallets.domain.pausing import pause_payouts, resume_payouts
from wallets.domain.people import OperatorRefusal
from wallets.domain.policy import PayoutPolicy
from wallets.domain.receipts import ClientRequest, Receipt
from wallets.domain.scheduling import schedule_withdrawal
from wallets.domain.statements.rows import BEGINNING, Horizon
from wallets.domain.withdrawals.cancel import cancel
from wallets.domain.withdrawals.claim import ClaimBatch, Claimed, claim
from wallets.domain.withdrawals.followup import Step
from wallets.domain.withdrawals.lease import renew
from wallets.domain.withdrawals.reschedule import reschedule
from wallets.domain.withdrawals.resolving import resolve
from wallets.domain.withdrawals.returns import record_return
from wallets.domain.withdrawals.settle import Result, settle
from wallets.integrations.bank import BankGateway
from wallets.integrations.config import BankConfig
from wallets.models import BankGate, LedgerEntry, Status, StatusChange, Transaction, Type, Wallet
from wallets.models.clock import database_now
from wallets.models.transaction import TERMINAL
from wallets.tests.money import policy

EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES") or 0)

# All times are multiples of 100 seconds, far more than a run takes: the real clock, which goes on
# while a run lasts, decides nothing, and a run can be repeated.
GRACE = 600.0  # seconds after which no request arrives any more
RETENTION = timedelta(days=1)
# The bank keeps a key for longer than we send it, by more than a request is under way.
BANK_KEEPS = RETENTION.total_seconds() + 600
SEND_SECONDS = 3.0
WORKERS = 3

_HELD, _PAID, _BACK, _IN = (
    ("WALLET", "IN_TRANSIT"),
    ("IN_TRANSIT", "BANK"),
    ("IN_TRANSIT", "WALLET"),
    ("BANK", "WALLET"),
)
LEGS = {
    ("DEPOSIT", "SUCCEEDED"): ((_IN,),),
    ("RETURN", "SUCCEEDED"): ((_IN,),),
    ("WITHDRAWAL", "SCHEDULED"): ((),),
    ("WITHDRAWAL", "PROCESSING"): ((_HELD,),),
    ("WITHDRAWAL", "SUCCEEDED"): ((_HELD, _PAID),),
    ("WITHDRAWAL", "FAILED"): ((), (_HELD, _BACK)),
    ("WITHDRAWAL", "CANCELLED"): ((),),
}


# --- The bank and the way to it -------------------------------------------------------------------


@dataclass(slots=True)
class Account:
    """What the bank knows of one key. ``said``: its answer, where it keeps one."""

    first_seen: float
    paid: int = 0
    said: str = ""
    refused: bool = False


class Bank:
    """Pays, refuses or lets wait, as told, within what it promises about keys."""

    def __init__(self, promise: Idempotency) -> None:
        self.promise = promise
        self.accounts: dict[str, Account] = {}
        self.payments: Counter[str] = Counter()

    def receive(self, key: str, wish: str, now: float) -> str:
        account = self.accounts.setdefault(key, Account(first_seen=now))
        if account.said and self.promise is not Idempotency.NONE:
            return account.said
        return self._decide(key, account, wish)

    def settle_pending(self, key: str, wish: str) -> None:
        account = self.accounts[key]
        account.said = ""
        self._decide(key, account, wish)

    def _decide(self, key: str, account: Account, wish: str) -> str:
        if wish == "success":
            self.payments[key] += 1
            account.paid += 1
            account.said = wish
        elif wish == "failed":
            account.refused = True
            account.said = wish if self.promise is Idempotency.FULL else account.said
        else:
            account.said = wish
        return wish

    def word_about(self, key: str, *, tells_refusals: bool) -> str:
        account = self.accounts.get(key)
        if account is None:
            return "not_found"
        if account.said:
            return account.said
        return "failed" if account.refused and tells_refusals else "not_found"

    def pending(self) -> list[str]:
        return [key for key, account in self.accounts.items() if account.said == "pending"]

    def forget(self, now: float) -> None:
        for key, account in list(self.accounts.items()):
            if now - account.first_seen > BANK_KEEPS and account.said != "pending":
                del self.accounts[key]


@dataclass(frozen=True, slots=True)
class Script:
    """How one try goes: what the network does, what the bank wishes, what it tells."""

    network: str
    wish: str
    tells_refusals: bool


numbers = st.integers(0, WORKERS - 1)
# In both, "contrary" does to the first request with a key one thing, to later ones the opposite.
scripts = st.builds(
    Script,
    network=st.sampled_from(
        [*["fine", "late"] * 4, *["lost", "unsent"] * 2, "contrary", "503", "429", "401"]
    ),
    wish=st.sampled_from(["contrary", *["success", "failed"] * 2, "pending"]),
    tells_refusals=st.booleans(),
)


@dataclass(frozen=True, slots=True)
class Works:
    """A worker claims, and gets as far as ``fate`` lets it: what it then holds is for later."""

    number: int
    wanted: int
    script: list[Script]
    fate: str


# The simplest choice, which comes up most, is the first one: it should lead somewhere.
works = st.builds(
    Works,
    number=numbers,
    wanted=st.sampled_from([6, 3, 2, 1]),
    script=st.lists(scripts, min_size=6, max_size=6),
    fate=st.sampled_from([*["calls", "settles"] * 3, "dies", "holds", "unacknowledged"]),
)
FINE = Script("fine", "success", tells_refusals=True)


class Network:
    """Stands where the gateway has its transport. A late request stays under way."""

    def __init__(self, bank: Bank, clock: Callable[[], float]) -> None:
        self._bank = bank
        self._clock = clock
        self.script: list[Script] = []
        self.under_way: list[tuple[str, float]] = []
        self.sent: set[str] = set()

    def send_transfer(self, transfer: Transfer) -> Observation:
        key, script = transfer.idempotency_key, self._next()
        network, wish = script.network, script.wish
        if network == "unsent":
            return self._seen(CallKind.TRANSFER, Transport.NOT_SENT)
        if network == "contrary":
            network = "503" if key in self.sent else "lost"
        if wish == "contrary":
            wish = "success" if key in self.sent else "failed"
        self.sent.add(key)
        if network == "late":
            self.under_way.append((key, self._clock()))
            return self._seen(CallKind.TRANSFER, Transport.MAY_HAVE_ARRIVED)
        if network.isdecimal():
            return self._seen(
                CallKind.TRANSFER,
                status=int(network),
                retry_after=100.0 if network == "429" else None,
            )
        word = self._bank.receive(key, wish, self._clock())
        if network == "lost":
            return self._seen(CallKind.TRANSFER, Transport.MAY_HAVE_ARRIVED)
        return self._seen(CallKind.TRANSFER, body=_body(word, key))

    def send_inquiry(self, transfer: Transfer) -> Observation:
        key, script = transfer.idempotency_key, self._next()
        if script.network != "fine":
            return self._seen(CallKind.INQUIRY, Transport.MAY_HAVE_ARRIVED)
        word = self._bank.word_about(key, tells_refusals=script.tells_refusals)
        status = 404 if word == "not_found" else 200
        return self._seen(CallKind.INQUIRY, status=status, body=_body(word, key))

    def arrive(self, index: int, wish: str) -> None:
        key, _ = self.under_way.pop(index)
        self._bank.receive(key, wish, self._clock())

    def let_die(self) -> None:
        self.under_way = [each for each in self.under_way if self._clock() - each[1] < GRACE]

    def _next(self) -> Script:
        return self.script.pop(0) if self.script else FINE

    def _seen(
        self,
        kind: CallKind,
        transport: Transport = Transport.ANSWERED,
        *,
        status: int = 200,
        body: bytes = b"",
        retry_after: float | None = None,
    ) -> Observation:
        return Observation(
            kind,
            0.0,
            0.0,
            transport,
            http_status=status if transport is Transport.ANSWERED else None,
            body=body,
            retry_after=retry_after,
        )


def _body(word: str, key: str) -> bytes:
    reference = f', "reference": "{_reference(key)}"' if word == "success" else ""
    return f'{{"data": "{word}"{reference}}}'.encode()


def _reference(key: str) -> str:
    return f"bank-{key[:8]}"


# --- The executors --------------------------------------------------------------------------------


@dataclass(slots=True)
class Hand:
    """A withdrawal in a worker's memory; times by the worker's own clock."""

    claimed: Claimed
    deadline: float
    key_kept_until: float
    outcome: Outcome | None = None


@dataclass(slots=True)
class Worker:
    rules: PayoutPolicy
    id: uuid.UUID
    hands: list[Hand] = field(default_factory=list)
    seen: Horizon = BEGINNING


def _result(hand: Hand) -> Result:
    assert hand.outcome is not None
    return Result(
        hand.claimed.id, hand.claimed.epoch, hand.outcome, brought_at=0.0, probe=hand.claimed.probe
    )


class NoJitter(random.Random):
    def random(self) -> float:
        return 0.0


class PayoutMachine(RuleBasedStateMachine):
    """Each run is one transaction that is rolled back."""

    def __init__(self) -> None:
        super().__init__()
        self._run = transaction.atomic()
        self._run.__enter__()
        gate.ensure_gate()
        self.clock = 0.0
        self.random = NoJitter(5)
        self.wallets = [open_wallet(currency="IRR", request=None).wallet.id for _ in range(2)]
        self.requests: dict[str, tuple[int, int]] = {}
        self.ended: dict[int, str] = {}

    @initialize(
        promise=st.sampled_from([Idempotency.SUCCESS_ONLY, Idempotency.FULL, Idempotency.NONE]),
        inquiry=st.sampled_from([True, True, False]),
        health=st.sampled_from([False, False, True]),
        amounts=st.lists(st.integers(1, 80), min_size=3, max_size=4),
    )
    def begin(self, promise: Idempotency, inquiry: bool, health: bool, amounts: list[int]) -> None:
        """``health``: the gate is told how the bank behaves, and closes often."""
        self.health = health
        self._choose_the_bank(promise, inquiry)
        for which in (0, 1):
            self._deposit(which, 400)
            self._schedule(which, amounts, 0)

    def _choose_the_bank(self, promise: Idempotency, inquiry: bool) -> None:
        self.bank = Bank(promise)
        self.network = Network(self.bank, lambda: self.clock)
        config = BankConfig(
            base_url="http://bank.invalid",
            inquiry_path="/transfers/{idempotency_key}" if inquiry else "",
            retry_count=1,
            idempotency=promise,
            not_found_grace=GRACE,
        )
        self.gateway = BankGateway(config, rng=random.Random(5), sleep=lambda _: None)
        self.gateway._transport = self.network  # type: ignore[assignment]
        slow, fast = (
            policy(
                lease=timedelta(seconds=lease),
                idempotency=promise,
                inquiry_configured=inquiry,
                key_retention=RETENTION,
                ask_min=timedelta(seconds=100),
                breaker_cooldown=timedelta(seconds=100),
                throttle_cap=timedelta(seconds=100),
            )
            for lease in (600, 300)
        )
        self.workers = [Worker(rules, self._new_id()) for rules in (fast, slow, fast)]
        assert len(self.workers) == WORKERS

    def _new_id(self) -> uuid.UUID:
        return uuid.UUID(int=self.random.getrandbits(128))

    # --- Clients ---------------------------------------------------------------------------------

    @rule(
        what=st.sampled_from(
            [*["schedules"] * 3, "deposits", "repeats a deposit", "cancels", "reschedules"]
        ),
        which=st.integers(0, 1),
        amounts=st.lists(st.integers(1, 80), min_size=3, max_size=3),
        seconds=st.sampled_from([0, 0, 0, 100, 400]),
    )
    def a_client(self, what: str, which: int, amounts: list[int], seconds: int) -> None:
        if what == "deposits":
            self._deposit(which, sum(amounts))
        elif what == "schedules":
            self._schedule(which, amounts, seconds)
        elif what in ("cancels", "reschedules"):
            self._change_plans(what, amounts[0], seconds)
        else:
            before = self._balances()
            key = sorted(self.requests)[amounts[0] % len(self.requests)]
            assert self._ask_for_deposit(key).replayed
            assert self._balances() == before

    def _deposit(self, which: int, amount: int) -> None:
        key = f"deposit-{len(self.requests)}"
        self.requests[key] = (which, amount)
        assert not self._ask_for_deposit(key).replayed

    def _ask_for_deposit(self, key: str) -> Receipt:
        which, amount = self.requests[key]
        return deposit(
            wallet=self.wallets[which],
            amount=amount,
            currency=None,
            request=ClientRequest(key, "same"),
        )

    def _change_plans(self, what: str, index: int, seconds: int) -> None:
        rows = list(Transaction.objects.filter(status=Status.SCHEDULED).order_by("id"))
        if not rows:
            return
        row = rows[index % len(rows)]
        if what == "cancels":
            cancel(wallet=row.wallet_id, withdrawal_id=row.pk, by="client")
        else:
            execute_at = database_now() + timedelta(seconds=seconds + 100)
            reschedule(
                wallet=row.wallet_id, withdrawal_id=row.pk, execute_at=execute_at, by="client"
            )

    def _schedule(self, which: int, amounts: list[int], seconds: int) -> None:
        """Due in ``seconds`` from now."""
        for amount in amounts:
            receipt = schedule_withdrawal(
                wallet=self.wallets[which],
                amount=amount,
                currency=None,
                execute_at=database_now() + timedelta(seconds=seconds + 1),
                request=None,
            )
            assert receipt.transaction is not None
            row = Transaction.objects.filter(pk=receipt.transaction.id)
            row.update(execute_at=F("execute_at") - timedelta(seconds=1))

    # --- Time ------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([*[300, 600, 300] * 3, 100, 900, 90_000]))
    def time_passes(self, seconds: int) -> None:
        """Everybody's clock goes on: rows are moved into the past by as much."""
        self.clock += seconds
        past = timedelta(seconds=seconds)
        Transaction.objects.filter(status=Status.SCHEDULED).update(
            execute_at=F("execute_at") - past
        )
        Transaction.objects.filter(status=Status.PROCESSING).update(
            **{name: F(name) - past for name in ("lease_expires_at", "in_doubt_since")},
            **{name: F(name) - past for name in ("first_sent_at", "last_sent_at")},
        )
        BankGate.objects.update(
            **{name: F(name) - past for name in ("paused_until", "retry_at", "refilled_at")}
        )
        for worker in self.workers:
            worker.seen = Horizon(
                lapsed=worker.seen.lapsed and worker.seen.lapsed - past,
                due=worker.seen.due and worker.seen.due - past,
            )
        self.network.let_die()
        self.bank.forget(self.clock)

    # --- Executors -------------------------------------------------------------------------------

    @rule(works=works)
    def a_worker_works(self, works: Works) -> None:
        self._work(works)

    @rule(works=works)
    def a_worker_works_after_a_while(self, works: Works) -> None:
        """Often it finds leases that have lapsed."""
        self.time_passes(300)
        self._work(works)

    def _work(self, works: Works) -> None:
        worker = self.workers[works.number]
        claimed = self._claim(worker, works.wanted)
        if works.fate == "unacknowledged":
            return
        worker.hands += [self._hand(worker, each) for each in claimed]
        if works.fate != "holds":
            self._call_all(worker, works.script)
        if works.fate == "settles":
            self._settle(worker, acknowledged=True)
        if works.fate == "dies":
            self._crash(worker)

    def _claim(self, worker: Worker, wanted: int) -> tuple[Claimed, ...]:
        halted = BankGate.objects.get().halted_at is not None
        due, balances = self._due(), self._balances()
        batch = claim(
            worker=worker.id,
            wanted=wanted,
            policy=worker.rules,
            random_source=self.random,
            since=worker.seen,
        )
        worker.seen = batch.seen
        self._check_decisions(due, balances, batch)
        if halted:
            assert not batch.insufficient_funds
            assert all(each.step is Step.ASK for each in batch.claimed)
        return batch.claimed

    def _hand(self, worker: Worker, claimed: Claimed) -> Hand:
        lease = worker.rules.lease.total_seconds()
        return Hand(claimed, self.clock + lease, self.clock + claimed.key_kept_seconds)

    def _due(self) -> list[Transaction]:
        due = Transaction.objects.filter(status=Status.SCHEDULED, execute_at__lte=database_now())
        return list(due.order_by("execute_at", "id"))

    def _check_decisions(
        self, due: list[Transaction], balances: dict[int, int], batch: ClaimBatch
    ) -> None:
        """In order and greedily, as one who had all the time in the world would decide."""
        statuses = dict(
            Transaction.objects.filter(pk__in=[row.pk for row in due]).values_list("pk", "status")
        )
        decided = sum(status != Status.SCHEDULED for status in statuses.values())
        for position, row in enumerate(due):
            expected = Status.SCHEDULED
            if position < decided:
                fits = row.amount <= balances[row.wallet_id]
                expected = Status.PROCESSING if fits else Status.FAILED
                balances[row.wallet_id] -= row.amount if fits else 0
            assert statuses[row.pk] == expected, (row.pk, statuses, batch)

    @rule(number=numbers, script=st.lists(scripts, min_size=6, max_size=6))
    def a_worker_calls_the_bank(self, number: int, script: list[Script]) -> None:
        self._call_all(self.workers[number], script)

    def _call_all(self, worker: Worker, script: list[Script]) -> None:
        """All that it has not called for yet, each from another place of ``script``."""
        for position, hand in enumerate(hand for hand in worker.hands if hand.outcome is None):
            begin = position % len(script)
            self._call(worker, hand, [*script[begin:], *script[:begin]])

    def _call(self, worker: Worker, hand: Hand, script: list[Script]) -> None:
        claimed, self.network.script = hand.claimed, list(script)
        kept = self.clock + SEND_SECONDS <= hand.key_kept_until
        if claimed.step is Step.ASK:
            hand.outcome = self.gateway.inquire(
                claimed.transfer,
                seconds_since_last_send=claimed.seconds_since_last_send if kept else None,
            )
        else:
            in_time = self.clock + SEND_SECONDS <= hand.deadline
            hand.outcome = self.gateway.transfer(
                claimed.transfer,
                maybe_sent=claimed.maybe_sent,
                may_send=lambda: kept and in_time,
            )
        self._tell_gate(worker, hand)

    def _tell_gate(self, worker: Worker, hand: Hand) -> None:
        outcome = hand.outcome
        assert outcome is not None
        if self.health and (outcome.health is not BankHealth.ANSWERED or hand.claimed.probe):
            finding = gate.Finding(
                health=outcome.health, retry_after=outcome.retry_after, probe=hand.claimed.probe
            )
            gate.report([finding], policy=worker.rules)

    @rule(number=numbers, acknowledged=st.booleans())
    def a_worker_settles(self, number: int, acknowledged: bool) -> None:
        self._settle(self.workers[number], acknowledged=acknowledged)

    def _settle(self, worker: Worker, *, acknowledged: bool) -> None:
        """All it has answers for, but of two for one row the older. Unacknowledged: twice."""
        first: dict[int, Hand] = {}
        for hand in worker.hands:
            if hand.outcome is not None:
                first.setdefault(hand.claimed.id, hand)
        results = [_result(hand) for hand in first.values()]
        for again in (False,) if acknowledged else (False, True):
            settled = settle(
                results,
                worker=worker.id,
                policy=worker.rules,
                random_source=self.random,
                again=again,
            )
            assert set(settled.alarms) <= {"misconfigured"}  # what a 401 raises
        worker.hands = [hand for hand in worker.hands if hand not in first.values()]

    @rule(number=numbers, crashes=st.booleans())
    def a_worker_renews_or_crashes(self, number: int, crashes: bool) -> None:
        worker = self.workers[number]
        if crashes:
            self._crash(worker)
            return
        held = {hand.claimed.id: hand.claimed.epoch for hand in worker.hands}
        kept = renew(worker=worker.id, held=held, policy=worker.rules)
        for hand in worker.hands:
            ours = hand.claimed.id in kept and held[hand.claimed.id] == hand.claimed.epoch
            hand.deadline = self.clock + worker.rules.lease.total_seconds() if ours else 0.0

    def _crash(self, worker: Worker) -> None:
        """It starts anew at once, under another id."""
        worker.id, worker.hands, worker.seen = self._new_id(), [], BEGINNING

    # --- The bank --------------------------------------------------------------------------------

    @precondition(lambda self: self.network.under_way or self.bank.pending())
    @rule(index=st.integers(0, 50), wish=st.sampled_from(["success", "success", "failed"]))
    def the_bank_acts(self, index: int, wish: str) -> None:
        """A late request arrives, or a payment that was pending is decided."""
        late, pending = self.network.under_way, self.bank.pending()
        index %= len(late) + len(pending)
        if index < len(late):
            self.network.arrive(index, wish)
        else:
            self.bank.settle_pending(pending[index - len(late)], wish)

    # --- People ----------------------------------------------------------------------------------

    @rule(
        what=st.sampled_from(["resolve", "resolve", "pause", "resume", "the bank returns"]),
        index=st.integers(0, 50),
    )
    def people(self, what: str, index: int) -> None:
        if what == "pause":
            pause_payouts(by="somebody", reason="to be sure")
        elif what == "resume":
            resume_payouts(by="somebody")
        elif what == "resolve" and (rows := self._in_doubt()):
            self._resolve(rows[index % len(rows)])
        elif what == "the bank returns" and (rows := self._returnable()):
            row = rows[index % len(rows)]
            record_return(
                withdrawal_id=row.pk, reference=f"return-{row.pk}", reason="closed", by="somebody"
            )

    def _in_doubt(self) -> list[Transaction]:
        return list(Transaction.objects.filter(in_doubt_since__isnull=False).order_by("id"))

    def _resolve(self, row: Transaction) -> None:
        """They have asked the bank, and say the truth; whether it is safe they do not know."""
        key = str(row.idempotency_key)
        if key in self.bank.pending():
            return
        for person in ("first", "second"):
            try:
                resolve(
                    withdrawal_id=row.pk,
                    paid=self.bank.payments[key] > 0,
                    reference=_reference(key),
                    reason="the bank said so on the telephone",
                    by=person,
                    two_people=True,
                    not_found_grace=timedelta(seconds=GRACE),
                )
            except OperatorRefusal:
                return

    def _returnable(self) -> list[Transaction]:
        rows = Transaction.objects.filter(
            type=Type.WITHDRAWAL, status=Status.SUCCEEDED, return_credit__isnull=True
        )
        return list(rows.order_by("id"))

    # --- What must hold after each step ----------------------------------------------------------

    def _balances(self) -> dict[int, int]:
        return dict(Wallet.objects.values_list("pk", "balance"))

    @invariant()
    def the_books_are_right(self) -> None:
        rows, balances = list(Transaction.objects.order_by("id")), self._balances()
        self._no_unit_is_lost_or_created(rows, balances)
        self._every_balance_is_its_entries(rows, balances)
        withdrawals = [row for row in rows if row.type == Type.WITHDRAWAL]
        self._a_terminal_status_is_for_ever(withdrawals)
        self._our_books_agree_with_the_banks(withdrawals)

    @staticmethod
    def _no_unit_is_lost_or_created(rows: list[Transaction], balances: dict[int, int]) -> None:
        total: Counter[tuple[str, str]] = Counter()
        for row in rows:
            total[row.type, row.status] += row.amount
        came = total["DEPOSIT", "SUCCEEDED"] + total["RETURN", "SUCCEEDED"]
        gone = total["WITHDRAWAL", "PROCESSING"] + total["WITHDRAWAL", "SUCCEEDED"]
        assert sum(balances.values()) + gone == came

    @staticmethod
    def _every_balance_is_its_entries(rows: list[Transaction], balances: dict[int, int]) -> None:
        running: Counter[int] = Counter()
        legs: dict[int, tuple[tuple[str, str], ...]] = defaultdict(tuple)
        for entry in LedgerEntry.objects.order_by("id"):
            leg = (entry.debit_account, entry.credit_account)
            running[entry.wallet_id] += entry.amount * ((leg[1] == "WALLET") - (leg[0] == "WALLET"))
            assert entry.balance_after == running[entry.wallet_id] >= 0
            legs[entry.transaction_id] += (leg,)
        for wallet_id, balance in balances.items():
            assert balance == running[wallet_id] >= 0
        for row in rows:
            assert legs[row.pk] in LEGS[row.type, row.status], (row.pk, row.status, legs[row.pk])

    def _a_terminal_status_is_for_ever(self, withdrawals: list[Transaction]) -> None:
        now = {row.pk: row.status for row in withdrawals if row.status in TERMINAL}
        assert self.ended.items() <= now.items()
        self.ended = now

    def _our_books_agree_with_the_banks(self, withdrawals: list[Transaction]) -> None:
        if not hasattr(self, "bank"):
            return
        assert all(times == 1 for times in self.bank.payments.values()), self.bank.payments
        for row in withdrawals:
            key = str(row.idempotency_key)
            paid = bool(self.bank.payments[key])
            if row.status == Status.SUCCEEDED:
                assert paid, f"withdrawal {row.pk} was never paid"
                assert row.bank_reference == _reference(key)
            elif row.status != Status.PROCESSING:
                assert not paid, f"withdrawal {row.pk} is {row.status} and was paid"

    # --- The end ---------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            # A run that failed is told as it failed.
            if sys.exc_info()[0] is None and hasattr(self, "bank"):
                self._heal_and_drain()
        finally:
            transaction.set_rollback(True)
            self._run.__exit__(None, None, None)

    def _heal_and_drain(self) -> None:
        resume_payouts(by="somebody")
        # Whatever is still under way arrives at the worst moment: now.
        while self.network.under_way:
            self.network.arrive(0, "success")
            self.the_books_are_right()
        *_, last = self.workers
        for worker in self.workers[:-1]:
            self._settle(worker, acknowledged=True)
            self.the_books_are_right()
            self._crash(worker)
        for key in self.bank.pending():
            self.bank.settle_pending(key, "success")
        for _ in range(12):
            self.time_passes(900)
            self._work_off()
            if not self._unfinished().exists():
                break
        for row in self._in_doubt():
            assert self._waits_for_a_person(row), (row.pk, vars(row))
            self._resolve(row)
        # What comes far too late changes nothing.
        self._settle(last, acknowledged=True)
        self.the_books_are_right()
        assert not self._unfinished().exists(), list(self._unfinished().values())

    def _unfinished(self) -> QuerySet[Transaction]:
        return Transaction.objects.exclude(status__in=TERMINAL)

    def _work_off(self) -> None:
        worker = self.workers[0]
        for _ in range(100):
            batch = claim(
                worker=worker.id, wanted=10, policy=worker.rules, random_source=self.random
            )
            worker.hands += [self._hand(worker, each) for each in batch.claimed]
            self._call_all(worker, [FINE])
            self._settle(worker, acknowledged=True)
            self.the_books_are_right()
            if batch.drained or not batch.permission.allowed:
                return
        raise AssertionError("it never drains")

    def _waits_for_a_person(self, row: Transaction) -> bool:
        """Asking is over, or says no more than it did."""
        stranded = StatusChange.objects.filter(transaction=row, reason="awaiting_operator")
        kept_until = row.first_sent_at + RETENTION if row.first_sent_at else None
        forgotten = kept_until is not None and kept_until <= database_now()
        return row.lease_owner is None and (stranded.exists() or forgotten)


class StateMachineTest(TestCase):
    def test_it_keeps_the_money_right_whatever_happens_in_whatever_order(self) -> None:
        run_state_machine_as_test(
            PayoutMachine,
            settings=settings(
                max_examples=EXAMPLES or 25,
                stateful_step_count=50 if EXAMPLES else 35,
                derandomize=not EXAMPLES,
                database=None,
                deadline=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
