"""The mock bank, from outside: a real process asked over real sockets."""

import csv
import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from django.test import SimpleTestCase

THIRD_PARTY = Path(__file__).resolve().parents[2] / "third-party"
PATIENCE_SECONDS = 10.0
# For what must not come: long enough that it would have.
A_WHILE = 0.25


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        fields = json.loads(self.body)
        assert isinstance(fields, dict)
        return fields


class MockBank:
    """The bank as a process on a free port; ``db`` outlives it unless it is in memory."""

    def __init__(self, *flags: str, db: str = ":memory:") -> None:
        command = [sys.executable, "app.py", "--port", "0", "--db", db, *flags]
        self.process = subprocess.Popen(
            command, cwd=THIRD_PARTY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        listening = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if listening is None:
            raise RuntimeError(f"the bank did not start: {line}{self.end(signal.SIGKILL)}")
        self.port = int(listening[1])

    def end(self, signal_number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Exit code and what was still printed."""
        self.process.send_signal(signal_number)
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, out, err

    def connect(self, timeout: float = PATIENCE_SECONDS) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def socket(self, timeout: float = PATIENCE_SECONDS) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def call(
        self, method: str, path: str, body: Any = None, *, timeout: float = PATIENCE_SECONDS
    ) -> Reply:
        connection = self.connect(timeout)
        try:
            return exchange(connection, method, path, body)
        finally:
            connection.close()

    def pay(self, key: str, *, timeout: float = PATIENCE_SECONDS, **changes: Any) -> Reply:
        return self.call("POST", "/", payment(key, **changes), timeout=timeout)

    def inquire(self, key: str) -> Reply:
        return self.call("GET", f"/transfers/{key}")

    def rule(self, fault: str, **fields: Any) -> Reply:
        reply = self.call("POST", "/control", {"fault": fault, **fields})
        assert reply.status == 201, reply.body
        return reply

    def paid(self, key: str) -> list[dict[str, Any]]:
        entries = self.call("GET", f"/ledger?key={key}").fields["entries"]
        assert isinstance(entries, list)
        return entries

    def totals(self) -> dict[str, int]:
        totals = self.call("GET", "/ledger?limit=0").fields["totals"]
        assert isinstance(totals, dict)
        return totals


def payment(key: str, **changes: Any) -> dict[str, Any]:
    fields = {"idempotency_key": key, "wallet_owner_ref": "w-1", "amount": 700, "currency": "IRR"}
    return fields | changes


def exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None
) -> Reply:
    data = None if body is None else json.dumps(body)
    connection.request(method, path, data)
    response = connection.getresponse()
    return Reply(response.status, response.headers, response.read())


def raw_post(key: str) -> bytes:
    body = json.dumps(payment(key)).encode()
    return b"POST / HTTP/1.1\r\nHost: bank\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def new_key() -> str:
    return str(uuid.uuid4())


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def running(*flags: str, db: str = ":memory:") -> Iterator[MockBank]:
    bank = MockBank(*flags, db=db)
    try:
        yield bank
    finally:
        if bank.process.poll() is None:
            bank.end(signal.SIGKILL)


class BankTestCase(SimpleTestCase):
    """One bank for all tests of a class; each has keys of its own and leaves no rule behind."""

    bank: ClassVar[MockBank]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.bank = MockBank()
        cls.addClassCleanup(cls.bank.end)

    def setUp(self) -> None:
        self.key = new_key()
        self.addCleanup(self.bank.call, "DELETE", "/control")

    def misbehave(self, fault: str, arg: Any = None, **fields: Any) -> None:
        self.bank.rule(fault, arg=arg, match={"key": self.key}, **fields)

    def assert_times_paid(self, times: int) -> None:
        self.assertEqual(
            [entry["times_paid"] for entry in self.bank.paid(self.key)], [times] * times
        )


class HonestBankTests(BankTestCase):
    def test_pays_and_gives_the_first_answer_for_ever(self) -> None:
        first, again = self.bank.pay(self.key), self.bank.pay(self.key)
        self.assertEqual(first.status, 200)
        reference = first.fields["reference"]
        self.assertTrue(reference)
        self.assertEqual(
            first.fields,
            {
                "data": "success",
                "status": 200,
                "reference": reference,
                "idempotency_key": self.key,
                "amount": 700,
                "currency": "IRR",
            },
        )
        self.assertEqual((again.status, again.body), (first.status, first.body))
        self.assert_times_paid(1)

    def test_refuses_another_body_for_a_key(self) -> None:
        self.bank.pay(self.key)
        for changes in ({"amount": 701}, {"currency": "EUR"}, {"wallet_owner_ref": "w-2"}):
            reply = self.bank.pay(self.key, **changes)
            self.assertEqual(reply.status, 409)
            self.assertEqual(reply.fields["data"], "conflict")
            self.assertEqual(reply.fields["code"], "idempotency_key_reused")
        self.assert_times_paid(1)

    def test_pays_once_under_twenty_requests_at_a_time(self) -> None:
        with ThreadPoolExecutor(20) as pool:
            replies = list(pool.map(lambda _: self.bank.pay(self.key), range(20)))
        self.assertEqual({reply.status for reply in replies}, {200})
        self.assertEqual(len({reply.body for reply in replies}), 1)
        self.assert_times_paid(1)
        counts = self.bank.call("GET", f"/requests?key={self.key}").fields
        self.assertEqual(counts["transfers"], {self.key: 20})

    def test_wants_the_key_in_a_header_to_be_the_one_in_the_body(self) -> None:
        for name in ("Idempotency-Key", "X-Idempotency-Key"):
            for value, status in (("another", 400), (self.key, 200)):
                connection = self.bank.connect()
                connection.request("POST", "/", json.dumps(payment(self.key)), {name: value})
                self.assertEqual(connection.getresponse().status, status, name)
                connection.close()

    def test_takes_any_printable_key(self) -> None:
        key = "کلید 1/۲"
        connection = self.bank.connect()
        self.addCleanup(connection.close)
        body = json.dumps(payment(key))
        connection.request("POST", "/", body, {"Idempotency-Key": key.encode()})
        self.assertEqual(json.load(connection.getresponse())["idempotency_key"], key)
        path = "%DA%A9%D9%84%DB%8C%D8%AF%201%2F%DB%B2"
        self.assertEqual(self.bank.inquire(path).fields["data"], "success")

    def test_pays_nothing_for_an_invalid_request(self) -> None:
        before = self.bank.totals()
        wrong: list[dict[str, Any]] = [
            {"amount": amount} for amount in (0, -1, True, 1.0, 1.5, "700", None, 2**63, [7], 1e3)
        ]
        wrong += [{"currency": currency} for currency in ("irr", "IR", "IRRR", "", None, 1, "۱۲۳")]
        wrong += [{"wallet_owner_ref": ref} for ref in ("", None, 5, "a\0b", "x" * 256)]
        wrong += [{"idempotency_key": key} for key in ("", None, 5, "a\nb", "x" * 256, "\ud800")]
        for changes in wrong:
            reply = self.bank.call("POST", "/", payment(self.key) | changes)
            self.assertEqual(reply.status, 400, changes)
            self.assertEqual(
                (reply.fields["data"], reply.fields["status"], reply.fields["reason"]),
                ("failed", 400, "invalid_request"),
            )
        self.assertEqual(self.bank.totals(), before)

    def test_pays_nothing_for_what_is_no_json_object(self) -> None:
        before = self.bank.totals()
        valid = json.dumps(payment(self.key)).encode()
        twice, nan = valid.replace(b"{", b'{"amount": 1, '), valid.replace(b"{", b'{"x": NaN, ')
        for body in (b"", b"x", b"[]", b"null", twice, nan, b"[" * 9_000, b"\xff"):
            connection = self.bank.connect()
            connection.request("POST", "/", body)
            self.assertEqual(connection.getresponse().status, 400, body[:20])
            connection.close()
        self.assertEqual(self.bank.totals(), before)

    def test_answers_what_became_of_a_key(self) -> None:
        unknown = self.bank.inquire(self.key)
        self.assertEqual((unknown.status, unknown.fields), (404, {"data": "not_found"}))
        paid = self.bank.pay(self.key)
        known = self.bank.inquire(self.key)
        self.assertEqual((known.status, known.body), (200, paid.body))

    def test_shows_what_it_paid_in_pages(self) -> None:
        self.bank.call("POST", "/control/reset-book")
        keys = [new_key() for _ in range(5)]
        for amount, key in enumerate(keys, start=1):
            self.bank.pay(key, amount=amount)
        seen, after = [], 0
        while after is not None:
            page = self.bank.call("GET", f"/ledger?limit=2&after={after}").fields
            self.assertEqual(page["totals"], {"count": 5, "sum": 15, "keys_paid_twice": 0})
            seen += [(entry["key"], entry["amount"]) for entry in page["entries"]]
            after = page["next"]
        self.assertEqual(seen, list(zip(keys, range(1, 6), strict=True)))

    def test_adds_up_more_than_fits_64_bits(self) -> None:
        self.bank.call("POST", "/control/reset-book")
        for _ in range(3):
            self.bank.pay(new_key(), amount=2**63 - 1)
        self.assertEqual(self.bank.totals()["sum"], 3 * (2**63 - 1))

    def test_gives_a_statement_in_csv(self) -> None:
        self.bank.call("POST", "/control/reset-book")
        awkward = 'a,"b"'
        replies = [self.bank.pay(key) for key in (self.key, awkward)]
        statement = self.bank.call("GET", "/ledger?format=csv")
        self.assertEqual(statement.headers["Content-Type"], "text/csv; charset=utf-8")
        header, *lines = csv.reader(io.StringIO(statement.body.decode()))
        self.assertEqual(header, ["key", "reference", "amount", "currency", "paid_at"])
        for line, key, reply in zip(lines, (self.key, awkward), replies, strict=True):
            self.assertEqual(line[:4], [key, reply.fields["reference"], "700", "IRR"])
            self.assertRegex(line[4], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")

    def test_counts_what_it_was_asked(self) -> None:
        self.bank.pay(self.key)
        self.bank.pay(self.key)
        self.bank.inquire(self.key)
        counts = self.bank.call("GET", "/requests").fields
        self.assertEqual(counts["transfers"][self.key], 2)
        self.assertEqual(counts["inquiries"][self.key], 1)
        self.assertGreaterEqual(counts["totals"]["transfers"], 2)

    def test_says_that_it_is_up(self) -> None:
        reply = self.bank.call("GET", "/health")
        self.assertEqual((reply.status, reply.fields["data"]), (200, "ok"))

    def test_forgets_everything_when_its_book_is_emptied(self) -> None:
        self.bank.pay(self.key)
        self.assertEqual(self.bank.call("POST", "/control/reset-book").status, 200)
        self.assertEqual(self.bank.totals(), {"count": 0, "sum": 0, "keys_paid_twice": 0})
        self.assertEqual(self.bank.inquire(self.key).status, 404)


class WireTests(BankTestCase):
    def test_answers_many_requests_on_one_connection(self) -> None:
        connection = self.bank.connect()
        connection.connect()
        sock = connection.sock
        for _ in range(3):
            self.assertEqual(exchange(connection, "POST", "/", payment(new_key())).status, 200)
            self.assertEqual(exchange(connection, "GET", "/nowhere").status, 404)
        self.assertIs(connection.sock, sock)
        connection.close()

    def test_answers_requests_sent_ahead_in_their_order(self) -> None:
        keys = [new_key() for _ in range(200)]
        self.bank.rule("slow", arg=0.1, match={"key": keys[0]})
        with self.bank.socket() as sock:
            sock.sendall(b"".join(map(raw_post, keys)))
            seen = b""
            while seen.count(b'"idempotency_key": ') < len(keys) or not seen.endswith(b"}"):
                seen += sock.recv(65536)
        echoed = re.findall(rb'"idempotency_key": "([^"]+)"', seen)
        self.assertEqual([key.decode() for key in echoed], keys)

    def test_reads_a_request_that_comes_byte_by_byte(self) -> None:
        with self.bank.socket() as sock:
            for byte in raw_post(self.key):
                sock.sendall(bytes([byte]))
            self.assertTrue(sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n"))

    def test_answers_nonsense_with_a_clear_status_and_goes_on(self) -> None:
        head = b"POST / HTTP/1.1\r\nHost: bank\r\n"
        cases = {
            b"hello\r\n\r\n": 400,
            b"\x16\x03\x01\x02\x00\x01\r\n\r\n": 400,
            b"GET / HTTP/2.0\r\n\r\n": 505,
            b"GET http://[ HTTP/1.1\r\n\r\n": 400,
            b"GET /%ff HTTP/1.1\r\n\r\n": 400,
            head + b"no colon\r\n\r\n": 400,
            head + b"Name : value\r\n\r\n": 400,
            head + b"A: b\nC: d\r\n\r\n": 400,
            head + b"A: b\r\n folded\r\n\r\n": 400,
            head + b"Content-Length: -1\r\n\r\n": 400,
            head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n": 400,
            head + b"Content-Length: 99999999\r\n\r\n": 413,
            head + b"Content-Length: 99999999\r\n\r\n" + b"x" * 500_000: 413,
            head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 411,
            head + b"A: " + b"x" * 20_000 + b"\r\n\r\n": 431,
            b"GET /" + b"x" * 20_000: 431,
            b"DELETE / HTTP/1.1\r\nConnection: close\r\n\r\n": 405,
            b"OPTIONS * HTTP/1.1\r\nConnection: close\r\n\r\n": 404,
            b"GET /transfers/a%00b HTTP/1.1\r\nConnection: close\r\n\r\n": 400,
            b"GET /ledger?limit=-1 HTTP/1.1\r\nConnection: close\r\n\r\n": 400,
            b"GET /ledger?after=1&after=2 HTTP/1.1\r\nConnection: close\r\n\r\n": 400,
            b"GET /ledger?limit=10001 HTTP/1.1\r\nConnection: close\r\n\r\n": 400,
            b"GET /ledger?format=xml HTTP/1.1\r\nConnection: close\r\n\r\n": 400,
            b"GET /requests?x HTTP/1.1\r\nConnection: close\r\n\r\n": 400,
        }
        for sent, status in cases.items():
            with self.subTest(sent[:60]), self.bank.socket() as sock:
                sock.sendall(sent)
                answer = read_to_end(sock)
                self.assertEqual(answer.split(b" ", 2)[1], str(status).encode())
                self.assertTrue(json.loads(answer.partition(b"\r\n\r\n")[2]))
        self.assertEqual(self.bank.call("GET", "/health").status, 200)

    def test_speaks_the_older_version_too(self) -> None:
        with self.bank.socket() as sock:
            sock.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            self.assertIn(b"Connection: close", read_to_end(sock))
        with self.bank.socket() as sock:
            sock.sendall(b"GET /ledger?format=csv HTTP/1.0\r\n\r\n")
            head, _, body = read_to_end(sock).partition(b"\r\n\r\n")
            self.assertNotIn(b"chunked", head)
            self.assertTrue(body.startswith(b"key,reference,"))

    def test_gives_leave_to_a_client_that_asks_before_it_sends(self) -> None:
        head, _, body = raw_post(self.key).partition(b"\r\n\r\n")
        with self.bank.socket() as sock:
            sock.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(sock.recv(65536), b"HTTP/1.1 100 Continue\r\n\r\n")
            sock.sendall(body)
            self.assertTrue(sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n"))


def read_to_end(sock: socket.socket) -> bytes:
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


class RefusalTests(BankTestCase):
    def test_refuses_inside_a_200_and_remembers_it(self) -> None:
        self.misbehave("failed_200", "no_such_account", times=1)
        refusal = {"data": "failed", "status": 503, "reason": "no_such_account"}
        for reply in (
            self.bank.pay(self.key),
            self.bank.pay(self.key),
            self.bank.inquire(self.key),
        ):
            self.assertEqual((reply.status, reply.fields), (200, refusal))
        self.assert_times_paid(0)

    def test_refuses_with_a_503_and_remembers_it(self) -> None:
        self.misbehave("failed_503", times=1)
        refusal = {"data": "failed", "status": 503, "reason": "declined"}
        for _ in range(2):
            reply = self.bank.pay(self.key)
            self.assertEqual((reply.status, reply.fields), (503, refusal))
        inquiry = self.bank.inquire(self.key)
        self.assertEqual((inquiry.status, inquiry.fields), (200, refusal))
        self.assert_times_paid(0)

    def test_does_not_take_a_payment_back_by_refusing_it_later(self) -> None:
        first = self.bank.pay(self.key)
        for fault in ("failed_200", "failed_503"):
            self.misbehave(fault, times=1)
            self.assertEqual(self.bank.pay(self.key).body, first.body)

    def test_may_forget_its_refusals(self) -> None:
        self.misbehave("refusals_forgotten")
        self.misbehave("failed_503", times=1)
        self.assertEqual(self.bank.pay(self.key).status, 503)
        self.assertEqual(self.bank.inquire(self.key).status, 404)
        self.assertEqual(self.bank.pay(self.key).fields["data"], "success")
        self.assert_times_paid(1)

    def test_may_come_to_forget_a_refusal_it_had_remembered(self) -> None:
        self.misbehave("failed_503", times=1)
        self.assertEqual([self.bank.pay(self.key).status for _ in range(2)], [503, 503])
        self.misbehave("refusals_forgotten")
        self.assertEqual(self.bank.pay(self.key).fields["data"], "success")
        self.assert_times_paid(1)

    def test_says_503_after_paying(self) -> None:
        self.misbehave("503_after_pay", times=1)
        reply = self.bank.pay(self.key)
        self.assertEqual((reply.status, reply.fields["data"]), (503, "failed"))
        self.assert_times_paid(1)
        self.assertEqual(self.bank.pay(self.key).fields["data"], "success")

    def test_throttles_and_says_until_when_or_something_else(self) -> None:
        for arg, shown in ((None, "1"), (3600, "3600"), ("soon, maybe", "soon, maybe")):
            self.misbehave("throttle_429", arg, times=1)
            reply = self.bank.pay(self.key)
            self.assertEqual((reply.status, reply.headers["Retry-After"]), (429, shown))
        self.assert_times_paid(0)

    def test_breaks_with_a_500(self) -> None:
        self.misbehave("error_500", times=1)
        self.assertEqual(self.bank.pay(self.key).status, 500)
        self.assert_times_paid(0)

    def test_answers_any_status(self) -> None:
        for code in (204, 401, 403, 404, 405, 408, 409, 422, 425, 502, 504, 599):
            self.misbehave("status", code, times=1)
            self.assertEqual(self.bank.pay(self.key).status, code)
        self.misbehave("status", {"code": 409, "body": {"data": "conflict"}}, times=1)
        self.assertEqual(self.bank.pay(self.key).body, b'{"data": "conflict"}')
        self.misbehave("status", {"code": 401, "body": "who are you?"}, times=1)
        self.assertEqual(self.bank.pay(self.key).body, b"who are you?")
        self.assert_times_paid(0)

    def test_answers_any_status_after_paying(self) -> None:
        self.misbehave("status", {"code": 504, "pay": True}, times=1)
        self.assertEqual(self.bank.pay(self.key).status, 504)
        self.assert_times_paid(1)

    def test_redirects_to_a_page_that_says_success(self) -> None:
        self.misbehave("redirect_302", times=1)
        reply = self.bank.pay(self.key)
        self.assertEqual(reply.status, 302)
        page = self.bank.call("GET", reply.headers["Location"])
        self.assertEqual((page.status, page.fields["data"]), (200, "success"))
        self.assert_times_paid(0)


class SilenceTests(BankTestCase):
    def test_takes_its_time(self) -> None:
        self.misbehave("slow", 0.2, times=1)
        began = time.monotonic()
        self.assertEqual(self.bank.pay(self.key).status, 200)
        self.assertGreaterEqual(time.monotonic() - began, 0.2)

    def test_hangs_without_paying(self) -> None:
        self.misbehave("hang", times=1)
        with self.assertRaises(TimeoutError):
            self.bank.pay(self.key, timeout=A_WHILE)
        self.assert_times_paid(0)

    def test_hangs_after_paying(self) -> None:
        self.misbehave("hang_after_pay", times=1)
        with self.assertRaises(TimeoutError):
            self.bank.pay(self.key, timeout=A_WHILE)
        self.assert_times_paid(1)

    def test_pays_after_the_client_has_gone(self) -> None:
        self.misbehave("late_landing", 0.8, times=1)
        with self.assertRaises(TimeoutError):
            self.bank.pay(self.key, timeout=0.1)
        self.assert_times_paid(0)
        self.assertTrue(eventually(lambda: self.bank.inquire(self.key).status == 200))
        self.assert_times_paid(1)

    def test_pays_once_when_a_late_request_meets_its_replay(self) -> None:
        self.misbehave("late_landing", 0.2, times=1)
        with self.assertRaises(TimeoutError):
            self.bank.pay(self.key, timeout=0.05)
        first = self.bank.pay(self.key)
        time.sleep(0.3)
        self.assertEqual(self.bank.inquire(self.key).body, first.body)
        self.assert_times_paid(1)

    def test_drops_a_late_request_when_its_book_is_emptied(self) -> None:
        self.misbehave("late_landing", 0.1, times=1)
        with self.assertRaises(TimeoutError):
            self.bank.pay(self.key, timeout=0.05)
        self.bank.call("POST", "/control/reset-book")
        time.sleep(A_WHILE)
        self.assert_times_paid(0)


class BrokenConnectionTests(BankTestCase):
    def send(self) -> socket.socket:
        sock = self.bank.socket()
        self.addCleanup(sock.close)
        sock.sendall(raw_post(self.key))
        return sock

    def test_resets_before_and_after_paying(self) -> None:
        for fault, times in (("reset_before_pay", 0), ("reset_after_pay", 1)):
            self.misbehave(fault, times=1)
            with self.assertRaises(ConnectionResetError):
                self.send().recv(65536)
            self.assert_times_paid(times)

    def test_hangs_up_after_paying(self) -> None:
        self.misbehave("close_after_pay", times=1)
        self.assertEqual(self.send().recv(65536), b"")
        self.assert_times_paid(1)

    def test_sends_half_a_body_after_paying(self) -> None:
        self.misbehave("truncated_body", times=1)
        with self.assertRaises(http.client.IncompleteRead):
            self.bank.pay(self.key)
        self.assert_times_paid(1)

    def test_answers_garbage_and_nothing_after_paying(self) -> None:
        for fault, start in (("garbage_body", b"<!doctype html>"), ("empty_body", b"")):
            self.misbehave(fault, times=1)
            reply = self.bank.pay(self.key)
            self.assertEqual((reply.status, reply.body[: len(start)]), (200, start))
            with self.assertRaises(ValueError):
                json.loads(reply.body)
            self.assert_times_paid(1)

    def test_answers_with_megabytes_after_paying(self) -> None:
        self.misbehave("huge_body", 3_000_000, times=1)
        reply = self.bank.pay(self.key)
        self.assertGreater(len(reply.body), 3_000_000)
        self.assertEqual(reply.fields["data"], "success")
        self.assert_times_paid(1)

    def test_sends_its_answer_byte_by_byte_after_paying(self) -> None:
        for fault, first in (("trickle_headers", b"H"), ("trickle_body", b"HTTP/1.1 200 OK")):
            self.misbehave(fault, 0.001, times=1)
            sock = self.send()
            self.assertEqual(sock.recv(len(first)), first)
            self.assert_times_paid(1)
            seen = first
            while not seen.endswith(b"}"):
                seen += sock.recv(1 if len(seen) < 20 else 65536)
            self.assertIn(self.key.encode(), seen)

    def test_trickles_no_faster_than_told(self) -> None:
        self.misbehave("trickle_headers", 3600, times=1)
        sock = self.send()
        sock.settimeout(A_WHILE)
        self.assertEqual(sock.recv(65536), b"H")
        with self.assertRaises(TimeoutError):
            sock.recv(1)
        self.assert_times_paid(1)


class LieTests(BankTestCase):
    def test_answers_pending_and_pays_later(self) -> None:
        self.misbehave("pending", 0.6, times=1)
        reply = self.bank.pay(self.key)
        self.assertEqual((reply.status, reply.fields), (202, {"data": "pending", "status": 202}))
        inquiry = self.bank.inquire(self.key)
        self.assertEqual((inquiry.status, inquiry.fields), (200, {"data": "pending"}))
        self.assertEqual(self.bank.pay(self.key).body, reply.body)
        self.assert_times_paid(0)
        self.assertTrue(eventually(lambda: bool(self.bank.paid(self.key))))
        self.assertEqual(self.bank.inquire(self.key).body, self.bank.pay(self.key).body)
        self.assertEqual(self.bank.inquire(self.key).fields["data"], "success")
        self.assert_times_paid(1)

    def test_answers_pending_and_refuses_later(self) -> None:
        self.misbehave("pending_then_failed", 0.05, times=1)
        self.assertEqual(self.bank.pay(self.key).status, 202)
        self.assertTrue(eventually(lambda: self.bank.inquire(self.key).fields["data"] == "failed"))
        self.assertEqual(self.bank.pay(self.key).fields["data"], "failed")
        self.assert_times_paid(0)

    def test_echoes_something_else_than_it_paid(self) -> None:
        cases: list[tuple[str, Any, str, Any]] = [
            ("wrong_amount", None, "amount", 701),
            ("wrong_amount", 1, "amount", 1),
            ("wrong_key", "other", "idempotency_key", "other"),
            ("wrong_currency", None, "currency", "USD"),
            ("wrong_currency", "XXX", "currency", "XXX"),
        ]
        for fault, arg, field, echoed in cases:
            self.misbehave(fault, arg, times=1)
            lie = self.bank.pay(self.key).fields
            truth = self.bank.inquire(self.key).fields
            self.assertEqual(lie, truth | {field: echoed})
            self.assertNotEqual(lie, truth)
        self.assert_times_paid(1)

    def test_answers_a_word_nobody_agreed_on(self) -> None:
        self.misbehave("unknown_word", times=1)
        self.assertEqual(self.bank.pay(self.key).fields, {"data": "maybe"})
        self.assert_times_paid(1)

    def test_answers_a_replay_with_another_reference(self) -> None:
        self.misbehave("other_reference", times=1)
        first, again = self.bank.pay(self.key).fields, self.bank.pay(self.key).fields
        self.assertNotEqual(again["reference"], first["reference"])
        self.assertEqual(self.bank.inquire(self.key).fields, first)
        self.assert_times_paid(1)

    def test_pays_again_when_it_ignores_keys(self) -> None:
        self.misbehave("keys_ignored")
        references = {self.bank.pay(self.key).fields["reference"] for _ in range(3)}
        self.assertEqual(len(references), 3)
        self.assert_times_paid(3)
        self.assertGreaterEqual(self.bank.totals()["keys_paid_twice"], 1)
        statement = self.bank.call("GET", "/ledger?format=csv").body
        self.assertEqual(statement.count(self.key.encode()), 3)

    def test_keeps_a_habit_beside_another_fault(self) -> None:
        self.misbehave("keys_ignored")
        self.misbehave("reset_after_pay", times=1)
        with self.assertRaises(ConnectionResetError):
            self.bank.pay(self.key)
        self.assertEqual(self.bank.pay(self.key).status, 200)
        self.assert_times_paid(2)

    def test_misbehaves_when_it_is_asked_about_a_key(self) -> None:
        paid = self.bank.pay(self.key)
        cases: list[tuple[str, Any, int, bytes]] = [
            ("error_500", None, 500, b"internal_error"),
            ("status", 401, 401, b"fault_status"),
            ("garbage_body", None, 200, b"<html>"),
            ("not_found_lie", None, 404, b'{"data": "not_found"}'),
        ]
        for fault, arg, status, words in cases:
            self.misbehave(fault, arg, times=1, on="inquiry")
            self.assertEqual(self.bank.pay(self.key).body, paid.body)
            reply = self.bank.inquire(self.key)
            self.assertEqual(reply.status, status)
            self.assertIn(words, reply.body)
        self.misbehave("hang", times=1, on="inquiry")
        with self.assertRaises(TimeoutError):
            self.bank.call("GET", f"/transfers/{self.key}", timeout=A_WHILE)
        self.assertEqual(self.bank.inquire(self.key).body, paid.body)


class ControlTests(BankTestCase):
    def test_matches_by_everything_it_is_told(self) -> None:
        for match in ({"amount": 31}, {"wallet_owner_ref": "w-9"}, {"currency": "EUR"}, {}):
            self.bank.rule("error_500", match=match)
            for name in ({"amount", "wallet_owner_ref", "currency"} & match.keys()) or {""}:
                changes: dict[str, Any] = {name: match[name]} if name else {}
                self.assertEqual(self.bank.pay(new_key(), **changes).status, 500)
            if match:
                self.assertEqual(self.bank.pay(new_key()).status, 200)
            self.bank.call("DELETE", "/control")
            self.assertEqual(self.bank.pay(new_key()).status, 200)

    def test_wants_all_of_a_match(self) -> None:
        self.bank.rule("error_500", match={"key": self.key, "amount": 1})
        self.assertEqual(self.bank.pay(self.key).status, 200)

    def test_knows_the_amount_of_a_key_that_is_asked_about(self) -> None:
        self.bank.rule("not_found_lie", match={"amount": 32})
        self.bank.pay(self.key, amount=32)
        self.assertEqual(self.bank.inquire(self.key).status, 404)

    def test_applies_the_first_rule_that_has_uses_left(self) -> None:
        self.misbehave("error_500", times=2)
        self.misbehave("failed_200", times=1)
        statuses = [self.bank.pay(self.key).status for _ in range(3)]
        self.assertEqual(statuses, [500, 500, 200])
        self.assertEqual(self.bank.inquire(self.key).fields["data"], "failed")
        rules = self.bank.call("GET", "/control").fields["rules"]
        self.assertEqual(
            [(rule["times_left"], rule["applied"]) for rule in rules], [(0, 2), (0, 1)]
        )

    def test_lists_what_it_was_told_and_clears_it(self) -> None:
        told = {"match": {"key": "k"}, "fault": "slow", "arg": 2, "on": "inquiry"}
        made = self.bank.call("PUT", "/control", told | {"times": 3, "probability": 0.5})
        self.assertEqual(made.status, 201)
        listed = self.bank.call("GET", "/control").fields["rules"]
        self.assertEqual(listed, [made.fields["rule"]])
        self.assertLessEqual(
            (told | {"times_left": 3, "probability": 0.5, "applied": 0}).items(), listed[0].items()
        )
        self.bank.call("DELETE", "/control")
        self.assertEqual(self.bank.call("GET", "/control").fields["rules"], [])

    def test_never_applies_what_has_no_chance(self) -> None:
        self.misbehave("error_500", probability=0)
        self.assertEqual({self.bank.pay(self.key).status for _ in range(20)}, {200})

    def test_refuses_a_bad_rule_and_says_why(self) -> None:
        bad: list[Any] = [
            {},
            [],
            "hang",
            {"fault": "no_such_fault"},
            {"fault": ["hang"]},
            {"fault": "hang", "arg": 1},
            {"fault": "hang", "surprise": 1},
            {"fault": "hang", "on": "ledger"},
            {"fault": "hang_after_pay", "on": "inquiry"},
            {"fault": "not_found_lie", "on": "transfer"},
            {"fault": "hang", "match": []},
            {"fault": "hang", "match": {"colour": "red"}},
            {"fault": "hang", "match": {"amount": "700"}},
            {"fault": "hang", "match": {"key": 7}},
            {"fault": "slow", "arg": "long"},
            {"fault": "slow", "arg": -1},
            {"fault": "slow", "arg": True},
            {"fault": "slow", "arg": 10**400},
            {"fault": "status", "arg": 99},
            {"fault": "status", "arg": "401"},
            {"fault": "status", "arg": {"code": 401, "colour": "red"}},
            {"fault": "throttle_429", "arg": "1\r\nX-Injected: yes"},
            {"fault": "failed_200", "arg": "a\ud800"},
            {"fault": "huge_body", "arg": 10**9},
            {"fault": "wrong_amount", "arg": 1.5},
            *({"fault": "hang", "times": times} for times in (0, -1, 1.5, "2", True)),
            *({"fault": "hang", "probability": p} for p in (-0.1, 1.1, "1", True, 10**400)),
        ]
        for rule in bad:
            reply = self.bank.call("POST", "/control", rule)
            self.assertEqual((reply.status, reply.fields["code"]), (400, "bad_rule"), rule)
            self.assertTrue(reply.fields["detail"])
        self.assertEqual(self.bank.call("GET", "/control").fields["rules"], [])

    def test_stays_up_after_a_fault_of_every_kind_at_once(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._provoke, sorted(fault_names())))
        self.assertEqual(self.bank.call("GET", "/health").status, 200)

    def _provoke(self, fault: str) -> None:
        key = new_key()
        takes_seconds = fault in {"slow", "late_landing", "trickle_headers", "trickle_body"}
        self.bank.rule(fault, match={"key": key}, arg=0.001 if takes_seconds else None)
        for method, path, body in (("POST", "/", payment(key)), ("GET", f"/transfers/{key}", None)):
            with suppress(OSError, http.client.HTTPException):
                self.bank.call(method, path, body, timeout=A_WHILE)


class MemoryTests(SimpleTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.db = str(Path(folder.name) / "bank.sqlite3")

    def test_remembers_across_a_restart(self) -> None:
        paid, refused, waiting = new_key(), new_key(), new_key()
        with running(db=self.db) as bank:
            bank.rule("failed_503", match={"key": refused})
            bank.rule("pending", match={"key": waiting}, arg=0.5)
            answers = {key: bank.pay(key) for key in (paid, refused, waiting)}
            self.assertEqual(bank.end()[0], 0)
        with running(db=self.db) as bank:
            for key in (paid, refused):
                again = bank.pay(key)
                self.assertEqual(
                    (again.status, again.body), (answers[key].status, answers[key].body)
                )
            self.assertEqual(bank.pay(paid, amount=1).status, 409)
            self.assertTrue(eventually(lambda: bank.inquire(waiting).fields["data"] == "success"))
            self.assertEqual(bank.totals(), {"count": 2, "sum": 1400, "keys_paid_twice": 0})

    def test_loses_no_answered_payment_to_a_kill(self) -> None:
        answered: list[str] = []
        with running(db=self.db) as bank:
            threads = [threading.Thread(target=_pay_on, args=(bank, answered)) for _ in range(8)]
            for thread in threads:
                thread.start()
            self.assertTrue(eventually(lambda: len(answered) > 300))
            bank.end(signal.SIGKILL)
            for thread in threads:
                thread.join()
        with running(db=self.db) as bank:
            page = bank.call("GET", "/ledger?limit=10000").fields
        paid = [entry["key"] for entry in page["entries"]]
        self.assertEqual(set(answered) - set(paid), set())
        self.assertEqual(page["totals"]["keys_paid_twice"], 0)

    def test_does_not_share_its_book(self) -> None:
        with running(db=self.db):
            code, _, err = run_to_end("--port", "0", "--db", self.db)
        self.assertEqual(code, 2)
        self.assertRegex(err, r"^cannot use the book .*locked.*\n$")

    def test_does_not_start_on_what_is_no_book(self) -> None:
        Path(self.db).write_bytes(b"this is no database" * 100)
        for path in (self.db, f"{self.db}/deeper"):
            code, _, err = run_to_end("--port", "0", "--db", path)
            self.assertEqual((code, err.count("\n")), (2, 1))


def _pay_on(bank: MockBank, answered: list[str]) -> None:
    connection = bank.connect()
    try:
        while True:
            key = new_key()
            if exchange(connection, "POST", "/", payment(key)).status == 200:
                answered.append(key)
    except (OSError, http.client.HTTPException):
        connection.close()


def run_to_end(*flags: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "app.py", *flags],
        cwd=THIRD_PARTY,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS * 2,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@cache
def fault_names() -> set[str]:
    _, help_text, _ = run_to_end("--help")
    return set(re.findall(r"^  (\w+) +\w", help_text.partition("faults,")[2], re.MULTILINE))


class CommandLineTests(SimpleTestCase):
    def test_describes_itself(self) -> None:
        code, out, _ = run_to_end("--help")
        self.assertEqual(code, 0)
        for word in ("--fault-rate", "--latency-ms", "--seed", "/ledger", "reset_after_pay"):
            self.assertIn(word, out)
        self.assertGreater(len(fault_names()), 25)

    def test_has_every_fault_in_its_readme(self) -> None:
        readme = (THIRD_PARTY / "README.md").read_text(encoding="utf-8")
        table = readme.partition("| Fault |")[2]
        self.assertEqual(fault_names(), set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)))

    def test_says_in_one_line_that_its_port_is_in_use(self) -> None:
        with running() as bank:
            code, _, err = run_to_end("--port", str(bank.port), "--db", ":memory:")
        self.assertEqual(code, 2)
        self.assertRegex(err, rf"^cannot listen on 127\.0\.0\.1:{bank.port}: .*in use\n$")

    def test_refuses_flags_it_does_not_understand(self) -> None:
        for flags in (
            ("--port", "70000"),
            ("--fault", "inquiry:hang_after_pay"),
            ("--fault-rate", "hang=2"),
            ("--latency-ms", "-1"),
        ):
            code, out, err = run_to_end(*flags)
            self.assertEqual((code, out), (2, ""), flags)
            self.assertIn(f"error: argument {flags[0]}", err)

    def test_stops_cleanly_when_told_even_with_clients_waiting(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            with running("--fault", "inquiry:hang", "--fault", "slow=60") as bank:
                with bank.socket() as hanging, bank.socket() as waiting:
                    hanging.sendall(b"GET /transfers/k HTTP/1.1\r\n\r\n")
                    waiting.sendall(raw_post(new_key()))
                    time.sleep(0.05)
                    code, out, err = bank.end(number)
                # Nothing of the requests either, as nobody asked for a log.
                self.assertEqual((code, out, err), (0, "", ""))

    def test_misbehaves_from_the_start_until_its_rules_are_cleared(self) -> None:
        with running("--fault", "throttle_429=soon", "--fault", "inquiry:error_500") as bank:
            self.assertEqual(bank.pay(new_key()).headers["Retry-After"], "soon")
            self.assertEqual(bank.inquire("k").status, 500)
            bank.rule("failed_200", times=1)
            self.assertEqual(bank.pay(new_key()).fields["data"], "failed")
            self.assertEqual(bank.pay(new_key()).status, 429)
            bank.call("DELETE", "/control")
            self.assertEqual(bank.pay(new_key()).status, 200)

    def test_misbehaves_by_chance_and_the_same_way_for_a_seed(self) -> None:
        runs = []
        for seed in ("7", "7"):
            with running("--fault-rate", "failed_503=0.3", "--seed", seed) as bank:
                connection = bank.connect()
                replies = [exchange(connection, "POST", "/", payment(str(i))) for i in range(60)]
                connection.close()
                runs.append([reply.status for reply in replies])
        self.assertEqual(runs[0], runs[1])
        self.assertEqual(set(runs[0]), {200, 503})

    def test_takes_as_long_as_it_is_told(self) -> None:
        with running("--latency-ms", "100") as bank:
            began = time.monotonic()
            bank.pay("k")
            bank.inquire("k")
            self.assertGreaterEqual(time.monotonic() - began, 0.2)

    def test_logs_a_line_per_request_when_asked(self) -> None:
        with running("--verbose", "--fault-rate", "reset_after_pay=1") as bank:
            with self.assertRaises(ConnectionResetError):
                bank.pay("k")
            bank.inquire("k%0Ax")
            _, out, _ = bank.end()
        self.assertEqual(
            out.splitlines(),
            ["POST '/' -> reset fault=reset_after_pay", "GET '/transfers/k\\nx' -> 400"],
        )
