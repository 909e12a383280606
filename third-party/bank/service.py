"""The bank's front: what each path does, and where a request meets its fault."""

import asyncio
import functools
import sqlite3
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from bank.answers import Answer, error, invalid_request
from bank.book import PAY, Book, Decision
from bank.connection import Exchange
from bank.counters import Counters
from bank.faults import INQUIRY, SUCCESS_PAGE, TRANSFER, Call
from bank.payments import InvalidError, read_json_object, read_payment
from bank.rules import Choice, Rules, read_rule
from bank.statement import LedgerQuery, csv_pieces, json_page, read_ledger_query, read_query
from bank.teller import Teller
from bank.wire import Request, Response

INQUIRY_PATH = "/transfers/"

Route: TypeAlias = Callable[[Exchange], None]
Settle: TypeAlias = Callable[[Decision], Answer]

_BROKEN = error(500, "internal_error", "the book cannot be written")
# Nobody's payment: a client that follows the redirect must not take it for one.
_SUCCESS_PAGE = Answer(200, {"data": "success", "status": 200, "reference": "MB-no-payment"})


class Service:
    """``latency`` in seconds, before each transfer and inquiry."""

    def __init__(self, book: Book, rules: Rules, *, latency: float = 0.0) -> None:
        self._book = book
        self._teller = Teller(book)
        self._rules = rules
        self._counters = Counters()
        self._latency = latency
        self._acts: set[asyncio.Task[None]] = set()
        self._routes: dict[str, dict[str, Route]] = {
            "/": {"POST": self._transfer},
            "/ledger": {"GET": self._ledger},
            "/requests": {"GET": self._requests},
            "/health": {"GET": self._health},
            "/control": {
                "GET": self._list_rules,
                "POST": self._add_rule,
                "PUT": self._add_rule,
                "DELETE": self._clear_rules,
            },
            "/control/reset-book": {"POST": self._reset_book},
            SUCCESS_PAGE: {"GET": self._success_page},
        }
        self._inquiry_route: dict[str, Route] = {"GET": self._inquiry}

    def handle(self, request: Request, exchange: Exchange) -> None:
        methods = self._routes.get(request.path)
        if methods is None and request.path.startswith(INQUIRY_PATH):
            methods = self._inquiry_route
        if methods is None:
            _send(exchange, error(404, "no_such_path", "see the README for what there is"))
            return
        route = methods.get(request.method)
        if route is None:
            allowed = ", ".join(methods)
            _send(exchange, error(405, "no_such_method", f"try {allowed}", Allow=allowed))
            return
        route(exchange)

    async def stop(self) -> None:
        """Drop what is under way: answers not given, payments not made."""
        for act in self._acts:
            act.cancel()
        await asyncio.gather(*self._acts, return_exceptions=True)

    # --- Payments

    def _transfer(self, exchange: Exchange) -> None:
        request = exchange.request
        try:
            payment = read_payment(request.body, request.headers)
        except InvalidError as problem:
            _send(exchange, invalid_request(str(problem)))
            return
        self._counters.count(TRANSFER, payment.key)
        facts = {
            "key": payment.key,
            "amount": payment.amount,
            "wallet_owner_ref": payment.wallet_owner_ref,
            "currency": payment.currency,
        }
        choice = self._rules.choose(TRANSFER, facts, is_paid=lambda: self._is_paid(payment.key))
        settle = functools.partial(self._teller.transfer, payment, habits=choice.habits)
        self._soon(exchange, choice, settle)

    def _inquiry(self, exchange: Exchange) -> None:
        key = exchange.request.path.removeprefix(INQUIRY_PATH)
        if not key or not key.isprintable():
            _send(exchange, error(400, "bad_key", "a key has one or more printable characters"))
            return
        self._counters.count(INQUIRY, key)
        choice = self._rules.choose(
            INQUIRY, self._facts_about(key), is_paid=lambda: self._is_paid(key)
        )
        self._soon(exchange, choice, lambda _: self._teller.inquiry(key))

    def _is_paid(self, key: str) -> bool:
        known = self._teller.find(key)
        return known is not None and known.reference is not None

    def _facts_about(self, key: str) -> dict[str, Any]:
        known = self._teller.find(key)
        if known is None:
            return {"key": key}
        payment = known.payment
        return {
            "key": key,
            "amount": payment.amount,
            "wallet_owner_ref": payment.wallet_owner_ref,
            "currency": payment.currency,
        }

    def _soon(self, exchange: Exchange, choice: Choice, settle: Settle) -> None:
        if self._latency:
            loop = asyncio.get_running_loop()
            loop.call_later(self._latency, self._meet, exchange, choice, settle)
        else:
            self._meet(exchange, choice, settle)

    def _meet(self, exchange: Exchange, choice: Choice, settle: Settle) -> None:
        """Where a request meets its fault, or is honestly served."""
        if choice.fault is None or choice.fault.act is None:
            self._serve(exchange, functools.partial(settle, PAY))
            return
        exchange.fault = choice.fault.name
        call = Call(exchange, functools.partial(self._settled, settle))
        self._start(exchange, choice.fault.act(call, choice.arg))

    def _serve(self, exchange: Exchange, work: Callable[[], Answer]) -> None:
        """Answer once everything that ``work`` wrote, or saw written, is kept."""
        try:
            answer = work()
        except sqlite3.Error:
            _send(exchange, _BROKEN)
            return
        self._book.when_committed(lambda failure: _send(exchange, _BROKEN if failure else answer))

    async def _settled(self, settle: Settle, decision: Decision) -> Answer:
        answer = settle(decision)
        await self._committed()
        return answer

    async def _committed(self) -> None:
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def resolve(failure: sqlite3.Error | None) -> None:
            if committed.done():
                return
            if failure is None:
                committed.set_result(None)
            else:
                committed.set_exception(failure)

        self._book.when_committed(resolve)
        await committed

    def _start(self, exchange: Exchange, act: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(act)
        self._acts.add(task)
        task.add_done_callback(functools.partial(self._ended, exchange))

    def _ended(self, exchange: Exchange, task: asyncio.Task[None]) -> None:
        self._acts.discard(task)
        if task.cancelled():
            exchange.reset()
        elif (problem := task.exception()) is not None:
            if exchange.begun:
                exchange.reset()
            else:
                _send(exchange, _BROKEN)
            if not isinstance(problem, sqlite3.Error):
                context = {"message": f"fault {exchange.fault} broke", "exception": problem}
                task.get_loop().call_exception_handler(context)

    # --- What was paid and asked

    def _ledger(self, exchange: Exchange) -> None:
        try:
            query = read_ledger_query(exchange.request.query)
        except InvalidError as problem:
            _send(exchange, error(400, "bad_query", str(problem)))
            return
        if query.as_csv:
            self._start(exchange, self._stream_statement(exchange, query))
            return

        def page() -> Answer:
            self._book.settle_due(now=time.time())
            return Answer(200, json_page(self._book, query))

        self._serve(exchange, page)

    async def _stream_statement(self, exchange: Exchange, query: LedgerQuery) -> None:
        self._book.settle_due(now=time.time())
        await self._committed()
        response = Response(200, b"", content_type="text/csv; charset=utf-8")
        await exchange.stream(response, csv_pieces(self._book, query))

    def _requests(self, exchange: Exchange) -> None:
        try:
            query = read_query(exchange.request.query, known=frozenset({"key"}))
        except InvalidError as problem:
            _send(exchange, error(400, "bad_query", str(problem)))
            return
        _send(exchange, Answer(200, self._counters.describe(query.get("key"))))

    def _health(self, exchange: Exchange) -> None:
        _send(exchange, Answer(200, {"data": "ok", "status": 200}))

    def _success_page(self, exchange: Exchange) -> None:
        _send(exchange, _SUCCESS_PAGE)

    # --- Control

    def _list_rules(self, exchange: Exchange) -> None:
        _send(exchange, Answer(200, {"data": "rules", "rules": self._rules.describe()}))

    def _add_rule(self, exchange: Exchange) -> None:
        try:
            rule = self._rules.add(read_rule(read_json_object(exchange.request.body)))
        except InvalidError as problem:
            _send(exchange, error(400, "bad_rule", str(problem)))
            return
        _send(exchange, Answer(201, {"data": "rule", "rule": rule.describe()}))

    def _clear_rules(self, exchange: Exchange) -> None:
        self._rules.clear()
        _send(exchange, Answer(200, {"data": "rules", "rules": []}))

    def _reset_book(self, exchange: Exchange) -> None:
        # What is still under way would land in the new book.
        for act in self._acts:
            act.cancel()
        self._counters.clear()

        def empty() -> Answer:
            self._book.empty()
            return Answer(200, {"data": "ok", "status": 200})

        self._serve(exchange, empty)


def _send(exchange: Exchange, answer: Answer) -> None:
    exchange.send(answer.response())
