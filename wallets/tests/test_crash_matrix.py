"""An executor that dies at any named moment leaves money that another brings to its end.

Three at a time on PostgreSQL, one on SQLite, with a bank that pays, refuses and loses answers in
one run; ``python -m proof.crash_matrix`` takes the outcomes one by one.
"""

import os
from unittest import mock

from django.test import SimpleTestCase, override_settings

from proof.crash_matrix import POINTS, Cell, Outcome, Point, run_cell
from wallets.checks import check_no_crash_is_ordered
from wallets.tasks import crash_points
from wallets.tasks.crash_points import CrashPoint, UnknownCrashPoint
from wallets.tests.proof_case import ProofCase


class CrashMatrixTest(ProofCase):
    def survive(self, point: Point) -> None:
        executors = 3 if self.server.vendor == "postgresql" else 1
        result = run_cell(self.server, Cell(point, Outcome.MIXED, executors))
        self.assertEqual(result.problem, "")
        self.assertGreaterEqual(result.crashes, 1)


def _named(point: Point) -> None:
    def test(self: CrashMatrixTest) -> None:
        self.survive(point)

    setattr(CrashMatrixTest, f"test_survives_a_crash_{point.name}", test)


for _point in POINTS:
    _named(_point)


class CrashPointsTest(SimpleTestCase):
    def test_has_a_cell_for_every_point(self) -> None:
        ordered = {point.order for point in POINTS}
        self.assertEqual(ordered, {point.value for point in CrashPoint})

    def test_does_nothing_unless_told_to(self) -> None:
        with mock.patch.object(os, "_exit") as leave:
            for point in CrashPoint:
                crash_points.reach(point)
        leave.assert_not_called()

    def test_refuses_orders_it_does_not_know(self) -> None:
        for order in ("nowhere", "after_send:x", "after_send=dance"):
            with self.assertRaises(UnknownCrashPoint):
                crash_points.arm(order)

    def test_is_refused_in_production(self) -> None:
        with override_settings(DEBUG=False, EXECUTOR_CRASH_AT="after_send"):
            self.assertEqual([one.id for one in check_no_crash_is_ordered()], ["wallets.E020"])
        with override_settings(DEBUG=True, EXECUTOR_CRASH_AT="after_send"):
            self.assertEqual(check_no_crash_is_ordered(), [])
        with override_settings(DEBUG=False, EXECUTOR_CRASH_AT=""):
            self.assertEqual(check_no_crash_is_ordered(), [])
