"""Every way this bank can misbehave: one function each, which ends the exchange or does not.

``await call.answer()`` is the moment of payment: it returns the honest answer once the book has it.
What a fault does before that line happens unpaid, what it does after it happens paid.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from bank import arguments
from bank.answers import NOT_FOUND, Answer, error, failed
from bank.arguments import Argument, Status
from bank.book import FAILED, PAID, PAY, PENDING, Decision, new_reference
from bank.connection import Exchange
from bank.teller import KEYS_IGNORED, REFUSALS_FORGOTTEN
from bank.wire import Response

TRANSFER, INQUIRY = "transfer", "inquiry"
SUCCESS_PAGE = "/success-page"

_GARBAGE = b"<!doctype html><html><head><title>Welcome</title></head><body>It works!</body></html>"


@dataclass(frozen=True, slots=True)
class Call:
    """One request under a fault. An inquiry takes no decision: it is answered as the book says."""

    exchange: Exchange
    answer_as: Callable[[Decision], Awaitable[Answer]]

    async def answer(self, decision: Decision = PAY) -> Answer:
        return await self.answer_as(decision)

    def send(self, answer: Answer) -> None:
        self.exchange.send(answer.response())


Act: TypeAlias = Callable[[Call, Any], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    summary: str
    argument: Argument
    on: tuple[str, ...]
    act: Act | None
    """None for a habit, which only changes what the teller does."""
    replays_only: bool = False

    @property
    def is_habit(self) -> bool:
        return self.act is None


FAULTS: dict[str, Fault] = {}


def _fault(
    name: str,
    summary: str,
    argument: Argument | None = None,
    *,
    on: tuple[str, ...] = (TRANSFER,),
    replays_only: bool = False,
) -> Callable[[Act], Act]:
    def register(act: Act) -> Act:
        FAULTS[name] = Fault(name, summary, argument or arguments.nothing(), on, act, replays_only)
        return act

    return register


def _habit(name: str, summary: str) -> None:
    FAULTS[name] = Fault(name, summary, arguments.nothing(), (TRANSFER,), None)


_BOTH = (TRANSFER, INQUIRY)

# --- Refusals, real and false ---------------------------------------------------------------------


@_fault(
    "failed_200",
    "refuses inside an HTTP 200; nothing paid, remembered as the answer for the key",
    arguments.text("declined", "reason"),
)
async def _failed_200(call: Call, reason: str) -> None:
    call.send(await call.answer(Decision(FAILED, 200, reason)))


@_fault(
    "failed_503",
    "refuses with an HTTP 503; nothing paid, remembered as the answer for the key",
    arguments.text("declined", "reason"),
)
async def _failed_503(call: Call, reason: str) -> None:
    call.send(await call.answer(Decision(FAILED, 503, reason)))


@_fault("503_after_pay", "pays, then answers that it failed, with an HTTP 503")
async def _unavailable_after_pay(call: Call, _: None) -> None:
    answer = await call.answer()
    call.send(failed(http_status=503, reason="unavailable") if answer.says_success else answer)


@_fault(
    "throttle_429",
    "429 with Retry-After; nothing paid",
    arguments.header("1", "Retry-After: a number, a date or garbage"),
    on=_BOTH,
)
async def _throttle(call: Call, retry_after: str) -> None:
    answer = Answer(429, {"data": "throttled", "status": 429}, (("Retry-After", retry_after),))
    call.send(answer)


@_fault("error_500", "500; nothing paid", on=_BOTH)
async def _error_500(call: Call, _: None) -> None:
    call.send(error(500, "internal_error", "the bank broke"))


@_fault(
    "status", "any status, with any body; nothing paid unless told", arguments.status(), on=_BOTH
)
async def _status(call: Call, status: Status) -> None:
    if status.pay:
        await call.answer()
    if status.body is None:
        call.send(error(status.code, "fault_status", "as ordered"))
    elif isinstance(status.body, str):
        body = status.body.encode(errors="replace")
        call.exchange.send(Response(status.code, body, content_type="text/plain"))
    else:
        call.exchange.send(Response(status.code, json.dumps(status.body).encode()))


@_fault("redirect_302", f"302 to {SUCCESS_PAGE}, which says success; nothing paid", on=_BOTH)
async def _redirect(call: Call, _: None) -> None:
    call.send(Answer(302, {"data": "moved", "status": 302}, (("Location", SUCCESS_PAGE),)))


# --- Slow and silent ------------------------------------------------------------------------------


@_fault(
    "slow",
    "waits, then does as asked, also when the client is gone",
    arguments.seconds(5.0),
    on=_BOTH,
)
async def _slow(call: Call, seconds: float) -> None:
    await asyncio.sleep(seconds)
    call.send(await call.answer())


@_fault("hang", "never answers and holds the connection; nothing paid", on=_BOTH)
async def _hang(call: Call, _: None) -> None:
    """Ends without a word; the exchange stays open until the client leaves."""


@_fault("hang_after_pay", "pays, then never answers")
async def _hang_after_pay(call: Call, _: None) -> None:
    await call.answer()


@_fault(
    "late_landing",
    "never answers; pays that long after the request came, whether the client waits or not",
    arguments.seconds(5.0),
)
async def _late_landing(call: Call, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await call.answer()


# --- Broken connections ---------------------------------------------------------------------------


@_fault("reset_before_pay", "resets the connection (RST); nothing paid", on=_BOTH)
async def _reset_before_pay(call: Call, _: None) -> None:
    call.exchange.reset()


@_fault("reset_after_pay", "pays, then resets the connection (RST)")
async def _reset_after_pay(call: Call, _: None) -> None:
    await call.answer()
    call.exchange.reset()


@_fault("close_after_pay", "pays, then hangs up without an answer (FIN)")
async def _close_after_pay(call: Call, _: None) -> None:
    await call.answer()
    call.exchange.close()


# --- Broken answers -------------------------------------------------------------------------------


@_fault("truncated_body", "pays, sends half of the announced body and hangs up", on=_BOTH)
async def _truncated_body(call: Call, _: None) -> None:
    head, body = call.exchange.render((await call.answer()).response())
    call.exchange.write(head + body[: len(body) // 2])
    call.exchange.close()


@_fault("garbage_body", "pays, answers an HTML page in a 200", on=_BOTH)
async def _garbage_body(call: Call, _: None) -> None:
    await call.answer()
    call.exchange.send(Response(200, _GARBAGE, content_type="text/html"))


@_fault("empty_body", "pays, answers a 200 with nothing in it", on=_BOTH)
async def _empty_body(call: Call, _: None) -> None:
    await call.answer()
    call.exchange.send(Response(200, b""))


@_fault(
    "huge_body", "pays, answers with so much padding", arguments.size(8 * 1024 * 1024), on=_BOTH
)
async def _huge_body(call: Call, size: int) -> None:
    call.send((await call.answer()).but(padding="x" * size))


@_fault(
    "trickle_headers",
    "pays, sends the whole answer byte by byte",
    arguments.seconds(0.5, "seconds per byte"),
    on=_BOTH,
)
async def _trickle_headers(call: Call, seconds: float) -> None:
    answer = await call.answer()
    head, body = call.exchange.render(answer.response())
    await _trickle(call.exchange, head + body, seconds, answer.status)


@_fault(
    "trickle_body",
    "pays, sends the head at once and the body byte by byte",
    arguments.seconds(0.5, "seconds per byte"),
    on=_BOTH,
)
async def _trickle_body(call: Call, seconds: float) -> None:
    answer = await call.answer()
    head, body = call.exchange.render(answer.response())
    call.exchange.write(head)
    await _trickle(call.exchange, body, seconds, answer.status)


async def _trickle(exchange: Exchange, data: bytes, seconds: float, status: int) -> None:
    for position in range(len(data)):
        if exchange.gone:
            return
        exchange.write(data[position : position + 1])
        await asyncio.sleep(seconds)
    exchange.finish(str(status))


# --- Undecided ------------------------------------------------------------------------------------


@_fault("pending", "answers 202 pending, and pays that much later", arguments.seconds(2.0))
async def _pending(call: Call, seconds: float) -> None:
    call.send(await call.answer(Decision(PENDING, settles_after=seconds, settles_as=PAID)))


@_fault(
    "pending_then_failed",
    "answers 202 pending, and refuses that much later",
    arguments.seconds(2.0),
)
async def _pending_then_failed(call: Call, seconds: float) -> None:
    decision = Decision(PENDING, reason="declined_later", settles_after=seconds, settles_as=FAILED)
    call.send(await call.answer(decision))


# --- Lies about what was paid ---------------------------------------------------------------------


@_fault("wrong_amount", "pays, echoes another amount", arguments.amount("amount"), on=_BOTH)
async def _wrong_amount(call: Call, amount: int | None) -> None:
    answer = await call.answer()
    if answer.says_success:
        paid = answer.fields["amount"]
        answer = answer.but(amount=paid + 1 if amount is None else amount)
    call.send(answer)


@_fault(
    "wrong_key", "pays, echoes another key", arguments.text("somebody-elses-key", "key"), on=_BOTH
)
async def _wrong_key(call: Call, key: str) -> None:
    answer = await call.answer()
    call.send(answer.but(idempotency_key=key) if answer.says_success else answer)


@_fault(
    "wrong_currency", "pays, echoes another currency", arguments.optional_text("code"), on=_BOTH
)
async def _wrong_currency(call: Call, currency: str | None) -> None:
    answer = await call.answer()
    if answer.says_success:
        other = "EUR" if answer.fields["currency"] == "USD" else "USD"
        answer = answer.but(currency=currency or other)
    call.send(answer)


@_fault(
    "unknown_word",
    "pays, answers a word nobody agreed on",
    arguments.text("maybe", "word"),
    on=_BOTH,
)
async def _unknown_word(call: Call, word: str) -> None:
    await call.answer()
    call.send(Answer(200, {"data": word}))


@_fault(
    "other_reference",
    "answers a repeated key that was paid with a new reference; nothing paid again",
    replays_only=True,
)
async def _other_reference(call: Call, _: None) -> None:
    answer = await call.answer()
    call.send(answer.but(reference=new_reference()) if answer.says_success else answer)


@_fault("not_found_lie", "says not found, whatever it knows", on=(INQUIRY,))
async def _not_found_lie(call: Call, _: None) -> None:
    call.send(NOT_FOUND)


# --- Habits ---------------------------------------------------------------------------------------

_habit(KEYS_IGNORED, "pays again each time a key is sent again; beside any other fault")
_habit(
    REFUSALS_FORGOTTEN,
    "remembers payments but not refusals, so a refused key may be paid later; beside any other",
)
