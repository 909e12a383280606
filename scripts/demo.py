"""The story that ``scripts/run`` tells: a wallet's first minute, through the HTTP API."""

import json
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

DEPOSIT = 100_000
WITHDRAWAL = 30_000
TOO_MUCH = 1_000_000

# From scheduling to the end of a withdrawal, with an executor that looks every second.
_WATCH_SECONDS = 30
_POLL_SECONDS = 0.1
_HTTP_SECONDS = 10

# Left out of what is printed, for the eye's sake.
_UNINTERESTING = ("created_at", "updated_at")


class DemoFailed(Exception):
    """The service did not do what the story says."""


class Demo:
    def __init__(self, *, api: str, bank: str) -> None:
        self._api = api
        self._bank = bank
        self._steps = 0
        self._wallet_path = ""
        self._paid_key = ""

    def play(self) -> None:
        """Raises ``DemoFailed`` where the service departs from the story."""
        self._open_wallet()
        self._deposit_twice_with_one_key()
        self._withdraw()
        self._withdraw_too_much()
        self._look_at_the_bank()

    def title(self, text: str) -> None:
        self._steps += 1
        say(f"\n{self._steps}. {text}")

    def _open_wallet(self) -> None:
        self.title("Open a wallet. Amounts are whole numbers of the currency's minor unit.")
        answer = self._call("POST", "/api/wallets/", {})
        self._wallet_path = f"/api/wallets/{answer['wallet']['id']}/"

    def _deposit_twice_with_one_key(self) -> None:
        key = str(uuid.uuid4())
        path = f"{self._wallet_path}deposit/"
        self.title("Deposit. It counts at once.")
        self._call("POST", path, {"amount": DEPOSIT}, key=key)
        self.title(
            "Did the answer get lost? Send it again with the same Idempotency-Key:\n"
            "   the same answer comes back, and nothing moves a second time."
        )
        self._call("POST", path, {"amount": DEPOSIT}, key=key, replayed=True)
        self._expect_balance(DEPOSIT)

    def _withdraw(self) -> None:
        self.title("Schedule a withdrawal for two seconds from now.")
        withdrawal = self._schedule(WITHDRAWAL)
        say("   The mock bank is told to think for a second about this one, so that there is")
        say("   something to see. The executor takes it when it is due:")
        self._paid_key = withdrawal["idempotency_key"]
        self._slow_down()
        ended = self._watch(withdrawal)
        self._expect(ended["status"] == "SUCCEEDED", f"it ended {ended['status']}")
        self._expect_balance(DEPOSIT - WITHDRAWAL)

    def _withdraw_too_much(self) -> None:
        self.title(
            "Schedule more than there is. That is accepted, because the balance is judged\n"
            "   when the withdrawal is due, and money may come in until then. None does:"
        )
        ended = self._watch(self._schedule(TOO_MUCH))
        self._expect(
            (ended["status"], ended["failure_reason"]) == ("FAILED", "insufficient_funds"),
            f"it ended {ended['status']} {ended['failure_reason']}",
        )
        self._expect_balance(DEPOSIT - WITHDRAWAL)

    def _look_at_the_bank(self) -> None:
        self.title("The bank's own book has the one payment, under the withdrawal's key.")
        path = f"/ledger?key={self._paid_key}"
        say(f"   GET {self._bank}{path}")
        book = _fetch("GET", self._bank + path).body
        for payment in book["entries"]:
            say(f"   -> {_line(payment)}")
        paid = [payment["amount"] for payment in book["entries"]]
        self._expect(paid == [WITHDRAWAL], f"the bank paid {paid}")

    def _schedule(self, amount: int) -> dict[str, Any]:
        due = datetime.now(UTC) + timedelta(seconds=2)
        body = {"amount": amount, "execute_at": due.isoformat(timespec="milliseconds")}
        answer = self._call("POST", f"{self._wallet_path}withdrawals/", body)
        transaction: dict[str, Any] = answer["transaction"]
        return transaction

    def _watch(self, withdrawal: dict[str, Any]) -> dict[str, Any]:
        """Print each status as it comes; return the transaction in its last one."""
        say(f"   GET {self._wallet_path}transactions/")
        started = time.monotonic()
        seen = ""
        while time.monotonic() - started < _WATCH_SECONDS:
            now = next(row for row in self._transactions() if row["id"] == withdrawal["id"])
            if now["status"] != seen:
                seen = now["status"]
                more = now["failure_reason"] or now["bank_reference"] or ""
                say(f"   -> {time.monotonic() - started:4.1f} s  {seen}  {more}".rstrip())
            if seen in ("SUCCEEDED", "FAILED"):
                return now
            time.sleep(_POLL_SECONDS)
        raise DemoFailed(f"The withdrawal is still {seen} after {_WATCH_SECONDS} seconds.")

    def _transactions(self) -> list[dict[str, Any]]:
        answer = _fetch("GET", f"{self._api}{self._wallet_path}transactions/")
        self._expect(answer.status == 200, f"it answered {answer.status}")
        rows: list[dict[str, Any]] = answer.body["data"]["results"]
        return rows

    def _slow_down(self) -> None:
        rule = {"fault": "slow", "arg": 1, "match": {"key": self._paid_key}, "times": 1}
        answer = _fetch("POST", f"{self._bank}/control", rule)
        self._expect(answer.status < 300, f"the mock bank answered {answer.body}")

    def _expect_balance(self, balance: int) -> None:
        answer = _fetch("GET", self._api + self._wallet_path)
        found = answer.body["data"]["wallet"]["balance"]
        say(f"   The balance is {found}.")
        self._expect(found == balance, f"the balance is {found}, not {balance}")

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any],
        *,
        key: str | None = None,
        replayed: bool = False,
    ) -> dict[str, Any]:
        """Print the request and its answer; return the answer's data."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        say(f"   {method} {path}  {json.dumps(body)}")
        say(f"   Idempotency-Key: {headers['Idempotency-Key']}")
        answer = _fetch(method, self._api + path, body, headers)
        say(f"   -> {answer.status} {answer.body['message']['en']}")
        if replayed:
            say("      Idempotent-Replayed: true")
        for name, value in (answer.body["data"] or {}).items():
            say(f"      {name}: {_line(value)}")
        self._expect(answer.status == 201, f"it answered {answer.status}, not 201")
        self._expect(answer.replayed == replayed, f"Idempotent-Replayed is {answer.replayed}")
        data: dict[str, Any] = answer.body["data"]
        return data

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise DemoFailed(f"Step {self._steps} went wrong: {otherwise}.")


class _Answer:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.replayed = headers.get("Idempotent-Replayed") == "true"
        self.body: dict[str, Any] = json.loads(body)


def _fetch(
    method: str,
    url: str,
    body: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> _Answer:
    """Raises ``DemoFailed`` when there is no answer, or one that is not JSON."""
    request = urllib.request.Request(  # noqa: S310 - our own addresses
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"} | (headers or {}),
    )
    try:
        with _opener.open(request, timeout=_HTTP_SECONDS) as answer:
            return _Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return _answer_to_refusal(method, url, error)
    except (OSError, json.JSONDecodeError) as error:
        raise DemoFailed(f"{method} {url}: {error}") from error


def _answer_to_refusal(method: str, url: str, error: urllib.error.HTTPError) -> _Answer:
    try:
        return _Answer(error.code, error.headers, error.read())
    except json.JSONDecodeError:
        raise DemoFailed(f"{method} {url} answered {error.code}, and no JSON.") from error


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with _opener.open(url, timeout=_HTTP_SECONDS) as answer:
            return int(answer.status) == 200
    except OSError:
        return False


# Everything is on this machine: a proxy of the caller's has no part in it.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _line(value: Any) -> str:
    """One line, without what is empty."""
    if isinstance(value, dict):
        value = {
            name: each
            for name, each in value.items()
            if each is not None and name not in _UNINTERESTING
        }
    return json.dumps(value, ensure_ascii=False)


def say(text: str) -> None:
    print(text, flush=True)
