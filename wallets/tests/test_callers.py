"""The queue between the executor's main thread and those that call the bank."""

import signal
import threading
import time
import unittest
from types import FrameType

from django.test import SimpleTestCase

from wallets.integrations.bank import BankGateway
from wallets.tasks.callers import Callers
from wallets.tasks.hand import Crashed

_LONGEST = 0.01  # seconds that a wait is to take
_STUCK = 5.0


def no_gateway() -> BankGateway:
    raise AssertionError("nobody calls the bank here")


@unittest.skipUnless(
    threading.current_thread() is threading.main_thread(), "signals reach the main thread only"
)
class WaitTest(SimpleTestCase):
    def test_ends_although_a_signal_comes_as_it_runs_out(self) -> None:
        """CPython's SimpleQueue waits for ever then (seen in 3.11.7): an idle executor that was
        asked to stop at that moment never did."""
        callers = Callers(count=1, make_gateway=no_gateway, send_seconds=1.0)

        def on_alarm(number: int, frame: FrameType | None) -> None:
            time.sleep(_LONGEST / 2)

        before = signal.signal(signal.SIGALRM, on_alarm)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        stuck = threading.Timer(_STUCK, callers._done.put, [Crashed(TimeoutError("stuck"))])
        stuck.start()
        self.addCleanup(stuck.cancel)
        # Each time a little later, so that some come at the very end.
        for step in range(200):
            signal.setitimer(signal.ITIMER_REAL, _LONGEST * (0.5 + step / 400))
            self.assertEqual(callers.wait(_LONGEST), [])
