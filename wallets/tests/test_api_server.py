"""Requests no client library would send, byte by byte, to a running server."""

import json
import socket

from django.test import LiveServerTestCase

from wallets.models import Transaction, Wallet
from wallets.tests.money import make_wallet

BODY = b'{"amount": 1}'


class RawRequestTest(LiveServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.url = f"/api/wallets/{make_wallet()}/deposit/".encode()
        host, _, port = self.live_server_url.removeprefix("http://").partition(":")
        self.address = (host, int(port))

    def exchange(self, raw: bytes) -> bytes:
        with socket.create_connection(self.address, timeout=20) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while chunk := connection.recv(65_536):
                received += chunk
        return received

    def answer(self, *headers: bytes, method: bytes = b"POST", path: bytes = b"") -> int:
        lines = [method + b" " + (path or self.url) + b" HTTP/1.1", *headers]
        if not any(line.lower().startswith(b"host:") for line in headers):
            lines.append(b"Host: localhost")
        lines += [b"Content-Type: application/json", b"Connection: close"]
        head, _, body = self.exchange(b"\r\n".join(lines) + b"\r\n\r\n" + BODY).partition(
            b"\r\n\r\n"
        )
        status = int(head.split(b" ")[1])
        decoded = json.loads(body)
        self.assertEqual(set(decoded), {"detail", "message", "status", "data"})
        self.assertEqual(decoded["status"], status)
        return status

    def test_refuses_a_body_that_ends_too_early(self) -> None:
        self.assertEqual(self.answer(b"Content-Length: 14"), 400)
        self.assertEqual(self.answer(b"Content-Length: 200000"), 400)

    def test_refuses_a_length_beyond_the_limit_without_reading(self) -> None:
        self.assertEqual(self.answer(b"Content-Length: 600000"), 413)

    def test_refuses_framing_that_two_servers_could_read_differently(self) -> None:
        for headers in (
            [b"Transfer-Encoding: chunked"],
            [b"Content-Length: 13", b"Transfer-Encoding: chunked"],
            [b"Content-Length: 13", b"Transfer-Encoding: xchunked"],
        ):
            self.assertEqual(self.answer(*headers), 411)

    def test_takes_no_body_for_no_body(self) -> None:
        for headers in ([], [b"Content-Length: 0"], [b"Content-Length: abc"], [b"Content-Length:"]):
            self.assertEqual(self.answer(*headers), 400, headers)

    def test_refuses_hosts_that_are_none(self) -> None:
        for host in (b"\xff", b"a b", b"localhost,evil.example", b"[", b"localhost\x00"):
            self.assertEqual(self.answer(b"Content-Length: 13", b"Host: " + host), 400, host)

    def test_refuses_keys_with_bytes_that_do_not_print(self) -> None:
        for key in (b"\xff", b"a\x00b", b"a\tb", b"\xd9\xa1", b"", b"   ", b"k" * 129):
            self.assertEqual(self.answer(b"Content-Length: 13", b"Idempotency-Key: " + key), 400)

    def test_is_not_impressed_by_strange_headers(self) -> None:
        for header in (
            b"Accept: \xff",
            b"Cookie: sessionid=\xff\x00",
            b"Accept-Language: \xff",
            b"X-Forwarded-Host: evil.example",
            b"X-HTTP-Method-Override: DELETE",
            b"If-None-Match: *",
            b"Range: bytes=0-1",
        ):
            self.assertEqual(self.answer(b"Content-Length: 13", header), 201, header)
        key = b"Authorization: Bearer \xff"
        self.assertEqual(self.answer(b"Content-Length: 13", key), 401)

    def test_finds_nothing_at_paths_made_of_bytes(self) -> None:
        for path in (b"/api/\xff", b"/api/%00", b"/api/%", b"/api/wallets/\xd9\xa1/deposit/"):
            self.assertEqual(self.answer(b"Content-Length: 13", path=path), 404, path)

    def test_refuses_methods_nobody_knows(self) -> None:
        for method in (b"BREW", b"get", b"P\xc3\xb6st", b"A" * 200):
            self.assertEqual(self.answer(b"Content-Length: 13", method=method), 405, method)

    def test_changes_nothing_by_all_this(self) -> None:
        self.answer(b"Content-Length: 14")
        self.answer(b"Content-Length: 13", b"Transfer-Encoding: chunked")
        self.answer(b"Content-Length: 13", b"Idempotency-Key: \xff")
        self.assertEqual(Wallet.objects.get().balance, 0)
        self.assertEqual(Transaction.objects.count(), 0)
