"""Bodies that are wrong whatever the endpoint makes of them."""

import json
from typing import Any

from django.test import TestCase, override_settings

from wallets.tests.api_case import FUTURE, ApiCase, decoded
from wallets.tests.money import make_wallet

BAD_BODIES = [
    (b"{", "malformed_json"),
    (b"}", "malformed_json"),
    (b" ", "malformed_json"),
    (b"amount=1", "malformed_json"),
    (b"{'amount': 1}", "malformed_json"),
    (b'{"amount": 1,}', "malformed_json"),
    (b'{"amount": 1} {"amount": 2}', "malformed_json"),
    (b'{"amount": 1}\x00', "malformed_json"),
    (b'{"amount": "a\x00b"}', "malformed_json"),
    (b'{"amount": 01}', "malformed_json"),
    (b'{"amount": +1}', "malformed_json"),
    (b'{"amount": 0x10}', "malformed_json"),
    (b'{"amount": .5}', "malformed_json"),
    (b'{"amount": NaN}', "malformed_json"),
    (b'{"amount": Infinity}', "malformed_json"),
    (b'{"amount": -Infinity}', "malformed_json"),
    (b'{"x": [NaN]}', "malformed_json"),
    (b'\xef\xbb\xbf{"amount": 1}', "malformed_json"),
    (b'{"amount": 1, "amount": 1}', "duplicate_key"),
    (b'{"amount": 1, "\\u0061mount": 2}', "duplicate_key"),
    (b'{"x": {"y": 1, "y": 2}}', "duplicate_key"),
    (b"[]", "body_not_object"),
    (b'[{"amount": 1}]', "body_not_object"),
    (b"null", "body_not_object"),
    (b"true", "body_not_object"),
    (b"1", "body_not_object"),
    (b'"amount"', "body_not_object"),
    (b'{"amount": "\xff"}', "body_not_utf8"),
    (b'{"amount": "\xc0\x80"}', "body_not_utf8"),
    (b'{"amount": "\xed\xa0\x80"}', "body_not_utf8"),
    ('{"amount": 1}'.encode("utf-16"), "body_not_utf8"),
    (b"[" * 100_000, "json_too_deep"),
    (b'{"a":' * 50_000, "json_too_deep"),
]


class BodiesTest(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        wallet = f"/api/wallets/{make_wallet(10)}"
        self.urls = ["/api/wallets/", f"{wallet}/deposit/", f"{wallet}/withdrawals/"]
        self.deposit = self.urls[1]

    def test_refuses_bodies_that_are_not_one_strict_json_object(self) -> None:
        with self.nothing_changes():
            for url in self.urls:
                for body, code in BAD_BODIES:
                    with self.subTest(url=url, body=body[:40]):
                        self.refused(self.send(url, body), 400, code)

    def test_does_not_repeat_what_was_in_the_body_when_it_is_malformed(self) -> None:
        response = self.send(self.deposit, b'{"card": 6037991234567890 "x"}')
        self.assertNotIn("6037991234567890", response.content.decode())

    def test_refuses_other_media_types(self) -> None:
        kinds = [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/xml",
            "application/vnd.api+json",
            "text/json",
            "*/*",
            "",
            ";",
            "application/json; charset=utf-16",
            "application/json; charset=latin-1",
        ]
        with self.nothing_changes():
            for kind in kinds:
                with self.subTest(kind=kind):
                    response = self.client.generic("POST", self.deposit, b'{"amount": 1}', kind)
                    self.refused(response, 415, "unsupported_media_type")

    def test_takes_json_however_its_type_is_written(self) -> None:
        for kind in ("application/json", "APPLICATION/JSON", "application/json;charset=UTF-8"):
            decoded(self.client.generic("POST", self.deposit, b'{"amount": 1}', kind), 201)

    def test_refuses_compressed_bodies(self) -> None:
        with self.nothing_changes():
            for encoding in ("gzip", "br", "GZIP", "x"):
                response = self.send(self.deposit, {"amount": 1}, **{"Content-Encoding": encoding})
                self.refused(response, 415, "unsupported_media_type")

    @override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=1_024)
    def test_refuses_a_body_beyond_the_limit(self) -> None:
        room = b'{"amount": 1%s}'
        fits = room % (b" " * (1_024 - len(room) + 2))
        decoded(self.send(self.deposit, fits), 201)
        with self.nothing_changes():
            data = self.refused(self.send(self.deposit, fits + b" "), 413, "body_too_large")
            self.assertEqual(data["max_bytes"], 1_024)

    def test_refuses_a_body_of_unknown_length(self) -> None:
        with self.nothing_changes():
            for url in self.urls:
                response = self.client.generic(
                    "POST", url, headers={"Transfer-Encoding": "chunked"}
                )
                self.refused(response, 411, "length_required")

    def test_does_not_stumble_over_strange_lengths(self) -> None:
        for length in ("-1", "abc", "1e3", "99999999999999999999", "1_0", " 13 "):
            with self.subTest(length=length):
                response = self.client.generic(
                    "POST",
                    self.deposit,
                    b'{"amount": 1}',
                    "application/json",
                    CONTENT_LENGTH=length,
                )
                self.assertIn(response.status_code, (201, 400, 413))
                decoded(response)

    def test_reads_what_it_should_whatever_the_accept_header_says(self) -> None:
        for accept in (
            "text/html",
            "application/xml",
            "image/*;q=0",
            "*/*",
            "",
            "\u00e9",
            "x" * 9_000,
        ):
            response = self.send(self.deposit, {"amount": 1}, Accept=accept)
            decoded(response, 201)
            response = self.send(self.deposit, {"amount": 0}, Accept=accept)
            decoded(response, 400)

    def test_does_not_read_a_body_sent_with_get(self) -> None:
        response = self.client.generic("GET", self.deposit[:-8], b"{", "application/json")
        decoded(response, 200)

    def test_takes_a_large_body_that_is_allowed_without_losing_its_breath(self) -> None:
        body: dict[str, Any] = {"amount": 1, "execute_at": FUTURE, "x": "9" * 200_000}
        response = self.send(self.urls[2], json.dumps(body).encode())
        self.refused(response, 400, "validation_error", ("x", "unknown_field"))
