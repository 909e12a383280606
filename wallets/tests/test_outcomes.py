"""The verdict against the whole table of bank answers, row by row."""

import json
from dataclasses import dataclass, field
from typing import Any

from django.test import SimpleTestCase
from hypothesis import given, settings, strategies as st

from wallets.domain.bank_answer import clean_text, read_json_object
from wallets.domain.outcomes import (
    BankHealth,
    CallKind,
    Idempotency,
    Observation,
    Outcome,
    Transfer,
    Transport,
    Verdict,
    classify,
    judge_inquiry,
    judge_transfer,
    may_retry,
    may_send_again,
)

KEY = "0c1f7c4e-6f0e-4a9b-9a59-3f3b8a1d2c11"
TRANSFER = Transfer(idempotency_key=KEY, wallet_owner_ref="b7a2", amount=100, currency="IRR")

PAID, REFUSED = Verdict.PAID, Verdict.REFUSED
IN_DOUBT, HANDED_BACK = Verdict.IN_DOUBT, Verdict.HANDED_BACK
ANSWERED, UNREACHABLE = BankHealth.ANSWERED, BankHealth.UNREACHABLE
MISCONFIGURED, THROTTLED = BankHealth.MISCONFIGURED, BankHealth.THROTTLED


def answer(status: int, body: Any = b"", **seen: Any) -> Observation:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields: dict[str, Any] = {"kind": CallKind.TRANSFER, "started": 1.0, "duration": 0.25}
    return Observation(
        **{**fields, **seen}, transport=Transport.ANSWERED, http_status=status, body=raw
    )


def unsent(detail: str = "connection_refused") -> Observation:
    return Observation(CallKind.TRANSFER, 1.0, 0.25, Transport.NOT_SENT, detail=detail)


def lost(detail: str = "read_timeout") -> Observation:
    return Observation(CallKind.TRANSFER, 1.0, 0.25, Transport.MAY_HAVE_ARRIVED, detail=detail)


SUCCESS = answer(200, {"data": "success", "status": 200, "reference": "R1"})
FAILED = answer(200, {"data": "failed", "status": 503})
BARE_503 = answer(503, b"<html>no backend</html>")
PENDING = answer(202, {"data": "pending"})
THROTTLE = answer(429, b"", retry_after=7.0)


@dataclass(frozen=True)
class Row:
    name: str
    tries: list[Observation]
    verdict: Verdict
    reason: str
    health: BankHealth = ANSWERED
    may_have_arrived: bool = False
    alarm: str | None = None
    given: dict[str, Any] = field(default_factory=dict)


UNCLEAN = {"maybe_sent": True}
NO_INQUIRY = {"inquiry_configured": False}
SUCCESS_ONLY = {"idempotency": Idempotency.SUCCESS_ONLY}
STOPPED = {"cut_short": True}


def success(**changes: Any) -> Observation:
    return answer(200, {"data": "success", "status": 200, "reference": "R1", **changes})


TABLE = [
    # 2xx and the body says success
    Row("success", [SUCCESS], PAID, "paid", may_have_arrived=True),
    Row("success while not clean", [SUCCESS], PAID, "paid", may_have_arrived=True, given=UNCLEAN),
    Row("success after a lost try", [lost(), SUCCESS], PAID, "paid", may_have_arrived=True),
    Row(
        "success with 201", [answer(201, {"data": "success"})], PAID, "paid", may_have_arrived=True
    ),
    Row(
        "success that echoes what is ours",
        [success(idempotency_key=KEY, amount=100, currency="IRR")],
        PAID,
        "paid",
        may_have_arrived=True,
    ),
    Row("amount echoed as text", [success(amount="100")], PAID, "paid", may_have_arrived=True),
    Row("amount echoed as 100.0", [success(amount=100.0)], PAID, "paid", may_have_arrived=True),
    # 2xx saying success for another key, amount or currency
    *(
        Row(
            f"success for another {name}: {value!r}",
            [success(**{name: value})],
            IN_DOUBT,
            "echo_mismatch",
            may_have_arrived=True,
            alarm="echo_mismatch",
        )
        for name, value in [
            ("idempotency_key", "other"),
            ("idempotency_key", 7),
            ("idempotency_key", [KEY]),
            ("amount", 101),
            ("amount", "1000"),
            ("amount", 100.5),
            ("amount", "100 "),
            ("amount", "١٠٠"),
            ("amount", [100]),
            ("currency", "USD"),
            ("currency", {"code": "IRR"}),
        ]
    ),
    Row(
        "True is not the amount 1",
        [success(amount=True)],
        IN_DOUBT,
        "echo_mismatch",
        may_have_arrived=True,
        alarm="echo_mismatch",
        given={"transfer": Transfer(KEY, "b7a2", 1, "IRR")},
    ),
    # body says failed, or 503, while clean
    Row("failed in a 200", [FAILED], REFUSED, "bank_refused"),
    Row(
        "failed in a 503", [answer(503, {"data": "failed", "status": 503})], REFUSED, "bank_refused"
    ),
    Row("failed in a 400", [answer(400, {"data": "failed"})], REFUSED, "bank_refused"),
    Row("failed in a 422", [answer(422, {"data": "failed"})], REFUSED, "bank_refused"),
    Row("503 without a word", [BARE_503], REFUSED, "bank_unavailable"),
    Row("failed after unsent tries", [unsent(), unsent(), FAILED], REFUSED, "bank_refused"),
    Row("failed after a 429", [THROTTLE, FAILED], REFUSED, "bank_refused"),
    *(
        Row(f"the word {word}", [answer(200, {"data": word})], REFUSED, "bank_refused")
        for word in ("failed", "failure", "declined", "rejected")
    ),
    *(
        Row(
            f"reason from {name}",
            [answer(200, {"data": "failed", name: "no_funds"})],
            REFUSED,
            "no_funds",
        )
        for name in ("reason", "code", "message")
    ),
    Row(
        "a reason that is no text",
        [answer(200, {"data": "failed", "reason": {"a": 1}, "code": " \x00\ud800 "})],
        REFUSED,
        "bank_refused",
    ),
    Row(
        "failed for another key",
        [answer(200, {"data": "failed", "idempotency_key": "other"})],
        IN_DOUBT,
        "echo_mismatch",
        may_have_arrived=True,
        alarm="echo_mismatch",
    ),
    # the same, not clean
    Row("failed, not clean", [FAILED], IN_DOUBT, "refused_while_in_doubt", given=UNCLEAN),
    Row("503, not clean", [BARE_503], IN_DOUBT, "refused_while_in_doubt", given=UNCLEAN),
    Row(
        "failed after a lost try",
        [lost(), FAILED],
        IN_DOUBT,
        "refused_while_in_doubt",
        may_have_arrived=True,
    ),
    Row(
        "failed, not clean, nobody to ask, full idempotency",
        [FAILED],
        REFUSED,
        "bank_refused",
        given=UNCLEAN | NO_INQUIRY,
    ),
    Row(
        "failed after a lost try, nobody to ask, full idempotency",
        [lost(), FAILED],
        REFUSED,
        "bank_refused",
        may_have_arrived=True,
        given=NO_INQUIRY,
    ),
    Row(
        "503 saying failed, not clean, nobody to ask, full idempotency",
        [answer(503, {"data": "failed", "status": 503})],
        REFUSED,
        "bank_refused",
        given=UNCLEAN | NO_INQUIRY,
    ),
    Row(
        "503 without a word, not clean, nobody to ask: a proxy keeps no promise of the bank",
        [BARE_503],
        IN_DOUBT,
        "refused_while_in_doubt",
        given=UNCLEAN | NO_INQUIRY,
    ),
    Row(
        "failed, not clean, nobody to ask, only successes stick",
        [FAILED],
        IN_DOUBT,
        "refused_while_in_doubt",
        given=UNCLEAN | NO_INQUIRY | SUCCESS_ONLY,
    ),
    # not resolved, refused, connect timeout
    *(
        Row(detail, [unsent(detail)] * 3, REFUSED, "network_error", health=UNREACHABLE)
        for detail in ("name_not_resolved", "connection_refused", "connect_timeout")
    ),
    Row(
        "unsent, not clean",
        [unsent()] * 3,
        IN_DOUBT,
        "network_error",
        health=UNREACHABLE,
        given=UNCLEAN,
    ),
    Row(
        "unsent after a lost try",
        [lost("reset"), unsent(), unsent()],
        IN_DOUBT,
        "reset",
        health=UNREACHABLE,
        may_have_arrived=True,
    ),
    Row("unsent after a 429", [THROTTLE, unsent()], HANDED_BACK, "throttled", health=UNREACHABLE),
    # read timeout, deadline, reset, truncated, unreadable, 3xx, 408, 425, 500, 502, 504
    *(
        Row(detail, [lost(detail)] * 3, IN_DOUBT, detail, health=UNREACHABLE, may_have_arrived=True)
        for detail in ("read_timeout", "deadline", "reset", "truncated", "body_too_large")
    ),
    *(
        Row(
            f"HTTP {status}",
            [answer(status)] * 3,
            IN_DOUBT,
            f"http_{status}",
            health=UNREACHABLE,
            may_have_arrived=True,
        )
        for status in (408, 425, 500, 501, 502, 504, 599, 100, 103, 700)
    ),
    *(
        Row(
            f"HTTP {status}",
            [answer(status, {"data": "failed"})],
            IN_DOUBT,
            f"http_{status}",
            health=UNREACHABLE,
            may_have_arrived=True,
        )
        for status in (408, 425, 500, 502, 504)
    ),
    *(
        Row(
            f"HTTP {status} is not followed and not believed",
            [answer(status, {"data": word})],
            IN_DOUBT,
            reason,
            health=UNREACHABLE,
            may_have_arrived=True,
            alarm=alarm,
        )
        for status in (301, 302, 303, 307, 308, 304)
        for word, reason, alarm in [
            ("failed", "redirected", "redirected"),
            ("success", "contradictory_answer", None),
        ]
    ),
    *(
        Row(
            f"200 with {name}",
            [answer(200, body)],
            IN_DOUBT,
            "unreadable_answer",
            health=UNREACHABLE,
            may_have_arrived=True,
        )
        for name, body in [
            ("nothing", b""),
            ("HTML", b"<html>success</html>"),
            ("a cut body", b'{"data": "success", "sta'),
            ("a text", b'"success"'),
            ("a list", b'[{"data": "success"}]'),
            ("null", b"null"),
            ("no word", b"{}"),
            ("an unknown word", b'{"data": "fine"}'),
            ("another case", b'{"data": "SUCCESS"}'),
            ("a blank", b'{"data": "success "}'),
            ("a word in a list", b'{"data": ["success"]}'),
            ("True", b'{"data": true}'),
            ("two words", b'{"data": "failed", "data": "success"}'),
            ("NaN", b'{"data": "success", "amount": NaN}'),
            ("invalid UTF-8", b'{"data": "success", "x": "\xff"}'),
            ("a byte order mark", b'\xef\xbb\xbf{"data": "success"}'),
            ("UTF-16", '{"data": "success"}'.encode("utf-16")),
            ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00"),
            ("deep nesting", b'{"data": ' + b"[" * 60_000),
            ("a huge number", b'{"data": "success", "amount": ' + b"9" * 5_000 + b"}"),
            ("success and status 503", b'{"data": "success", "status": 503}'),
            ("success and status '503'", b'{"data": "success", "status": "503"}'),
            ("success and status failed", b'{"data": "success", "status": "failed"}'),
            ("success and status true", b'{"data": "success", "status": true}'),
            ("success and a status list", b'{"data": "success", "status": [200]}'),
            ("failed and status paid", b'{"data": "failed", "status": "paid"}'),
            ("failed and status pending", b'{"data": "failed", "status": "pending"}'),
        ]
    ),
    Row(
        "unclear, nobody to ask",
        [lost()] * 3,
        IN_DOUBT,
        "read_timeout",
        health=UNREACHABLE,
        may_have_arrived=True,
        given=NO_INQUIRY,
    ),
    # 429
    Row("429", [THROTTLE] * 3, HANDED_BACK, "throttled", health=THROTTLED),
    Row(
        "429, not clean", [THROTTLE] * 3, HANDED_BACK, "throttled", health=THROTTLED, given=UNCLEAN
    ),
    Row("429 after unsent", [unsent(), THROTTLE], HANDED_BACK, "throttled", health=THROTTLED),
    Row(
        "429 saying failed",
        [answer(429, {"data": "failed"})],
        HANDED_BACK,
        "throttled",
        health=THROTTLED,
    ),
    Row(
        "429 after a lost try",
        [lost(), THROTTLE],
        IN_DOUBT,
        "read_timeout",
        health=THROTTLED,
        may_have_arrived=True,
    ),
    # 401, 403, 404, 405
    *(
        Row(
            f"HTTP {status} {given_name}",
            [answer(status, body)],
            HANDED_BACK,
            "misconfigured",
            health=MISCONFIGURED,
            alarm="misconfigured",
            given=given_kwargs,
        )
        for status in (401, 403, 404, 405)
        for body in (b"", {"data": "failed"}, {"data": "not_found"})
        for given_name, given_kwargs in [("clean", {}), ("not clean", UNCLEAN)]
    ),
    Row(
        "401 after a lost try",
        [lost(), answer(401)],
        IN_DOUBT,
        "read_timeout",
        health=MISCONFIGURED,
        may_have_arrived=True,
        alarm="misconfigured",
    ),
    # 409 and 422 for another body
    Row("409", [answer(409)], IN_DOUBT, "conflict", may_have_arrived=True),
    Row(
        "409 failed", [answer(409, {"data": "failed"})], IN_DOUBT, "conflict", may_have_arrived=True
    ),
    Row(
        "409 processing",
        [answer(409, {"data": "processing"})],
        IN_DOUBT,
        "conflict",
        may_have_arrived=True,
    ),
    *(
        Row(
            f"{status} with {name} {text}",
            [answer(status, {"data": "failed", name: text})],
            IN_DOUBT,
            "key_reused",
            may_have_arrived=True,
            alarm="key_reused",
        )
        for status in (409, 422)
        for name, text in [
            ("code", "idempotency_key_reused"),
            ("reason", "payload mismatch"),
            ("message", "Key used with a different request"),
            ("data", "key_reuse"),
        ]
    ),
    # other 4xx
    *(
        Row(f"HTTP {status}", [answer(status)], IN_DOUBT, f"http_{status}", may_have_arrived=True)
        for status in (400, 402, 407, 410, 413, 415, 418, 422, 451, 499)
    ),
    *(
        Row(
            f"HTTP {status} with {word}",
            [answer(status, {"data": word})],
            IN_DOUBT,
            "contradictory_answer",
            health=health,
            may_have_arrived=True,
        )
        for word in ("success", "pending")
        for status, health in [
            (400, ANSWERED),
            (401, ANSWERED),
            (404, ANSWERED),
            (503, ANSWERED),
            (429, UNREACHABLE),
            (500, UNREACHABLE),
        ]
    ),
    # pending
    Row("pending", [PENDING], IN_DOUBT, "pending_at_bank", may_have_arrived=True),
    Row(
        "processing",
        [answer(200, {"data": "processing", "status": 200})],
        IN_DOUBT,
        "pending_at_bank",
        may_have_arrived=True,
    ),
    # told to stop
    Row("stopped before the first try", [], HANDED_BACK, "unsent", health=BankHealth.UNTRIED),
    Row(
        "stopped after unsent", [unsent()], HANDED_BACK, "unsent", health=UNREACHABLE, given=STOPPED
    ),
    Row(
        "stopped after unsent, not clean",
        [unsent()],
        HANDED_BACK,
        "unsent",
        health=UNREACHABLE,
        given=STOPPED | UNCLEAN,
    ),
    Row("stopped after 429", [THROTTLE], HANDED_BACK, "throttled", health=THROTTLED, given=STOPPED),
    Row(
        "stopped after a lost try",
        [lost()],
        IN_DOUBT,
        "read_timeout",
        health=UNREACHABLE,
        may_have_arrived=True,
        given=STOPPED,
    ),
    # a bank that ignores keys
    Row(
        "never sent again to a bank that ignores keys",
        [],
        IN_DOUBT,
        "resend_forbidden",
        health=BankHealth.UNTRIED,
        given=UNCLEAN | {"idempotency": Idempotency.NONE},
    ),
]


def judge(tries: list[Observation], **given_kwargs: Any) -> Outcome:
    defaults: dict[str, Any] = {
        "transfer": TRANSFER,
        "maybe_sent": False,
        "idempotency": Idempotency.FULL,
        "inquiry_configured": True,
    }
    return judge_transfer(tries, **{**defaults, **given_kwargs})


class TransferVerdictTests(SimpleTestCase):
    def test_it_follows_the_table(self) -> None:
        for row in TABLE:
            with self.subTest(row.name):
                outcome = judge(row.tries, **row.given)
                self.assertEqual(
                    (outcome.verdict, outcome.reason, outcome.health),
                    (row.verdict, row.reason, row.health),
                )
                self.assertEqual(outcome.may_have_arrived, row.may_have_arrived)
                self.assertEqual(outcome.alarm, row.alarm)
                self.assertIs(outcome.proof, CallKind.TRANSFER)
                self.assertEqual(len(outcome.records), len(row.tries))

    def test_it_keeps_the_banks_own_reference_and_no_other(self) -> None:
        for given_reference, kept in [
            ("R1", "R1"),
            (42, "42"),
            (" R\x00\ud8001\n", "R 1"),
            ("x" * 300, "x" * 255),
            (KEY, None),
            ("", None),
            (" \x00", None),
            (True, None),
            (None, None),
            (["R1"], None),
        ]:
            with self.subTest(repr(given_reference)):
                self.assertEqual(judge([success(reference=given_reference)]).reference, kept)
        self.assertIsNone(judge([answer(200, {"data": "success"})]).reference)

    def test_it_cleans_the_reason(self) -> None:
        outcome = judge([answer(200, {"data": "failed", "reason": "no\x00 \ud83d\n" + "x" * 300})])
        self.assertEqual(outcome.reason, ("no " + "x" * 300)[:200])

    def test_it_records_every_try_in_a_word(self) -> None:
        tries = [unsent(), lost("reset"), answer(500, b"x", digest="d1"), THROTTLE, SUCCESS]
        records = judge(tries).records
        self.assertEqual(
            [(record.verdict, record.http_status, record.reference) for record in records],
            [
                ("connection_refused", None, None),
                ("reset", None, None),
                ("http_500", 500, None),
                ("throttled", 429, None),
                ("paid", 200, "R1"),
            ],
        )
        self.assertEqual(records[2].digest, "d1")
        self.assertEqual((records[0].started, records[0].duration_ms), (1.0, 250))

    def test_it_passes_on_the_pause_the_bank_asked_for_last(self) -> None:
        self.assertEqual(judge([THROTTLE]).retry_after, 7.0)
        self.assertIsNone(judge([THROTTLE, SUCCESS]).retry_after)

    def test_it_keeps_an_earlier_alarm(self) -> None:
        self.assertEqual(judge([answer(302), lost()]).alarm, "redirected")


class RetryTests(SimpleTestCase):
    retried = [unsent(), lost(), answer(200, b""), THROTTLE] + [
        answer(status) for status in (301, 302, 408, 425, 500, 501, 502, 504)
    ]
    final = [SUCCESS, FAILED, BARE_503, PENDING, success(amount=1)] + [
        answer(status) for status in (400, 401, 403, 404, 405, 409, 422)
    ]

    def test_it_tries_again_what_is_not_settled(self) -> None:
        for observation in self.retried:
            with self.subTest(str(observation)):
                finding = classify(observation, TRANSFER)
                self.assertTrue(may_retry(finding, 1, Idempotency.FULL))
                self.assertTrue(may_retry(finding, 1, Idempotency.SUCCESS_ONLY))
                self.assertFalse(may_retry(finding, 0, Idempotency.FULL))

    def test_it_leaves_alone_what_is_settled(self) -> None:
        for observation in self.final:
            with self.subTest(str(observation)):
                self.assertFalse(may_retry(classify(observation, TRANSFER), 9, Idempotency.FULL))

    def test_it_sends_nothing_twice_to_a_bank_that_ignores_keys(self) -> None:
        for observation in self.retried:
            finding = classify(observation, TRANSFER)
            with self.subTest(str(observation)):
                self.assertNotEqual(
                    may_retry(finding, 9, Idempotency.NONE), finding.may_have_arrived
                )
        self.assertFalse(may_send_again(maybe_sent=True, idempotency=Idempotency.NONE))
        self.assertTrue(may_send_again(maybe_sent=True, idempotency=Idempotency.SUCCESS_ONLY))
        self.assertTrue(may_send_again(maybe_sent=False, idempotency=Idempotency.NONE))


NOT_FOUND = answer(404, {"data": "not_found"}, kind=CallKind.INQUIRY)


class InquiryVerdictTests(SimpleTestCase):
    def ask(
        self,
        observation: Observation,
        since: float | None = 1_000.0,
        idempotency: Idempotency = Idempotency.FULL,
    ) -> Outcome:
        return judge_inquiry(
            observation,
            transfer=TRANSFER,
            idempotency=idempotency,
            seconds_since_last_send=since,
            not_found_grace=60.0,
        )

    def test_it_follows_the_table(self) -> None:
        for status, body, verdict, reason in [
            (200, {"data": "success", "status": 200, "reference": "R1"}, PAID, "paid"),
            (200, {"data": "success", "amount": 7}, IN_DOUBT, "echo_mismatch"),
            (200, {"data": "failed", "status": 503}, REFUSED, "bank_refused"),
            (200, {"data": "failed", "reason": "closed"}, REFUSED, "closed"),
            (503, {"data": "failed", "status": 503}, REFUSED, "bank_refused"),
            (422, {"data": "failed"}, REFUSED, "bank_refused"),
            (200, {"data": "failed", "idempotency_key": "other"}, IN_DOUBT, "echo_mismatch"),
            (200, {"data": "pending"}, IN_DOUBT, "pending_at_bank"),
            (200, {"data": "not_found"}, IN_DOUBT, "unreadable_answer"),
            (200, b"<html>", IN_DOUBT, "unreadable_answer"),
            (503, b"<html>", IN_DOUBT, "http_503"),
            (503, {"data": "success"}, IN_DOUBT, "http_503"),
            (404, {"data": "not_found"}, REFUSED, "network_error"),
            (404, {"data": "not_found", "idempotency_key": "other"}, IN_DOUBT, "http_404"),
            (404, {"data": "success"}, IN_DOUBT, "http_404"),
            (404, {"data": "failed"}, IN_DOUBT, "http_404"),
            (404, {"detail": "no such page"}, IN_DOUBT, "http_404"),
            (404, b"Not Found", IN_DOUBT, "http_404"),
            (410, {"data": "not_found"}, IN_DOUBT, "http_410"),
            (401, {"data": "failed"}, IN_DOUBT, "http_401"),
            (403, b"", IN_DOUBT, "http_403"),
            (405, b"", IN_DOUBT, "http_405"),
            (409, {"data": "failed"}, IN_DOUBT, "http_409"),
            (429, {"data": "failed"}, IN_DOUBT, "throttled"),
            (302, {"data": "success"}, IN_DOUBT, "http_302"),
            (500, {"data": "failed"}, IN_DOUBT, "http_500"),
        ]:
            with self.subTest(f"{status} {body!r}"):
                outcome = self.ask(answer(status, body, kind=CallKind.INQUIRY))
                self.assertEqual((outcome.verdict, outcome.reason), (verdict, reason))
                self.assertIs(outcome.proof, CallKind.INQUIRY)
                self.assertFalse(outcome.may_have_arrived)

    def test_it_stays_when_the_question_got_lost(self) -> None:
        for observation in (unsent(), lost()):
            outcome = self.ask(observation)
            self.assertEqual((outcome.verdict, outcome.health), (IN_DOUBT, UNREACHABLE))

    def test_it_takes_not_found_for_proof_only_when_asked_late_enough(self) -> None:
        for since, verdict in [
            (None, IN_DOUBT),
            (-5.0, IN_DOUBT),
            (0.0, IN_DOUBT),
            (59.999, IN_DOUBT),
            (float("nan"), IN_DOUBT),
            (60.0, REFUSED),
        ]:
            with self.subTest(str(since)):
                self.assertEqual(self.ask(NOT_FOUND, since).verdict, verdict)

    def test_it_takes_a_refusal_that_does_not_stick_for_proof_only_when_asked_late_enough(
        self,
    ) -> None:
        failed = answer(200, {"data": "failed"}, kind=CallKind.INQUIRY)
        for idempotency, since, verdict in [
            (Idempotency.SUCCESS_ONLY, None, IN_DOUBT),
            (Idempotency.SUCCESS_ONLY, 59.999, IN_DOUBT),
            (Idempotency.SUCCESS_ONLY, 60.0, REFUSED),
            (Idempotency.FULL, 0.0, REFUSED),
            # Only one request that may have arrived was ever sent, and this is its answer.
            (Idempotency.NONE, 0.0, REFUSED),
        ]:
            with self.subTest(f"{idempotency} after {since}"):
                self.assertEqual(self.ask(failed, since, idempotency).verdict, verdict)

    def test_it_does_not_open_the_breaker_for_a_wrong_inquiry_path(self) -> None:
        outcome = self.ask(answer(401, b"", kind=CallKind.INQUIRY))
        self.assertEqual(outcome.health, ANSWERED)
        self.assertEqual(outcome.alarm, "inquiry_misconfigured")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=10), children, max_size=3)
    ),
    max_leaves=5,
)
# Mostly the words and values that matter, so that a payment is often near and sometimes there.
near_answers = st.fixed_dictionaries(
    {
        "data": st.sampled_from(["success", "failed", "pending", "not_found", "Success"])
        | json_values
    },
    optional={
        "status": st.sampled_from([200, 503, "200", "ok", True, None]) | json_values,
        "amount": st.sampled_from([100, "100", 100.0, 1, True, None]) | json_values,
        "currency": st.sampled_from(["IRR", "USD", None]) | json_values,
        "idempotency_key": st.sampled_from([KEY, "other", None]) | json_values,
        "reference": st.sampled_from(["R1", KEY]) | json_values,
        "reason": json_values,
        "code": json_values,
    },
)
bodies = (
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | near_answers.map(lambda value: json.dumps(value).encode())
)
observations = st.one_of(
    st.builds(answer, st.integers(100, 999) | st.sampled_from([200, 202, 404, 409, 503]), bodies),
    st.builds(unsent, st.text(max_size=20)),
    st.builds(lost, st.text(max_size=20)),
)


GOOD_STATUS_TEXTS = [*map(str, range(200, 300)), "success", "succeeded", "ok", "paid", "completed"]


def plainly_paid(observation: Observation) -> bool:
    """A second opinion, written without a look at the first."""
    if observation.http_status not in range(200, 300):
        return False
    said = json.loads(observation.body)
    return (
        said["data"] == "success"
        and said.get("status") in (None, 200, *range(200, 300), *GOOD_STATUS_TEXTS)
        and said.get("status") is not True
        and str(said.get("amount", 100)) in ("100", "100.0", "None")
        and said.get("currency") in (None, "IRR")
        and said.get("idempotency_key") in (None, KEY)
    )


class AnyAnswerTests(SimpleTestCase):
    @settings(deadline=None)
    @given(
        st.lists(observations, max_size=3),
        st.booleans(),
        st.sampled_from(Idempotency),
        st.booleans(),
        st.booleans(),
    )
    def test_it_never_raises_and_never_guesses(
        self,
        tries: list[Observation],
        maybe_sent: bool,
        idempotency: Idempotency,
        inquiry_configured: bool,
        cut_short: bool,
    ) -> None:
        outcome = judge(
            tries,
            maybe_sent=maybe_sent,
            idempotency=idempotency,
            inquiry_configured=inquiry_configured,
            cut_short=cut_short,
        )
        if outcome.verdict is PAID:
            self.assertTrue(plainly_paid(tries[-1]))
        sticky = idempotency is Idempotency.FULL and not inquiry_configured
        if outcome.verdict is REFUSED and not sticky:
            self.assertFalse(maybe_sent)
            self.assertFalse(any(classify(try_, TRANSFER).may_have_arrived for try_ in tries))
        if outcome.verdict is HANDED_BACK:
            self.assertFalse(outcome.may_have_arrived)
        for text, length in ((outcome.reason, 200), (outcome.reference or "x", 255)):
            self.assertTrue(text and text.isprintable() and len(text) <= length)
            text.encode()

    @settings(deadline=None)
    @given(bodies, st.sampled_from([200, 404, 409, 503, 302]), st.floats() | st.none())
    def test_it_settles_an_inquiry_only_on_plain_words(
        self, body: bytes, status: int, since: float | None
    ) -> None:
        observation = answer(status, body, kind=CallKind.INQUIRY)
        outcome = judge_inquiry(
            observation,
            transfer=TRANSFER,
            idempotency=Idempotency.FULL,
            seconds_since_last_send=since,
            not_found_grace=60.0,
        )
        if outcome.verdict is PAID:
            self.assertTrue(plainly_paid(observation))
        if outcome.verdict is REFUSED:
            self.assertIn(read_json_object(body)["data"], ("failed", "not_found"))

    @settings(deadline=None)
    @given(st.text(), st.integers(1, 300))
    def test_it_cleans_any_text(self, text: str, length: int) -> None:
        cleaned = clean_text(text, length)
        self.assertTrue(cleaned.isprintable())
        self.assertLessEqual(len(cleaned), length)
        self.assertEqual(cleaned, cleaned.strip())
        cleaned.encode()
