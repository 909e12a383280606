"""The threads that call the bank. Each owns one gateway; none touches the database."""

import threading
import time
from collections.abc import Callable
from queue import Empty, Queue, SimpleQueue
from typing import TypeVar

from wallets.domain.outcomes import Outcome
from wallets.domain.withdrawals.followup import Step
from wallets.integrations.bank import BankGateway
from wallets.tasks.crash_points import CrashPoint, reach
from wallets.tasks.hand import Crashed, Finished, InHand

T = TypeVar("T")


class Callers:
    def __init__(
        self,
        *,
        count: int,
        make_gateway: Callable[[], BankGateway],
        send_seconds: float,
    ) -> None:
        """``send_seconds``: the longest one send may take, so that it ends inside the lease."""
        self._make_gateway = make_gateway
        self._send_seconds = send_seconds
        self._todo: SimpleQueue[InHand | None] = SimpleQueue()
        # Not a SimpleQueue: a signal at the end of its timeout makes its ``get`` wait for ever.
        self._done: Queue[Finished | Crashed] = Queue()
        self._held = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"bank-{n}", daemon=True) for n in range(count)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def give(self, item: InHand) -> None:
        self._todo.put(item)

    def hold(self) -> list[InHand]:
        """Send nothing more; return what no thread has begun."""
        self._held.set()
        waiting: list[InHand] = []
        while (item := _take(self._todo)) is not None:
            waiting.append(item)
        return waiting

    def release(self) -> None:
        self._held.clear()

    def wait(self, timeout: float) -> list[Finished]:
        """What has finished, waiting up to ``timeout`` seconds for the first.

        Raises what a thread raised.
        """
        try:
            first = self._done.get(timeout=timeout) if timeout > 0 else self._done.get_nowait()
        except Empty:
            return []
        finished: list[Finished] = []
        arrived: Finished | Crashed | None = first
        while arrived is not None:
            if isinstance(arrived, Crashed):
                raise arrived.error
            finished.append(arrived)
            arrived = _take(self._done)
        return finished

    def stop(self) -> None:
        """Let the threads go once they are done with what they hold."""
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join(timeout=self._send_seconds)

    def _work(self) -> None:
        gateway = self._make_gateway()
        try:
            while (item := self._todo.get()) is not None:
                self._done.put(Finished(item, self._call(gateway, item)))
        # Not hidden: the main thread raises it again.
        except Exception as error:  # noqa: BLE001
            self._done.put(Crashed(error))
        finally:
            gateway.close()

    def _call(self, gateway: BankGateway, item: InHand) -> Outcome:
        claimed = item.claimed
        if claimed.step is Step.ASK:
            answer = gateway.inquire(
                claimed.transfer,
                # A bank that may have forgotten the key says "not found" of what it paid.
                seconds_since_last_send=(
                    claimed.seconds_since_last_send if self._key_is_kept(item) else None
                ),
            )
            reach(CrashPoint.IN_INQUIRY)
            return answer
        return gateway.transfer(
            claimed.transfer,
            maybe_sent=claimed.maybe_sent,
            may_send=lambda: self._may_send(item),
        )

    def _may_send(self, item: InHand) -> bool:
        if self._held.is_set():
            return False
        end = time.monotonic() + self._send_seconds
        if end > item.deadline or not self._key_is_kept(item):
            return False
        reach(CrashPoint.BEFORE_SEND)
        return True

    def _key_is_kept(self, item: InHand) -> bool:
        return time.monotonic() + self._send_seconds <= item.key_kept_until


def _take(queue: "Queue[T] | SimpleQueue[T]") -> T | None:
    try:
        return queue.get_nowait()
    except Empty:
        return None
