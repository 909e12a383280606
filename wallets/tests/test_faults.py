"""Twenty faults that must not cost a unit, at the size of every change.

PROOF_FULL=1 runs them at the size of a release's proof, PROOF_SEED chooses the seed.
"""

import unittest

from django.db import connection

from proof.faults.catalogue import FAULTS
from proof.faults.stage import Fault, Stage
from proof.harness.databases import PostgresServer
from wallets.tests.proof_case import ProofCase


@unittest.skipUnless(connection.vendor == "postgresql", "the faults are tried on PostgreSQL")
class FaultsTest(ProofCase):
    def survive(self, fault: Fault) -> None:
        if not isinstance(self.server, PostgresServer):
            raise TypeError("the faults are tried on PostgreSQL")
        counts = fault.run(Stage(self.server, self.scratch, self.seed, self.full))
        self.assertTrue(counts)


def _named(fault: Fault) -> None:
    def test(self: FaultsTest) -> None:
        self.survive(fault)

    test.__doc__ = f"{fault.number}: {fault.title}"
    setattr(FaultsTest, f"test_{fault.number:02}_survives_{fault.name}", test)


for _fault in FAULTS:
    _named(_fault)
