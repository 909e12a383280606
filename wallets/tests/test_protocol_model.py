"""The payout protocol, every reachable state at a small size; more: proof/protocol_model.py."""

from django.test import SimpleTestCase

from proof.model.options import ASSUMPTIONS, GUARDS, REDUNDANT, Options
from proof.model.search import Found, search
from proof.protocol_model import PAIR, QUICK, options_for
from wallets.domain.outcomes import Idempotency


class ProtocolTest(SimpleTestCase):
    def assert_safe(self, found: Found) -> None:
        self.assertEqual((found.violation, found.trace), ("", []))
        self.assertEqual((found.stuck, found.stuck_trace), (0, []))

    def test_it_never_loses_a_payment_whatever_is_lost_or_late_or_dies(self) -> None:
        for bank in Idempotency:
            with self.subTest(bank=bank):
                found = search(Options(bank, inquiry=True, size=QUICK))
                self.assert_safe(found)
                # Every ending is there, and so are rows that only a person can end.
                endings = {("SUCCEEDED",), ("FAILED",), ("PROCESSING",)}
                self.assertEqual(found.endings.keys(), endings)

    def test_it_needs_no_inquiry_to_be_safe(self) -> None:
        self.assert_safe(search(Options(Idempotency.NONE, inquiry=False, size=QUICK)))
        self.assert_safe(search(Options(Idempotency.FULL, inquiry=False, size=PAIR)))

    def test_it_shares_one_wallet_between_two_withdrawals(self) -> None:
        for deposited in (100, 120):
            with self.subTest(deposited=deposited):
                options = Options(
                    Idempotency.NONE,
                    inquiry=False,
                    withdrawals=2,
                    deposited=deposited,
                    size=PAIR,
                )
                self.assert_safe(search(options))


class NothingIsLeftOverTest(SimpleTestCase):
    """A search that finds nothing proves little unless it finds what there is to be found."""

    def test_it_finds_what_each_guard_prevents(self) -> None:
        for name, rule in GUARDS.items():
            if name not in REDUNDANT:
                with self.subTest(guard=name):
                    found = search(options_for(name, "without", rule), liveness=False)
                    self.assertTrue(found.violation)

    def test_it_finds_what_each_assumption_is_needed_for(self) -> None:
        for name, rule in ASSUMPTIONS.items():
            with self.subTest(assumption=name):
                found = search(options_for(name, "broken", rule), liveness=False)
                self.assertTrue(found.violation)

    def test_it_tells_the_shortest_story(self) -> None:
        found = search(
            Options(Idempotency.FULL, False, size=QUICK, without=frozenset({"maybe_sent"})),
            liveness=False,
        )
        self.assertEqual(found.violation, "the money was given back and the bank has paid")
        self.assertEqual(len(found.trace), 7, found.trace)
        self.assertTrue(found.trace[-1].endswith("settles refused"))

    def test_it_knows_the_guards_it_may_take_away(self) -> None:
        with self.assertRaisesMessage(ValueError, "no_such_guard"):
            Options(Idempotency.FULL, True, without=frozenset({"no_such_guard"}))
