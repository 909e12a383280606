"""The gateway against servers that misbehave on the wire, scripted over raw sockets."""

import gzip
import json
import os
import random
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from django.core.exceptions import ImproperlyConfigured
from django.test import SimpleTestCase, override_settings
from hypothesis import HealthCheck, given, settings, strategies as st

from wallets.domain.outcomes import (
    BankHealth,
    CallKind,
    Idempotency,
    Outcome,
    Transfer,
    Verdict,
)
from wallets.integrations import deadline, lookup
from wallets.integrations.backoff import full_jitter, retry_after_seconds
from wallets.integrations.bank import BankGateway
from wallets.integrations.config import BankConfig, bank_config, worst_case_call_seconds
from wallets.integrations.idempotency import request_body

TRANSFER = Transfer(
    idempotency_key="0c1f7c4e-6f0e-4a9b-9a59-3f3b8a1d2c11",
    wallet_owner_ref="b7a2f0de-0000-4000-8000-000000000001",
    amount=9_007_199_254_740_993,
    currency="IRR",
)
SUCCESS = b'{"data": "success", "status": 200, "reference": "R1"}'
FAILED = b'{"data": "failed", "status": 503}'
TIMEOUT = 0.4
# How long a server script keeps a caller waiting: far longer than any deadline here.
FOREVER = 5.0


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes
    raw: bytes


# One script answers one request; a true result keeps the connection open for the next one.
Script = Callable[[socket.socket], Any]


@dataclass
class ScriptedBank:
    """Plays one script per request, the last one for ever."""

    scripts: list[Script]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.stopped.set()
        # Closing alone does not wake a thread that is blocked in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while request := read_request(connection):
                self.requests.append(request)
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                if not script(connection):
                    break
        except OSError:
            # The client hung up, which is what many of these tests are about.
            return
        finally:
            connection.close()


def read_request(connection: socket.socket) -> Request | None:
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = connection.recv(65_536)
        if not piece:
            return None
        raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (f.partition(": ") for f in fields)}
    while len(body) < int(headers.get("content-length", 0)):
        piece = connection.recv(65_536)
        body, raw = body + piece, raw + piece
    return Request(line, headers, body, raw)


def reply(status: int | str, body: bytes = b"", **headers: str) -> Script:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {"Content-Length": str(len(body)), **names}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return raw(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body, keep=True)


def raw(*pieces: bytes, keep: bool = False, pause: float = 0.0) -> Script:
    def script(connection: socket.socket) -> bool:
        for piece in pieces:
            connection.sendall(piece)
            if pause:
                time.sleep(pause)
        return keep

    return script


def hang(connection: socket.socket) -> None:
    connection.settimeout(FOREVER)
    connection.recv(1)


def trickle(before: bytes, drop: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(before)
        for _ in range(int(FOREVER / 0.05)):
            connection.sendall(drop)
            time.sleep(0.05)

    return script


def flood(before: bytes, drop: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(before)
        until = time.monotonic() + FOREVER
        while time.monotonic() < until:
            connection.sendall(drop)

    return script


def reset(connection: socket.socket) -> None:
    # With no time to linger, close() sends RST instead of FIN.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def reset_after(before: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(before)
        time.sleep(0.1)
        reset(connection)

    return script


@contextmanager
def bank(*scripts: Script) -> Iterator[ScriptedBank]:
    server = ScriptedBank(list(scripts))
    try:
        yield server
    finally:
        server.close()


@contextmanager
def gateway(url: str, **changes: Any) -> Iterator[BankGateway]:
    pauses: list[float] = changes.pop("pauses", [])
    config = replace(BankConfig(url, timeout=TIMEOUT, retry_count=0), **changes)
    client = BankGateway(config, rng=random.Random(7), sleep=pauses.append)
    try:
        yield client
    finally:
        client.close()


def transfer(
    client: BankGateway, *, maybe_sent: bool = False, may_send: Callable[[], bool] = lambda: True
) -> Outcome:
    return client.transfer(TRANSFER, maybe_sent=maybe_sent, may_send=may_send)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


class WireTests(SimpleTestCase):
    """One misbehaviour each, one try, and what is concluded."""

    def assert_lost(self, script: Script, word: str) -> None:
        with bank(script) as server, gateway(server.url) as client:
            started = time.monotonic()
            outcome = transfer(client)
            took = time.monotonic() - started
        self.assertEqual(outcome.verdict, Verdict.IN_DOUBT)
        self.assertEqual(outcome.reason, word)
        self.assertTrue(outcome.may_have_arrived)
        self.assertEqual(outcome.health, BankHealth.UNREACHABLE)
        self.assertEqual([record.verdict for record in outcome.records], [word])
        # Not about speed: a caller that is held past its deadline outlives its lease.
        self.assertLess(took, TIMEOUT + 1.0)

    def test_it_is_paid_on_success(self) -> None:
        with bank(reply(200, SUCCESS)) as server, gateway(server.url) as client:
            outcome = transfer(client)
        self.assertEqual((outcome.verdict, outcome.reference), (Verdict.PAID, "R1"))
        self.assertEqual(outcome.health, BankHealth.ANSWERED)
        self.assertEqual(outcome.records[0].http_status, 200)
        self.assertEqual(len(outcome.records[0].digest), 64)

    def test_it_reads_a_chunked_answer_and_one_that_ends_with_the_connection(self) -> None:
        size = f"{len(SUCCESS):x}".encode()
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for name, script in [
            ("chunked", raw(chunked + size + b"\r\n" + SUCCESS + b"\r\n0\r\n\r\n")),
            ("HTTP/1.0", raw(b"HTTP/1.0 200 OK\r\n\r\n" + SUCCESS)),
            (
                "after 100 Continue",
                raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + SUCCESS),
            ),
            ("byte by byte", raw(*(bytes([b]) for b in b"HTTP/1.1 200 OK\r\n\r\n" + SUCCESS))),
        ]:
            with self.subTest(name), bank(script) as server, gateway(server.url) as client:
                self.assertEqual(transfer(client).verdict, Verdict.PAID)

    def test_it_is_refused_on_failed_and_on_503(self) -> None:
        for script, reason in [
            (reply(200, FAILED), "bank_refused"),
            (reply(503, FAILED), "bank_refused"),
            (reply(503, b"<html>"), "bank_unavailable"),
        ]:
            with self.subTest(reason), bank(script) as server, gateway(server.url) as client:
                outcome = transfer(client)
            self.assertEqual((outcome.verdict, outcome.reason), (Verdict.REFUSED, reason))
            self.assertFalse(outcome.may_have_arrived)

    def test_it_waits_no_longer_than_its_deadline(self) -> None:
        head = b"HTTP/1.1 200 OK\r\n"
        for name, script, word in [
            ("silence", hang, "read_timeout"),
            ("a trickled status line", trickle(b"", b"H"), "deadline"),
            ("trickled headers", trickle(head, b"X-Slow: 1\r\n"), "deadline"),
            ("a trickled header", trickle(head + b"X-Slow: ", b"1"), "deadline"),
            ("trickled 100 Continue", trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "deadline"),
            ("a trickled body", trickle(head + b"Content-Length: 999\r\n\r\n", b" "), "deadline"),
            ("a trickled body without length", trickle(head + b"\r\n", b" "), "deadline"),
            (
                "trickled chunks",
                trickle(head + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
                "deadline",
            ),
            ("half an answer", raw(head, pause=FOREVER), "deadline"),
        ]:
            with self.subTest(name):
                self.assert_lost(script, word)

    def test_it_is_in_doubt_when_the_connection_breaks_after_the_request(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for name, script, word in [
            ("RST", reset, "reset"),
            ("FIN", raw(), "closed_unanswered"),
            ("RST in the body", reset_after(head + SUCCESS), "reset"),
            ("RST in the headers", reset_after(b"HTTP/1.1 200 OK\r\n"), "reset"),
            ("a cut body", raw(head + SUCCESS), "truncated"),
            ("a cut chunk", raw(chunked + b"fff\r\n" + SUCCESS), "truncated"),
            ("no last chunk", raw(chunked + b"2\r\n{}\r\n"), "truncated"),
            ("a chunk size that is none", raw(chunked + b"zz\r\n{}\r\n"), "truncated"),
            ("no HTTP", raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "garbage"),
            ("a bad status", raw(b"HTTP/1.1 2xx OK\r\n\r\n" + SUCCESS), "garbage"),
            ("another protocol", raw(b"HTTP/3 200 OK\r\n\r\n" + SUCCESS), "garbage"),
            ("an endless line", raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000), "garbage"),
            ("a hundred headers", raw(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200), "garbage"),
        ]:
            with self.subTest(name):
                self.assert_lost(script, word)

    def test_it_takes_two_lengths_for_none(self) -> None:
        both = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 52\r\n\r\n"
        self.assert_lost(raw(both + SUCCESS), "transport_error")

    def test_it_never_believes_half_a_body_without_a_length(self) -> None:
        cut = b"HTTP/1.0 200 OK\r\n\r\n" + SUCCESS[:-1]
        self.assert_lost(raw(cut), "unreadable_answer")

    def test_it_reads_no_more_than_its_limit(self) -> None:
        head = b"HTTP/1.1 200 OK\r\n"
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
        for name, script, word in [
            ("a huge body", reply(200, SUCCESS + b" " * 1_000_000), "unreadable_answer"),
            ("an endless body", flood(head + b"\r\n", b" " * 65_536), "unreadable_answer"),
            ("a negative chunk", flood(chunked + b"-1\r\n", b" " * 65_536), "body_too_large"),
            ("endless trailers", flood(chunked + b"0\r\n", b"X: x\r\n" * 999), "body_too_large"),
            (
                "an endless prelude",
                flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999),
                "body_too_large",
            ),
        ]:
            with self.subTest(name):
                self.assert_lost(script, word)

    def test_it_knows_the_status_of_an_answer_that_is_too_long_to_read(self) -> None:
        page = b"<html>" + b" " * 1_000_000
        with bank(reply(404, page)) as server, gateway(server.url) as client:
            outcome = transfer(client)
        self.assertEqual(outcome.verdict, Verdict.HANDED_BACK)
        self.assertEqual(outcome.health, BankHealth.MISCONFIGURED)

    def test_it_unpacks_nothing(self) -> None:
        bomb = gzip.compress(SUCCESS + b" " * 10_000_000)
        for name, body in [("a bomb", bomb), ("a lie", b"not gzip at all")]:
            with self.subTest(name):
                self.assert_lost(reply(200, body, Content_Encoding="gzip"), "unreadable_answer")
        with bank(reply(200, SUCCESS)) as server, gateway(server.url) as client:
            transfer(client)
        self.assertEqual(server.requests[0].headers["accept-encoding"], "identity")

    def test_it_follows_no_redirect(self) -> None:
        for status in (301, 302, 303, 307, 308):
            for body in (b"", FAILED, b" " * 200_000):
                with bank(reply(200, SUCCESS)) as trap:
                    script = reply(status, body, Location=f"{trap.url}/paid")
                    with bank(script) as server, gateway(server.url) as client:
                        outcome = transfer(client)
                self.assertEqual(outcome.verdict, Verdict.IN_DOUBT)
                self.assertEqual(outcome.alarm, "redirected")
                self.assertEqual([r.line.split()[0] for r in server.requests], ["POST"])
                self.assertEqual(trap.requests, [])

    def test_it_ignores_a_redirect_to_nonsense(self) -> None:
        script = reply(302, b"", Location="http://[::bad")
        with bank(script) as server, gateway(server.url) as client:
            self.assertEqual(transfer(client).reason, "redirected")

    def test_it_ignores_cookies_proxies_and_passwords_of_its_surroundings(self) -> None:
        trap = closed_port()
        script = reply(200, SUCCESS, Set_Cookie="id=1; Path=/")
        with tempfile.NamedTemporaryFile("w") as netrc:
            netrc.write("default login somebody password something\n")
            netrc.flush()
            surroundings = {"HTTP_PROXY": trap, "http_proxy": trap, "NETRC": netrc.name}
            with (
                mock.patch.dict(os.environ, surroundings),
                bank(script) as server,
                gateway(server.url) as client,
            ):
                self.assertEqual(transfer(client).verdict, Verdict.PAID)
                self.assertEqual(transfer(client).verdict, Verdict.PAID)
        self.assertNotIn("cookie", server.requests[1].headers)
        self.assertNotIn("authorization", server.requests[1].headers)

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 "]),
        st.lists(
            st.binary(max_size=40)
            | st.sampled_from(
                [
                    b"\r\n",
                    b"\r\n\r\n",
                    b": ",
                    b"Content-Length: ",
                    b"Transfer-Encoding: chunked\r\n",
                    b"Content-Encoding: gzip\r\n",
                    b"Content-Type: text/html; charset=\xff\r\n",
                    b"Set-Cookie: a=b; expires=never\r\n",
                    b"Retry-After: 99999999999999999999\r\n",
                    b"Location: http://[\r\n",
                    b"Connection: close\r\n",
                    b"-5\r\n",
                    SUCCESS,
                ]
            ),
            max_size=6,
        ),
    )
    def test_it_never_raises_whatever_comes_back(self, head: bytes, pieces: list[bytes]) -> None:
        said = head + b"".join(pieces)
        with bank(raw(said)) as server, gateway(server.url) as client:
            outcome = transfer(client)
        self.assertIn(outcome.verdict, Verdict)
        if outcome.verdict is Verdict.PAID:
            self.assertIn(SUCCESS, said)


class UnsentTests(SimpleTestCase):
    """What provably never left us."""

    def assert_unsent(self, url: str, word: str, **changes: Any) -> None:
        with gateway(url, retry_count=2, **changes) as client:
            clean = transfer(client)
            unclean = transfer(client, maybe_sent=True)
        self.assertEqual((clean.verdict, clean.reason), (Verdict.REFUSED, "network_error"))
        self.assertEqual(unclean.verdict, Verdict.IN_DOUBT)
        for outcome in (clean, unclean):
            self.assertFalse(outcome.may_have_arrived)
            self.assertEqual(outcome.health, BankHealth.UNREACHABLE)
            self.assertEqual([record.verdict for record in outcome.records], [word] * 3)

    def test_it_is_refused_when_nobody_listens(self) -> None:
        self.assert_unsent(closed_port(), "connection_refused")

    def test_it_is_refused_when_there_is_no_such_name(self) -> None:
        no_name = socket.gaierror(socket.EAI_NONAME, "unknown")
        with mock.patch.object(socket, "getaddrinfo", side_effect=no_name):
            self.assert_unsent("http://bank.invalid", "name_not_resolved")

    def test_it_is_refused_when_the_name_cannot_be_one(self) -> None:
        self.assert_unsent(f"http://{'x' * 70}.invalid", "name_not_resolved")

    def test_it_is_refused_when_the_name_server_is_silent(self) -> None:
        asked = []
        silence = threading.Event()

        def getaddrinfo(*args: Any, **kwargs: Any) -> list[Any]:
            asked.append(args)
            silence.wait(FOREVER)
            return []

        with mock.patch.object(socket, "getaddrinfo", getaddrinfo):
            self.assert_unsent("http://bank.invalid", "name_lookup_timeout", timeout=0.1)
            self.assertEqual(len(asked), 1, "callers did not share the one lookup")
            silence.set()
        for thread in threading.enumerate():
            if thread.name == "bank-lookup":
                thread.join(FOREVER)
        self.assertEqual(lookup._pending, {})

    def test_it_is_refused_when_the_connection_is_not_taken_in_time(self) -> None:
        # A listener that never accepts and whose queue is full drops every further SYN.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            waiting = [socket.socket() for _ in range(4)]
            for client in waiting:
                client.setblocking(False)
                client.connect_ex(listener.getsockname())
            time.sleep(0.1)
            try:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                self.assert_unsent(url, "connect_timeout", timeout=0.2)
            finally:
                for client in waiting:
                    client.close()

    def test_it_tries_the_next_address(self) -> None:
        with bank(reply(200, SUCCESS)) as server:
            port = int(server.url.rpartition(":")[2])
            dead = int(closed_port().rpartition(":")[2])
            found = [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", dead)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            ]
            with (
                mock.patch.object(socket, "getaddrinfo", return_value=found),
                gateway("http://bank.invalid") as client,
            ):
                self.assertEqual(transfer(client).verdict, Verdict.PAID)

    def test_it_is_refused_when_the_tls_handshake_fails(self) -> None:
        def accept(script: Script) -> str:
            listener = socket.create_server(("127.0.0.1", 0))
            self.addCleanup(listener.close)

            def serve() -> None:
                while True:
                    try:
                        connection, _ = listener.accept()
                        script(connection)
                        connection.close()
                    except OSError:
                        return

            threading.Thread(target=serve, daemon=True).start()
            return f"https://127.0.0.1:{listener.getsockname()[1]}"

        self.assert_unsent(accept(raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")), "tls_error")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"https://127.0.0.1:{silent.getsockname()[1]}"
            self.assert_unsent(url, "connect_timeout", timeout=0.2)


class ConnectionTests(SimpleTestCase):
    def test_it_keeps_the_connection_for_the_next_transfer(self) -> None:
        with bank(reply(200, SUCCESS)) as server, gateway(server.url) as client:
            for _ in range(5):
                self.assertEqual(transfer(client).verdict, Verdict.PAID)
        self.assertEqual(server.connections, 1)

    def test_it_does_not_send_on_a_connection_the_bank_has_closed(self) -> None:
        close = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 53\r\n\r\n" + SUCCESS)
        with bank(close) as server, gateway(server.url) as client:
            for _ in range(3):
                self.assertEqual(transfer(client).verdict, Verdict.PAID)
                time.sleep(0.05)
        self.assertEqual(server.connections, 3)

    def test_it_does_not_send_on_a_connection_that_was_long_idle(self) -> None:
        with (
            mock.patch.object(deadline, "MAX_IDLE_SECONDS", 0.0),
            bank(reply(200, SUCCESS)) as server,
            gateway(server.url) as client,
        ):
            transfer(client)
            transfer(client)
        self.assertEqual(server.connections, 2)

    def test_it_never_takes_one_answer_for_another(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 53\r\n\r\n" + SUCCESS
        for name, first in [
            ("an answer given twice", raw(answer + answer, keep=True)),
            ("an answer repeated later", raw(answer, answer, keep=True, pause=0.02)),
            (
                "an interim answer",
                raw(b"HTTP/1.1 103 Early Hints\r\n\r\n", answer, keep=True, pause=0.3),
            ),
            ("a body too long to read", reply(200, SUCCESS + b" " * 100_000 + answer)),
            ("a body that breaks off", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")),
        ]:
            with (
                self.subTest(name),
                bank(first, reply(200, FAILED)) as server,
                gateway(server.url) as client,
            ):
                transfer(client)
                time.sleep(0.1)
                self.assertEqual(transfer(client).verdict, Verdict.REFUSED)

    def test_it_knows_that_a_connection_lost_before_the_first_byte_sent_nothing(self) -> None:
        with bank(reply(200, SUCCESS), reset) as server, gateway(server.url) as client:
            transfer(client)
            # The bank resets while we are idle and the check before the send is a moment too early.
            client._transport._adapter._pool.pool.queue[-1].sock.shutdown(socket.SHUT_WR)
            with mock.patch.object(deadline._DeadlineConnection, "is_connected", True):
                outcome = transfer(client)
        self.assertEqual(outcome.records[0].verdict, "connection_lost")
        self.assertEqual((outcome.verdict, outcome.reason), (Verdict.REFUSED, "network_error"))
        self.assertEqual(len(server.requests), 1)

    def test_it_does_not_take_a_word_before_the_request_for_an_answer(self) -> None:
        good_bye = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 53\r\n\r\n" + SUCCESS
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 53\r\n\r\n" + SUCCESS
        with (
            bank(raw(answer, good_bye, pause=0.02, keep=True)) as server,
            gateway(server.url) as client,
        ):
            transfer(client)
            time.sleep(0.1)
            client._transport._adapter._pool.pool.queue[-1].sock.shutdown(socket.SHUT_WR)
            with mock.patch.object(deadline._DeadlineConnection, "is_connected", True):
                outcome = transfer(client)
        self.assertEqual(outcome.records[0].verdict, "connection_lost")
        self.assertFalse(outcome.may_have_arrived)


class RetryTests(SimpleTestCase):
    def test_it_repeats_the_same_bytes_with_the_same_key(self) -> None:
        scripts = [reset, reply(500), reply(302), reply(429), hang, reply(200, SUCCESS)]
        with bank(*scripts) as server, gateway(server.url, retry_count=5, timeout=0.2) as client:
            outcome = transfer(client)
        self.assertEqual(outcome.verdict, Verdict.PAID)
        self.assertEqual(len(server.requests), 6)
        self.assertEqual(len({request.raw for request in server.requests}), 1)
        request = server.requests[0]
        self.assertEqual(request.line, "POST / HTTP/1.1")
        self.assertEqual(request.headers["content-type"], "application/json")
        self.assertEqual(request.headers["idempotency-key"], TRANSFER.idempotency_key)
        self.assertEqual(request.headers["x-idempotency-key"], TRANSFER.idempotency_key)
        self.assertEqual(
            json.loads(request.body),
            {
                "idempotency_key": TRANSFER.idempotency_key,
                "wallet_owner_ref": TRANSFER.wallet_owner_ref,
                "amount": TRANSFER.amount,
                "currency": "IRR",
            },
        )
        self.assertEqual(request.body, request_body(TRANSFER))

    def test_it_sends_each_transfer_its_own_key_and_amount(self) -> None:
        other = Transfer("another-key", "ref", 1, "EUR")
        with bank(reply(200, SUCCESS)) as server, gateway(server.url) as client:
            transfer(client)
            client.transfer(other, maybe_sent=False, may_send=lambda: True)
        self.assertEqual(server.requests[1].headers["idempotency-key"], "another-key")
        self.assertEqual(server.requests[1].headers["x-idempotency-key"], "another-key")
        self.assertEqual(json.loads(server.requests[1].body)["amount"], 1)

    def test_it_stops_after_its_tries(self) -> None:
        with bank(reply(500)) as server, gateway(server.url, retry_count=2) as client:
            outcome = transfer(client)
        self.assertEqual(len(server.requests), 3)
        self.assertEqual(len(outcome.records), 3)
        self.assertEqual(outcome.verdict, Verdict.IN_DOUBT)

    def test_it_sends_once_to_a_bank_that_ignores_keys(self) -> None:
        none = {"idempotency": Idempotency.NONE, "retry_count": 5}
        for script in (reset, reply(500), reply(302), raw()):
            with bank(script) as server, gateway(server.url, **none) as client:
                self.assertEqual(transfer(client).verdict, Verdict.IN_DOUBT)
            self.assertEqual(len(server.requests), 1)
        with bank(reply(429), reply(200, SUCCESS)) as server, gateway(server.url, **none) as client:
            self.assertEqual(transfer(client).verdict, Verdict.PAID)
        with bank(reply(200, SUCCESS)) as server, gateway(server.url, **none) as client:
            outcome = transfer(client, maybe_sent=True)
        self.assertEqual((outcome.verdict, outcome.reason), (Verdict.IN_DOUBT, "resend_forbidden"))
        self.assertEqual(server.requests, [])

    def test_it_asks_for_permission_before_each_send(self) -> None:
        for script, permissions, verdict, reason, health in [
            (reply(200, SUCCESS), [False], Verdict.HANDED_BACK, "unsent", BankHealth.UNTRIED),
            (reply(429), [True, False], Verdict.HANDED_BACK, "throttled", BankHealth.THROTTLED),
            (reset, [True, False], Verdict.IN_DOUBT, "reset", BankHealth.UNREACHABLE),
            (reply(500), [True, True, False], Verdict.IN_DOUBT, "http_500", BankHealth.UNREACHABLE),
        ]:
            asked = iter(permissions)
            with bank(script) as server, gateway(server.url, retry_count=5) as client:
                outcome = transfer(client, may_send=lambda: next(asked))  # noqa: B023
            self.assertEqual((outcome.verdict, outcome.reason), (verdict, reason))
            self.assertEqual(outcome.health, health)
            self.assertEqual(len(server.requests), permissions.count(True))
        with gateway(closed_port(), retry_count=5) as client:
            asked = iter([True, False])
            self.assertEqual(transfer(client, may_send=lambda: next(asked)).reason, "unsent")

    def test_it_waits_as_long_as_the_bank_asks(self) -> None:
        pauses: list[float] = []
        scripts = [reply(429, Retry_After="1"), reply(500), reply(200, SUCCESS)]
        with (
            bank(*scripts) as server,
            gateway(server.url, retry_count=2, pauses=pauses, backoff_base=0.1) as client,
        ):
            transfer(client)
        self.assertEqual(len(pauses), 2)
        self.assertTrue(1.0 <= pauses[0] <= 1.1)
        self.assertTrue(0.0 <= pauses[1] <= 0.2)

    def test_it_hands_the_transfer_back_when_the_bank_asks_for_too_long(self) -> None:
        for asked, passed_on in [("3", 3.0), ("3600", 60.0)]:
            script = reply(429, Retry_After=asked)
            with bank(script) as server, gateway(server.url, retry_count=5) as client:
                outcome = transfer(client)
            self.assertEqual(outcome.verdict, Verdict.HANDED_BACK)
            self.assertEqual(outcome.health, BankHealth.THROTTLED)
            self.assertEqual(outcome.retry_after, passed_on)
            self.assertEqual(len(server.requests), 1)

    def test_it_lets_a_programming_error_through(self) -> None:
        with gateway(closed_port()) as client, self.assertRaises(ZeroDivisionError):
            transfer(client, may_send=lambda: bool(1 // 0))


class InquiryTests(SimpleTestCase):
    def test_it_asks_once_about_the_key(self) -> None:
        scripts = [reply(500), reply(200, SUCCESS)]
        with bank(*scripts) as server, gateway(server.url, retry_count=5) as client:
            self.assertEqual(self.ask(client).verdict, Verdict.IN_DOUBT)
            outcome = self.ask(client)
        self.assertEqual((outcome.verdict, outcome.reference), (Verdict.PAID, "R1"))
        self.assertEqual(outcome.proof, CallKind.INQUIRY)
        self.assertEqual(outcome.records[0].kind, CallKind.INQUIRY)
        line = f"GET /transfers/{TRANSFER.idempotency_key} HTTP/1.1"
        self.assertEqual([request.line for request in server.requests], [line] * 2)
        self.assertEqual(server.requests[0].body, b"")

    def test_it_quotes_the_key_and_keeps_the_rest_of_the_path(self) -> None:
        odd = replace(TRANSFER, idempotency_key="a/b?c=%41#é {x}")
        with (
            bank(reply(404, b"{}")) as server,
            gateway(server.url + "/api/", inquiry_path="/t/{idempotency_key}?full=1") as client,
        ):
            client.inquire(odd, seconds_since_last_send=None)
        self.assertEqual(
            server.requests[0].line,
            "GET /api/t/a%2Fb%3Fc%3D%2541%23%C3%A9%20%7Bx%7D?full=1 HTTP/1.1",
        )

    def test_it_refuses_on_not_found_only_when_asked_late(self) -> None:
        with bank(reply(404, b'{"data": "not_found"}')) as server, gateway(server.url) as client:
            self.assertEqual(self.ask(client, since=59.0).verdict, Verdict.IN_DOUBT)
            self.assertEqual(self.ask(client, since=61.0).verdict, Verdict.REFUSED)

    def test_it_trusts_failed_of_a_bank_that_forgets_refusals_only_when_asked_late(self) -> None:
        with (
            bank(reply(200, b'{"data": "failed"}')) as server,
            gateway(server.url, idempotency=Idempotency.SUCCESS_ONLY) as client,
        ):
            self.assertEqual(self.ask(client, since=59.0).verdict, Verdict.IN_DOUBT)
            self.assertEqual(self.ask(client, since=61.0).verdict, Verdict.REFUSED)

    def test_it_stays_when_the_bank_is_silent(self) -> None:
        with bank(hang) as server, gateway(server.url, timeout=0.2) as client:
            outcome = self.ask(client)
        self.assertEqual((outcome.verdict, outcome.reason), (Verdict.IN_DOUBT, "read_timeout"))
        self.assertFalse(outcome.may_have_arrived)

    @staticmethod
    def ask(client: BankGateway, since: float | None = 1_000.0) -> Outcome:
        return client.inquire(TRANSFER, seconds_since_last_send=since)


class LogTests(SimpleTestCase):
    def test_it_logs_an_alarm_as_an_error_without_the_body(self) -> None:
        body = b'{"data": "success", "amount": 1, "secret": "s3cret"}'
        with (
            bank(reply(200, body)) as server,
            gateway(server.url) as client,
            self.assertLogs("wallets.bank", "DEBUG") as logs,
        ):
            transfer(client)
        (record,) = logs.records
        self.assertEqual(record.levelname, "ERROR")
        fields = vars(record)
        self.assertEqual(fields["alarm"], "echo_mismatch")
        self.assertEqual(fields["idempotency_key"], TRANSFER.idempotency_key)
        self.assertEqual(fields["http_status"], 200)
        self.assertNotIn("s3cret", repr(fields))

    def test_it_logs_each_outcome_at_its_level(self) -> None:
        for script, level in [
            (reply(200, SUCCESS), "DEBUG"),
            (reply(200, FAILED), "INFO"),
            (reply(500), "WARNING"),
            (reply(401), "ERROR"),
        ]:
            with (
                bank(script) as server,
                gateway(server.url) as client,
                self.assertLogs("wallets.bank", "DEBUG") as logs,
            ):
                transfer(client)
            self.assertEqual([record.levelname for record in logs.records], [level])


class BackoffTests(SimpleTestCase):
    def test_it_draws_from_nothing_to_a_doubling_step_under_a_cap(self) -> None:
        rng = random.Random(1)
        for failed_tries, longest in [(1, 0.1), (2, 0.2), (3, 0.4), (6, 2.0), (50, 2.0)]:
            drawn = [full_jitter(failed_tries, base=0.1, cap=2.0, rng=rng) for _ in range(500)]
            self.assertLess(min(drawn), longest * 0.1)
            self.assertTrue(longest * 0.9 < max(drawn) <= longest)

    def test_it_reads_seconds_and_dates(self) -> None:
        # 2026-01-01T00:00:00Z
        now = 1_767_225_600.0
        for header, seconds in [
            (None, None),
            ("", None),
            ("0", 0.0),
            (" 7 ", 7.0),
            ("3600", 60.0),
            ("9" * 40, 60.0),
            ("9" * 4_000, None),
            ("-1", None),
            ("1.5", None),
            ("1e3", None),
            ("nan", None),
            ("soon", None),
            ("٣", None),
            ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
            ("Thu, 01 Jan 2026 00:00:30 -0000", 30.0),
            ("Thu, 01 Jan 2026 09:00:00 GMT", 60.0),
            ("Wed, 31 Dec 2025 23:59:59 GMT", None),
            ("Thu, 99 Jan 2026 00:00:30 GMT", None),
            ("Thu, 01 Jan 99999 00:00:30 GMT", None),
        ]:
            with self.subTest(header):
                self.assertEqual(retry_after_seconds(header, now=now, cap=60.0), seconds)

    @settings(deadline=None)
    @given(st.text(max_size=70))
    def test_it_survives_any_header(self, header: str) -> None:
        seconds = retry_after_seconds(header, now=0.0, cap=60.0)
        self.assertTrue(seconds is None or 0 <= seconds <= 60)


class ConfigTests(SimpleTestCase):
    def test_it_bounds_a_whole_call(self) -> None:
        config = BankConfig("http://bank", timeout=3.0, retry_count=2, backoff_cap=2.0)
        # Three tries and two pauses, of 0.1 and 0.2 at most.
        self.assertAlmostEqual(worst_case_call_seconds(config), 9.3)
        steep = replace(config, backoff_base=30.0)
        self.assertAlmostEqual(worst_case_call_seconds(steep), 13.0)
        once = replace(config, retry_count=0)
        self.assertEqual(worst_case_call_seconds(once), 3.0)

    @override_settings(
        BANK_BASE_URL="https://bank.example/pay",
        BANK_INQUIRY_PATH="",
        BANK_TIMEOUT=1.5,
        BANK_RETRY_COUNT=4,
        BANK_IDEMPOTENCY="success_only",
        BANK_NOT_FOUND_GRACE_SECONDS=90.0,
        BANK_RETRY_AFTER_CAP_SECONDS=30.0,
        BANK_BACKOFF_BASE_SECONDS=0.2,
        BANK_BACKOFF_CAP_SECONDS=1.0,
    )
    def test_it_reads_the_settings(self) -> None:
        self.assertEqual(
            bank_config(),
            BankConfig(
                base_url="https://bank.example/pay",
                inquiry_path="",
                timeout=1.5,
                retry_count=4,
                idempotency=Idempotency.SUCCESS_ONLY,
                not_found_grace=90.0,
                max_answer_bytes=65_536,
                backoff_base=0.2,
                backoff_cap=1.0,
                retry_after_cap=30.0,
            ),
        )
        self.assertFalse(bank_config().inquiry_configured)

    def test_it_refuses_what_cannot_work(self) -> None:
        refused: list[tuple[dict[str, Any], str]] = [
            ({"base_url": "bank.example"}, "BANK_BASE_URL"),
            ({"base_url": "ftp://bank.example"}, "BANK_BASE_URL"),
            ({"base_url": "http://"}, "BANK_BASE_URL"),
            ({"base_url": "http://bank:port"}, "BANK_BASE_URL"),
            ({"base_url": "http://bank:0"}, "BANK_BASE_URL"),
            ({"base_url": "http://[bank"}, "BANK_BASE_URL"),
            ({"base_url": "http://bank/?a=1"}, "BANK_BASE_URL"),
            ({"inquiry_path": "/transfers/"}, "BANK_INQUIRY_PATH"),
            ({"inquiry_path": "{idempotency_key}"}, "BANK_INQUIRY_PATH"),
            ({"timeout": 0.0}, "BANK_TIMEOUT"),
            ({"timeout": float("nan")}, "BANK_TIMEOUT"),
            ({"retry_count": -1}, "BANK_RETRY_COUNT"),
        ]
        for changes, name in refused:
            with self.subTest(str(changes)), self.assertRaisesMessage(ImproperlyConfigured, name):
                BankConfig(**{"base_url": "http://bank", **changes})
