"""The soak at the size of every change: seconds instead of minutes."""

import unittest

from django.db import connection

from proof.soak import soak
from wallets.tests.proof_case import ProofCase


@unittest.skipUnless(connection.vendor == "postgresql", "its PostgreSQL is killed and restarted")
class SoakTest(ProofCase):
    def test_loses_nothing_while_everything_around_it_fails(self) -> None:
        result = soak(minutes=10 if self.full else 0.1, seed=self.seed, scratch=self.scratch)
        self.assertEqual(result.problem, "")
        self.assertGreater(result.counts["withdrawals"], 0)
        self.assertEqual(result.counts["bank_payments"], result.counts["succeeded"])
