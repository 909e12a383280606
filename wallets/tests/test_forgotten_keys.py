"""Asking about a key that the bank may no longer know."""

import time

from django.test import SimpleTestCase

from wallets.domain.outcomes import Outcome, Transfer, Verdict
from wallets.domain.withdrawals.claim import Claimed
from wallets.domain.withdrawals.followup import Step
from wallets.tasks.callers import Callers
from wallets.tasks.hand import InHand
from wallets.tests.money import outcome


class ListeningGateway:
    """Notes how long ago the last send is said to be."""

    def __init__(self) -> None:
        self.told: list[float | None] = []

    def inquire(self, transfer: Transfer, *, seconds_since_last_send: float | None) -> Outcome:
        self.told.append(seconds_since_last_send)
        return outcome(Verdict.IN_DOUBT)

    def close(self) -> None:
        pass


class ForgottenKeyTest(SimpleTestCase):
    def ask(self, *, kept_for: float) -> float | None:
        gateway = ListeningGateway()
        callers = Callers(count=1, make_gateway=self.fail, send_seconds=3.0)
        transfer = Transfer("k", "w", 1, "IRR")
        claimed = Claimed(1, 2, transfer, Step.ASK, True, 5_000.0, kept_for)
        now = time.monotonic()
        item = InHand(claimed, deadline=now + 30, key_kept_until=now + kept_for)
        callers._call(gateway, item)  # type: ignore[arg-type]
        return gateway.told[0]

    def test_counts_the_time_since_the_last_send_while_the_key_is_kept(self) -> None:
        self.assertEqual(self.ask(kept_for=60), 5_000.0)

    def test_takes_not_found_for_no_proof_once_the_key_may_be_forgotten(self) -> None:
        """The bank paid a day ago, its answer was lost, and it no longer knows the key."""
        for kept_for in (-3_600.0, 0.0, 2.0):  # the answer may come three seconds from now
            with self.subTest(kept_for=kept_for):
                self.assertIsNone(self.ask(kept_for=kept_for))
