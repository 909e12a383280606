"""Pay due withdrawals: once, for cron, or in a loop."""

import logging
import os
import random
import signal
import sys
import threading
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from tqdm import tqdm

from wallets.domain.gate import ensure_gate
from wallets.domain.withdrawals.agenda import count_due
from wallets.integrations.bank import BankGateway
from wallets.integrations.config import bank_config
from wallets.tasks import crash_points
from wallets.tasks.callers import Callers
from wallets.tasks.durability import CommitsMayBeLost, demand_durable_commits
from wallets.tasks.executor import DatabaseLost, Executor, Plan
from wallets.tasks.policy import payout_policy
from wallets.tasks.single_writer import (
    AnotherExecutorRuns,
    claim_sqlite_for_this_process,
)
from wallets.tasks.summary import Summary

_MOST_CONCURRENCY = 1_000
_MOST_LIMIT = 1_000_000


class Command(BaseCommand):
    help = "Pay due withdrawals through the bank: once, or with --loop until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--limit",
            type=int,
            default=100,
            help="withdrawals taken a cycle (default 100)",
        )
        parser.add_argument("--loop", action="store_true", help="go on until SIGTERM or Ctrl-C")
        parser.add_argument(
            "--sleep-seconds",
            type=float,
            default=2.0,
            help="longest pause of an idle loop, in seconds (default 2)",
        )
        parser.add_argument(
            "--concurrency",
            type=int,
            default=settings.EXECUTOR_CONCURRENCY,
            help="bank calls at once (default EXECUTOR_CONCURRENCY)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        plan = _plan(options)
        crash_points.arm(settings.EXECUTOR_CRASH_AT)
        try:
            lock = claim_sqlite_for_this_process()
        except AnotherExecutorRuns:
            raise CommandError(
                "Another executor works on this SQLite database. SQLite allows one; for several "
                "set DATABASE_URL to PostgreSQL, or raise --concurrency (EXECUTOR_CONCURRENCY)."
            ) from None
        try:
            if not settings.DEBUG:
                demand_durable_commits()
            ensure_gate()
        except OperationalError as error:
            raise CommandError(f"The database cannot be reached: {str(error).strip()}") from None
        except CommitsMayBeLost:
            raise CommandError(
                "PostgreSQL runs with synchronous_commit=off: it may forget a claim after the bank "
                "has paid. Set it to on, for the server or for this role."
            ) from None
        with _progress(plan) as bar:
            executor = self._executor(plan, bar)
            try:
                executor.run()
            except DatabaseLost:
                raise CommandError(
                    "The database stayed away for longer than "
                    "WITHDRAWAL_PROCESSING_STALE_SECONDS; the next run takes over."
                ) from None
        if lock is not None:
            lock.close()

    def _executor(self, plan: Plan, bar: "tqdm[Any]") -> Executor:
        config = bank_config()
        return Executor(
            plan=plan,
            policy=payout_policy(),
            callers=Callers(
                count=plan.concurrency,
                make_gateway=lambda: BankGateway(config),
                send_seconds=settings.BANK_TIMEOUT,
            ),
            stop=_stop_on_signals(),
            on_cycle=self._print_cycle,
            on_progress=lambda done: _advance(bar, done),
            random_source=random.SystemRandom(),
        )

    def _print_cycle(self, summary: Summary) -> None:
        self.stdout.write(str(summary))
        self.stdout.flush()


def _plan(options: dict[str, Any]) -> Plan:
    limit, concurrency = options["limit"], options["concurrency"]
    sleep_seconds = options["sleep_seconds"]
    if not 1 <= limit <= _MOST_LIMIT:
        raise CommandError(f"--limit accepts a whole number from 1 to {_MOST_LIMIT}, not {limit}.")
    if not 1 <= concurrency <= _MOST_CONCURRENCY:
        raise CommandError(
            f"--concurrency accepts a whole number from 1 to {_MOST_CONCURRENCY}, "
            f"not {concurrency}."
        )
    if not 0.01 <= sleep_seconds <= 3_600:
        raise CommandError(
            f"--sleep-seconds accepts a number from 0.01 to 3600, not {sleep_seconds}."
        )
    return Plan(
        limit=limit,
        concurrency=concurrency,
        loop=options["loop"],
        sleep_seconds=sleep_seconds,
    )


def _progress(plan: Plan) -> "tqdm[Any]":
    """A bar on a terminal; elsewhere the structured log is what there is to see."""
    on_terminal = sys.stderr.isatty()
    total = None
    if on_terminal:
        logging.getLogger("wallets").setLevel(logging.WARNING)
        total = None if plan.loop else min(plan.limit, count_due())
    return tqdm(total=total, unit="withdrawal", disable=not on_terminal, leave=False)


def _advance(bar: "tqdm[Any]", done: int) -> None:
    bar.update(done)


def _stop_on_signals() -> threading.Event:
    """The first signal asks; the second leaves at once, which the leases make safe.

    Outside the main thread, as when another program calls the command, signals stay as they are.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
    return stop
