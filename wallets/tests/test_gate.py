"""The gate: rate limit, throttling, breaker and pauses, as arithmetic on one row."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.test import SimpleTestCase, TestCase

from wallets.domain.gate import Closed, Finding, absorb, ensure_gate, enter, leave, permit, report
from wallets.domain.outcomes import BankHealth
from wallets.domain.policy import PayoutPolicy
from wallets.models import BankGate
from wallets.tests.money import policy

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLOSED, OPEN, HALF_OPEN = BankGate.Breaker.CLOSED, BankGate.Breaker.OPEN, BankGate.Breaker.HALF_OPEN
ANSWERED = Finding(BankHealth.ANSWERED)
UNREACHABLE = Finding(BankHealth.UNREACHABLE)
MISCONFIGURED = Finding(BankHealth.MISCONFIGURED)
THROTTLED = Finding(BankHealth.THROTTLED)
UNTRIED = Finding(BankHealth.UNTRIED)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def at(number: float) -> datetime:
    return NOW + seconds(number)


def probe(finding: Finding) -> Finding:
    return replace(finding, probe=True)


def gate(**columns: Any) -> BankGate:
    return BankGate(name="bank", **columns)


class PermitTest(SimpleTestCase):
    def test_decides_by_the_table(self) -> None:
        asleep, cool = at(20), at(-1)
        halted = {"halted_at": at(-60), "halted_by": "eva", "halted_reason": "fraud"}
        # gate, rules, wanted -> allowed, closed, wait in seconds, probing, must send
        table: list[tuple[str, dict[str, Any], dict[str, Any], int, tuple[Any, ...]]] = [
            ("healthy", {}, {}, 32, (32, None, 0, False, False)),
            ("throttled", {"paused_until": at(5)}, {}, 32, (0, Closed.THROTTLED, 5, False, False)),
            ("throttle over", {"paused_until": at(0)}, {}, 32, (32, None, 0, False, False)),
            ("a failure or more", {"consecutive_failures": 3}, {}, 32, (7, None, 0, False, False)),
            ("nearly open", {"consecutive_failures": 9}, {}, 32, (1, None, 0, False, False)),
            (
                "threshold lowered meanwhile",
                {"consecutive_failures": 9},
                {"breaker_failures": 3},
                32,
                (1, None, 0, False, False),
            ),
            (
                "open",
                {"breaker": OPEN, "retry_at": asleep, "consecutive_failures": 10},
                {},
                32,
                (0, Closed.BREAKER_OPEN, 1, False, False),
            ),
            (
                "open, nearly over",
                {"breaker": OPEN, "retry_at": at(0.25), "consecutive_failures": 10},
                {},
                32,
                (0, Closed.BREAKER_OPEN, 0.25, False, False),
            ),
            (
                "cooled down",
                {"breaker": OPEN, "retry_at": cool, "consecutive_failures": 10},
                {},
                32,
                (1, None, 0, True, False),
            ),
            (
                "cooled down after wrong credentials",
                {"breaker": OPEN, "retry_at": cool},
                {},
                32,
                (1, None, 0, True, True),
            ),
            (
                "a probe is out",
                {"breaker": HALF_OPEN, "retry_at": asleep, "consecutive_failures": 10},
                {},
                32,
                (0, Closed.BREAKER_OPEN, 1, False, False),
            ),
            (
                "the probe was lost with its worker",
                {"breaker": HALF_OPEN, "retry_at": cool, "consecutive_failures": 10},
                {},
                32,
                (1, None, 0, True, False),
            ),
            (
                "throttled while open",
                {"breaker": OPEN, "retry_at": cool, "paused_until": at(3)},
                {},
                32,
                (0, Closed.THROTTLED, 3, False, False),
            ),
            ("paused", halted, {}, 32, (32, Closed.HALTED, 1, False, False)),
            (
                "paused, and nothing can be asked",
                halted,
                {"inquiry_configured": False},
                32,
                (0, Closed.HALTED, 1, False, False),
            ),
            (
                "paused and open",
                halted | {"breaker": OPEN, "retry_at": asleep},
                {},
                32,
                (0, Closed.HALTED, 1, False, False),
            ),
            (
                "paused and cooled down",
                halted | {"breaker": OPEN, "retry_at": cool},
                {},
                32,
                (1, Closed.HALTED, 1, True, False),
            ),
            (
                "paused and throttled for longer than a look",
                halted | {"paused_until": at(9)},
                {},
                32,
                (0, Closed.HALTED, 9, False, False),
            ),
        ]
        for name, columns, rules, wanted, expected in table:
            with self.subTest(name):
                found = permit(gate(**columns), wanted=wanted, now=NOW, policy=policy(**rules))
                self.assertEqual(
                    (
                        found.allowed,
                        found.closed,
                        found.wait.total_seconds(),
                        found.probing,
                        found.must_send,
                    ),
                    expected,
                )

    def test_changes_nothing(self) -> None:
        row = gate(
            tokens=3.0, refilled_at=at(-1), breaker=OPEN, retry_at=at(-1), consecutive_failures=10
        )
        before = dict(vars(row))
        permit(row, wanted=5, now=NOW, policy=policy(max_rps=50))
        self.assertEqual(vars(row), before)

    def test_is_shut_only_where_nothing_may_go_to_the_bank(self) -> None:
        halted = {"halted_at": NOW, "halted_by": "eva", "halted_reason": "fraud"}
        table: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
            ({}, {}, False),
            ({"paused_until": at(5)}, {}, True),
            ({"breaker": OPEN, "retry_at": at(5)}, {}, True),
            ({"tokens": 0.0, "refilled_at": NOW}, {"max_rps": 10}, False),
            (halted, {}, False),
            (halted, {"inquiry_configured": False}, True),
        ]
        for columns, rules, shut in table:
            with self.subTest(columns=columns, rules=rules):
                found = permit(gate(**columns), wanted=1, now=NOW, policy=policy(**rules))
                self.assertIs(found.shut, shut)


class ClockSetBackTest(SimpleTestCase):
    """Every time in the row may lie hours ahead once the database's clock was corrected."""

    def test_does_not_wait_for_times_that_were_never_set_so_far_ahead(self) -> None:
        later = at(3_600)
        for columns in (
            {"paused_until": later},
            {"breaker": OPEN, "retry_at": later},
            {"breaker": HALF_OPEN, "retry_at": later},
            {"tokens": -5.0, "refilled_at": later},
        ):
            with self.subTest(columns):
                found = permit(gate(**columns), wanted=5, now=NOW, policy=policy(max_rps=50))
                self.assertIsNone(found.closed)
                self.assertGreaterEqual(found.allowed, 1)

    def test_gives_no_more_than_a_full_bucket_for_it(self) -> None:
        row = gate(tokens=0.0, refilled_at=at(3_600))
        found = permit(row, wanted=100, now=NOW, policy=policy(max_rps=50))
        self.assertEqual(found.allowed, 5)

    def test_throttles_from_now_although_an_old_pause_lies_hours_ahead(self) -> None:
        row = gate(paused_until=at(3_600))
        absorb(row, replace(THROTTLED, retry_after=2.0), now=NOW, policy=policy())
        self.assertEqual(row.paused_until, at(2))


class TokensTest(SimpleTestCase):
    def take(self, row: BankGate, when: datetime, rules: PayoutPolicy, wanted: int = 1_000) -> int:
        found = permit(row, wanted=wanted, now=when, policy=rules)
        if found.allowed:
            row.tokens, row.refilled_at = found.tokens - found.allowed, when
        return found.allowed

    def test_never_lets_more_through_in_any_second_than_the_limit(self) -> None:
        for limit in (0.5, 1, 2, 9, 10, 25, 50, 99, 1_000):
            # As fast as anybody can ask; slowly enough to save up; in between.
            for every in (0.001, 0.02, 0.13):
                with self.subTest(limit=limit, every=every):
                    row, rules = gate(), policy(max_rps=float(limit))
                    times = [n * every for n in range(round(3 / every))]
                    taken = {t: k for t in times if (k := self.take(row, at(t), rules))}
                    for start in taken:
                        window = sum(k for t, k in taken.items() if start <= t < start + 0.999)
                        self.assertLessEqual(window, max(limit, 1))

    def test_uses_most_of_the_limit(self) -> None:
        for limit in (1, 9, 10, 50, 1_000):
            with self.subTest(limit=limit):
                row, rules = gate(), policy(max_rps=float(limit))
                taken = sum(self.take(row, at(n * 0.02), rules) for n in range(500))
                self.assertGreaterEqual(taken, 0.75 * 10 * limit)

    def test_waits_for_exactly_one_token(self) -> None:
        row, rules = gate(tokens=0.25, refilled_at=NOW), policy(max_rps=5.0)
        found = permit(row, wanted=3, now=NOW, policy=rules)
        self.assertEqual((found.closed, found.allowed), (Closed.RATE_LIMITED, 0))
        again = permit(row, wanted=3, now=NOW + found.wait, policy=rules)
        self.assertEqual((again.closed, again.allowed), (None, 1))

    def test_takes_retries_off_what_may_be_claimed_next(self) -> None:
        row, rules = gate(tokens=5.0, refilled_at=NOW), policy(max_rps=50.0)
        absorb(row, replace(ANSWERED, extra_requests=7), now=NOW, policy=rules)
        found = permit(row, wanted=3, now=NOW, policy=rules)
        self.assertEqual(found.closed, Closed.RATE_LIMITED)
        self.assertAlmostEqual(found.wait.total_seconds(), 3 / 43, places=4)

    def test_runs_up_no_debt_while_there_is_no_limit(self) -> None:
        row = gate()
        absorb(row, replace(ANSWERED, extra_requests=7), now=NOW, policy=policy())
        self.assertEqual(row.tokens, 0)

    def test_asks_for_no_token_while_there_is_no_limit(self) -> None:
        row = gate(tokens=-1e9, refilled_at=NOW)
        self.assertEqual(permit(row, wanted=9, now=NOW, policy=policy()).allowed, 9)

    def test_limits_questions_during_a_pause_too(self) -> None:
        row = gate(
            tokens=2.0, refilled_at=NOW, halted_at=NOW, halted_by="eva", halted_reason="fraud"
        )
        self.assertEqual(permit(row, wanted=9, now=NOW, policy=policy(max_rps=50)).allowed, 2)


class BreakerTest(SimpleTestCase):
    def after(self, row: BankGate, *findings: Finding, **rules: Any) -> BankGate:
        for finding in findings:
            absorb(row, finding, now=NOW, policy=policy(**rules))
        return row

    def test_follows_the_table(self) -> None:
        half_open = {"breaker": HALF_OPEN, "retry_at": at(30), "consecutive_failures": 10}
        is_open = {"breaker": OPEN, "retry_at": at(20), "consecutive_failures": 10}
        # before, findings -> breaker, consecutive failures, retry at
        table: list[tuple[str, dict[str, Any], list[Finding], tuple[Any, ...]]] = [
            ("one failure", {}, [UNREACHABLE], (CLOSED, 1, None)),
            ("nine failures", {}, [UNREACHABLE] * 9, (CLOSED, 9, None)),
            ("ten failures", {}, [UNREACHABLE] * 10, (OPEN, 10, at(30))),
            (
                "an answer in between",
                {},
                [UNREACHABLE] * 9 + [ANSWERED] + [UNREACHABLE] * 9,
                (CLOSED, 9, None),
            ),
            ("unsent in between", {}, [UNREACHABLE, UNTRIED] * 10, (OPEN, 10, at(30))),
            ("429 in between", {}, [UNREACHABLE, THROTTLED] * 10, (OPEN, 10, at(30))),
            ("one bad credential", {}, [MISCONFIGURED], (OPEN, 0, at(30))),
            ("more failures when open", is_open, [UNREACHABLE], (OPEN, 11, at(20))),
            ("a late answer when open", is_open, [ANSWERED], (OPEN, 0, at(20))),
            ("the probe is answered", half_open, [probe(ANSWERED)], (CLOSED, 0, None)),
            ("the probe is throttled", half_open, [probe(THROTTLED)], (CLOSED, 0, None)),
            ("the probe fails", half_open, [probe(UNREACHABLE)], (OPEN, 11, at(30))),
            ("the probe is turned away", half_open, [probe(MISCONFIGURED)], (OPEN, 0, at(30))),
            ("the probe was not made", half_open, [probe(UNTRIED)], (HALF_OPEN, 10, NOW)),
            ("a late answer", half_open, [ANSWERED], (HALF_OPEN, 0, at(30))),
            ("a late failure", half_open, [UNREACHABLE], (HALF_OPEN, 11, at(30))),
            ("a late 429", half_open, [THROTTLED], (HALF_OPEN, 10, at(30))),
            ("another's unsent row", half_open, [UNTRIED], (HALF_OPEN, 10, at(30))),
            (
                "an old probe, after the breaker closed",
                {},
                [probe(UNREACHABLE)],
                (CLOSED, 1, None),
            ),
        ]
        for name, before, findings, expected in table:
            with self.subTest(name):
                row = self.after(gate(**before), *findings)
                self.assertEqual((row.breaker, row.consecutive_failures, row.retry_at), expected)

    def test_pauses_everybody_for_as_long_as_the_bank_asks(self) -> None:
        for retry_after, pause in ((None, 1.0), (0.0, 0.0), (7.0, 7.0), (3_600.0, 60.0)):
            with self.subTest(retry_after):
                row = self.after(gate(), replace(THROTTLED, retry_after=retry_after))
                self.assertEqual(row.paused_until, at(pause))

    def test_never_shortens_a_pause(self) -> None:
        row = gate(paused_until=at(30))
        self.after(row, replace(THROTTLED, retry_after=2.0))
        self.assertEqual(row.paused_until, at(30))


class GateRowTest(TestCase):
    def setUp(self) -> None:
        ensure_gate()

    def test_lets_one_probe_through_at_a_time(self) -> None:
        BankGate.objects.update(breaker=OPEN, retry_at=None, consecutive_failures=10)
        entered = enter()
        assert entered is not None
        row, now = entered
        first = permit(row, wanted=8, now=now, policy=policy())
        leave(row, first, taken=1, now=now, policy=policy())
        second = permit(BankGate.objects.get(), wanted=8, now=now, policy=policy())
        self.assertEqual((first.allowed, first.probing), (1, True))
        self.assertEqual((second.allowed, second.closed), (0, Closed.BREAKER_OPEN))

    def test_stays_open_when_there_was_nothing_to_probe_with(self) -> None:
        BankGate.objects.update(breaker=OPEN, retry_at=None, consecutive_failures=10)
        entered = enter()
        assert entered is not None
        row, now = entered
        permission = permit(row, wanted=8, now=now, policy=policy())
        leave(row, permission, taken=0, now=now, policy=policy())
        self.assertEqual(BankGate.objects.get().breaker, OPEN)

    def test_keeps_what_is_left_of_the_tokens(self) -> None:
        entered = enter()
        assert entered is not None
        row, now = entered
        rules = policy(max_rps=50)
        permission = permit(row, wanted=3, now=now, policy=rules)
        leave(row, permission, taken=3, now=now, policy=rules)
        self.assertEqual((permission.allowed, BankGate.objects.get().tokens), (3, 2))

    def test_tells_a_reporter_what_would_now_be_permitted(self) -> None:
        permission = report([MISCONFIGURED], policy=policy())
        self.assertEqual((permission.closed, permission.shut), (Closed.BREAKER_OPEN, True))
        self.assertEqual(BankGate.objects.get().breaker, OPEN)

    def test_lifts_no_pause_by_a_person_when_it_reports(self) -> None:
        halted = {"halted_at": NOW, "halted_by": "eva", "halted_reason": "fraud"}
        BankGate.objects.update(**halted)
        report([ANSWERED] * 3, policy=policy())
        row = BankGate.objects.get()
        self.assertEqual((row.halted_at, row.halted_by), (NOW, "eva"))
