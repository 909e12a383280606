"""The bank's statement against our withdrawals: what is found, settled and left alone."""

import csv
import json
import os
import sqlite3
import tempfile
import uuid
from collections.abc import Sequence
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import SimpleTestCase, TestCase

from wallets.domain.audit import audit
from wallets.domain.outcomes import Verdict
from wallets.domain.reconciliation import reconcile as reconcile_module
from wallets.domain.reconciliation.lines import BadLine, BadStatement, Columns, LineType
from wallets.domain.reconciliation.scratch import Scratch
from wallets.domain.withdrawals.returns import record_return
from wallets.models import MAX_BALANCE, Status, StatusChange, Transaction, Type, Wallet
from wallets.models.clock import database_now
from wallets.tests.money import OTHER_WORKER, finish, lapse, legs, make_due, make_wallet, take

HEADER = "key,reference,amount,currency,paid_at"
PAID_AT = "2026-03-01T12:00:00Z"


class ColumnsTest(SimpleTestCase):
    good = (str(uuid.UUID(int=7)), "B-1", "30", "IRR", PAID_AT)

    def test_reads_a_line_whatever_the_order_of_its_columns(self) -> None:
        columns = Columns(["Amount", " paid_at", "note", "key", "type", "currency", "reference"])
        line = columns.read(
            9, ["30", PAID_AT, "x", "{00000000-0000-0000-0000-00000000000A}", "", "IRR", " B-1 "]
        )
        self.assertEqual((line.number, line.type, line.amount), (9, LineType.PAYMENT, 30))
        self.assertEqual((line.key, line.reference), (str(uuid.UUID(int=10)), "B-1"))

    def test_takes_keys_that_are_not_ours(self) -> None:
        line = Columns(HEADER.split(",")).read(2, ("salary-03", *self.good[1:]))
        self.assertEqual((line.key, line.uuid), ("salary-03", None))

    def test_knows_payments_and_returns(self) -> None:
        columns = Columns([*HEADER.split(","), "type"])
        for word, expected in (("", "payment"), ("Payment", "payment"), ("returned", "return")):
            self.assertEqual(columns.read(2, (*self.good, word)).type, expected)

    def test_says_what_is_wrong_with_a_line(self) -> None:
        columns = Columns([*HEADER.split(","), "type"])
        bad: list[tuple[dict[int, str], str]] = [
            ({0: ""}, "key must"),
            ({0: "k" * 256}, "key must"),
            ({0: "a\udcffb"}, "key must"),
            ({1: ""}, "reference must"),
            ({1: "a\0b"}, "reference must"),
            ({2: "0"}, "amount must"),
            ({2: "-30"}, "amount must"),
            ({2: "30.0"}, "amount must"),
            ({2: "1e3"}, "amount must"),
            ({2: "٣٠"}, "amount must"),
            ({2: str(2**63)}, "amount must"),
            ({3: "irr"}, "currency must"),
            ({4: "2026-03-01T12:00:00"}, "paid_at must"),
            ({4: "yesterday"}, "paid_at must"),
            ({5: "refund"}, "type accepts"),
        ]
        for changes, message in bad:
            fields = [changes.get(n, text) for n, text in enumerate((*self.good, ""))]
            with self.subTest(changes), self.assertRaisesMessage(BadLine, message):
                columns.read(2, fields)
        with self.assertRaisesMessage(BadLine, "6 fields are expected, 5 are there"):
            columns.read(2, self.good)

    def test_says_what_is_wrong_with_the_first_line(self) -> None:
        with self.assertRaisesMessage(BadStatement, "amount, paid_at is not there"):
            Columns(["key", "reference", "currency"])
        with self.assertRaisesMessage(BadStatement, "twice"):
            Columns([*HEADER.split(","), "key"])
        with self.assertRaises(BadStatement):
            Columns([])


class StatementCase(TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "bank.csv"
        self.wallet = make_wallet(1_000)

    def write(self, *lines: Sequence[Any], types: bool = False) -> None:
        with self.path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*HEADER.split(","), *(["type"] if types else [])])
            writer.writerows(lines)

    def line(self, pk: int, **changes: Any) -> list[Any]:
        row = Transaction.objects.get(pk=pk)
        values = {
            "key": str(row.idempotency_key),
            "reference": row.bank_reference or f"B-{pk}",
            "amount": row.amount,
            "currency": "IRR",
            "paid_at": PAID_AT,
        } | changes
        return list(values.values())

    def run_command(self, *arguments: str) -> tuple[int, str]:
        out, code = StringIO(), 0
        try:
            call_command(
                "reconcile_bank_statement", str(self.path), *arguments, "--by", "eva", stdout=out
            )
        except SystemExit as left:
            code = int(left.code or 0)
        return code, out.getvalue()

    def found(self, *arguments: str) -> tuple[int, list[tuple[str, int | None]], dict[str, int]]:
        """Exit code, findings as (kind, line), and the counts."""
        code, text = self.run_command("--json", *arguments)
        *findings, last = (json.loads(line) for line in text.splitlines())
        counts: dict[str, int] = last["summary"]["counts"]
        self.assertEqual(last["summary"]["agreed"], code == 0)
        return code, [(f["kind"], f["line"]) for f in findings], counts

    def scheduled(self, amount: int = 30) -> int:
        [pk] = make_due(self.wallet, amount, ago=timedelta(hours=-1))
        return pk

    def withdrawal(self, verdict: Verdict | None, amount: int = 30, **changes: Any) -> int:
        """Ended as ``verdict`` says; ``None``: still in a worker's hands."""
        [pk] = make_due(self.wallet, amount)
        [claimed] = take(worker=OTHER_WORKER).claimed
        if verdict is Verdict.PAID:
            changes.setdefault("reference", f"B-{pk}")
        if verdict is not None:
            finish(claimed, verdict, worker=OTHER_WORKER, **changes)
        return pk

    def row(self, pk: int) -> Transaction:
        return Transaction.objects.get(pk=pk)


class PaymentsTest(StatementCase):
    def test_agrees_with_what_succeeded(self) -> None:
        self.write(*(self.line(self.withdrawal(Verdict.PAID)) for _ in range(3)))
        self.assertEqual(self.found(), (0, [], {"matched": 3}))

    def test_agrees_with_an_empty_statement(self) -> None:
        self.write()
        self.assertEqual(self.found(), (0, [], {}))

    def test_agrees_where_the_bank_had_given_no_reference(self) -> None:
        pk = self.withdrawal(Verdict.PAID, reference=None)
        self.write(self.line(pk, reference="B-9"))
        self.assertEqual(self.found()[0], 0)

    def test_changes_nothing_unless_told_to(self) -> None:
        pk = self.withdrawal(Verdict.IN_DOUBT)
        self.write(self.line(pk))
        self.assertEqual(self.found(), (1, [("would_settle", 2)], {"would_settle": 1}))
        self.assertEqual(self.row(pk).status, Status.PROCESSING)

    def test_settles_what_was_in_doubt(self) -> None:
        pk = self.withdrawal(Verdict.IN_DOUBT)
        self.write(self.line(pk))
        self.assertEqual(self.found("--apply"), (0, [("settled", 2)], {"settled": 1}))
        row = self.row(pk)
        self.assertEqual((row.status, row.bank_reference), (Status.SUCCEEDED, f"B-{pk}"))
        self.assertEqual(legs(pk)[1:], [("IN_TRANSIT", "BANK", 30)])
        step = StatusChange.objects.filter(transaction=pk).order_by("-id")[0]
        self.assertEqual(
            (step.reason, step.worker), ("paid_by_statement: line 2 of bank.csv", "statement:eva")
        )

    def test_does_nothing_twice(self) -> None:
        pk = self.withdrawal(Verdict.IN_DOUBT)
        self.write(self.line(pk))
        self.found("--apply")
        self.assertEqual(self.found("--apply"), (0, [], {"matched": 1}))

    def test_settles_whatever_is_being_processed(self) -> None:
        in_hand = self.withdrawal(None)
        vanished = self.withdrawal(None)
        lapse(vanished)
        self.write(self.line(in_hand), self.line(vanished))
        self.assertEqual(self.found("--apply")[2], {"settled": 2})

    def test_keeps_books_that_the_audit_finds_right(self) -> None:
        self.write(*(self.line(self.withdrawal(Verdict.IN_DOUBT)) for _ in range(3)))
        self.found("--apply")
        report = audit()
        self.assertTrue(report.right, report.broken)

    def test_names_each_disagreement(self) -> None:
        failed = self.withdrawal(Verdict.REFUSED)
        scheduled = self.scheduled()
        other_amount = self.withdrawal(Verdict.IN_DOUBT)
        other_currency = self.withdrawal(Verdict.PAID)
        other_reference = self.withdrawal(Verdict.PAID)
        self.write(
            self.line(failed),
            self.line(scheduled),
            self.line(other_amount, amount=31),
            self.line(other_currency, currency="EUR"),
            self.line(other_reference, reference="X-1"),
            self.line(failed, key=str(uuid.uuid4()), reference="X-2"),
            self.line(failed, key="salary-03", reference="X-3"),
        )
        before = list(Transaction.objects.order_by("pk").values())
        with self.assertLogs("wallets.reconcile", "ERROR") as logs:
            code, found, _ = self.found("--apply")
        self.assertEqual(code, 1)
        self.assertEqual(
            found,
            [
                ("paid_but_failed", 2),
                ("paid_but_scheduled", 3),
                ("amount_mismatch", 4),
                ("amount_mismatch", 5),
                ("reference_mismatch", 6),
                ("unknown_key", 7),
                ("unknown_key", 8),
            ],
        )
        self.assertEqual(list(Transaction.objects.order_by("pk").values()), before)
        alarms = {vars(r)["alarm"]: vars(r)["transactions"] for r in logs.records}
        self.assertEqual(
            alarms,
            {
                "amount_mismatch": [other_amount, other_currency],
                "paid_but_failed": [failed],
                "paid_but_scheduled": [scheduled],
                "reference_mismatch": [other_reference],
            },
        )

    def test_does_not_count_a_line_twice(self) -> None:
        pk = self.withdrawal(Verdict.IN_DOUBT)
        self.write(self.line(pk), self.line(pk, key=str(self.row(pk).idempotency_key).upper()))
        code, found, _ = self.found("--apply")
        self.assertEqual((code, found), (1, [("settled", 2), ("duplicate", 3)]))

    def test_settles_nothing_by_lines_that_contradict_each_other(self) -> None:
        pk = self.withdrawal(Verdict.IN_DOUBT)
        self.write(self.line(pk), self.line(pk, reference="X-1"))
        code, found, _ = self.found("--apply")
        self.assertEqual(found, [("contradictory_lines", 2), ("contradictory_lines", 3)])
        self.assertEqual((code, self.row(pk).status), (1, Status.PROCESSING))

    def test_settles_nothing_under_a_reference_of_another_payment(self) -> None:
        paid = self.withdrawal(Verdict.PAID)
        pk, one, two = (self.withdrawal(Verdict.IN_DOUBT) for _ in range(3))
        self.write(
            self.line(pk, reference=f"B-{paid}"),
            self.line(one, reference="X-1"),
            self.line(two, reference="X-1"),
        )
        _, found, _ = self.found("--apply")
        self.assertEqual([kind for kind, _ in found], ["reference_reused"] * 3)
        self.assertEqual(Transaction.objects.filter(status=Status.PROCESSING).count(), 3)

    def test_finds_under_lock_what_ended_since_it_looked(self) -> None:
        pk = self.withdrawal(Verdict.IN_DOUBT)
        self.write(self.line(pk))
        looked = reconcile_module._look_at_payments

        def refund_in_between(page: Any, *, lock: bool) -> Any:
            if lock:
                lapse(pk)
                [claimed] = take().claimed
                finish(claimed, Verdict.REFUSED)
            return looked(page, lock=lock)

        with mock.patch.object(
            reconcile_module, "_look_at_payments", side_effect=refund_in_between
        ):
            self.assertEqual(self.found("--apply")[1], [("paid_but_failed", 2)])
        self.assertEqual(self.row(pk).status, Status.FAILED)

    def test_takes_statements_of_many_pages(self) -> None:
        pks = [self.withdrawal(Verdict.IN_DOUBT, 1) for _ in range(11)]
        lines = [self.line(pk) for pk in pks]
        self.write(*lines, lines[0], lines[10])
        with mock.patch.object(reconcile_module, "_PAGE", 3):
            code, _, counts = self.found("--apply")
        self.assertEqual((code, counts), (1, {"settled": 11, "duplicate": 2}))


class AbsentTest(StatementCase):
    def window(self, since: timedelta, until: timedelta) -> list[str]:
        now = database_now()
        return [
            "--since",
            (now + since).isoformat(),
            "--until",
            (now + until).isoformat(),
        ]

    def test_names_what_succeeded_here_and_is_not_there(self) -> None:
        there, missing = self.withdrawal(Verdict.PAID), self.withdrawal(Verdict.PAID)
        self.withdrawal(Verdict.REFUSED)
        self.withdrawal(Verdict.IN_DOUBT)
        self.write(self.line(there))
        hour = timedelta(hours=1)
        code, text = self.run_command("--json", *self.window(-hour, hour))
        finding = json.loads(text.splitlines()[0])
        self.assertEqual(code, 1)
        self.assertEqual(
            (finding["kind"], finding["withdrawal_id"], finding["line"]),
            ("succeeded_but_absent", missing, None),
        )
        self.assertEqual(json.loads(text.splitlines()[-1])["summary"]["counts"]["matched"], 1)

    def test_looks_only_at_what_was_sent_and_settled_within_the_window(self) -> None:
        self.withdrawal(Verdict.PAID)
        self.write()
        hour, day = timedelta(hours=1), timedelta(days=1)
        for since, until in ((-day, -hour), (hour, day)):
            self.assertEqual(self.found(*self.window(since, until))[0], 0)

    def test_leaves_alone_what_was_sent_before_the_window(self) -> None:
        [pk] = make_due(self.wallet, 30)
        [claimed] = take().claimed
        Transaction.objects.filter(pk=pk).update(first_sent_at=database_now() - timedelta(days=1))
        finish(claimed, Verdict.PAID)
        self.write()
        hour = timedelta(hours=1)
        self.assertEqual(self.found(*self.window(-hour, hour))[0], 0)

    def test_says_when_it_did_not_look(self) -> None:
        self.withdrawal(Verdict.PAID)
        self.write()
        code, text = self.run_command()
        self.assertEqual(code, 0)
        self.assertIn("What is missing was not looked for", text)

    def test_walks_over_all_ids(self) -> None:
        for _ in range(5):
            self.withdrawal(Verdict.PAID)
        self.write()
        hour = timedelta(hours=1)
        with (
            mock.patch.object(reconcile_module, "_STRIDE", 2),
            mock.patch.object(reconcile_module, "_PAGE", 1),
        ):
            _, _, counts = self.found(*self.window(-hour, hour))
        self.assertEqual(counts, {"succeeded_but_absent": 5})


class ReturnsTest(StatementCase):
    def back(self, pk: int, reference: str = "R-1", **changes: Any) -> list[Any]:
        return [*self.line(pk, reference=reference, **changes), "return"]

    def paid_line(self, pk: int) -> list[Any]:
        return [*self.line(pk), "payment"]

    def balance(self) -> int:
        return Wallet.objects.get(pk=self.wallet).balance

    def test_credits_what_came_back(self) -> None:
        pk = self.withdrawal(Verdict.PAID)
        self.write(self.paid_line(pk), self.back(pk), types=True)
        self.assertEqual(self.found()[1], [("would_return", 3)])
        self.assertEqual(self.balance(), 970)
        self.assertEqual(self.found("--apply"), (0, [("returned", 3)], self.counts("returned")))
        self.assertEqual(self.balance(), 1_000)
        credit = Transaction.objects.get(type=Type.RETURN)
        step = StatusChange.objects.get(transaction=credit)
        self.assertEqual(
            (step.reason, step.worker),
            ("returned_by_statement: line 3 of bank.csv", "statement:eva"),
        )
        self.assertEqual(self.found("--apply")[2], self.counts("return_matched"))

    def counts(self, kind: str) -> dict[str, int]:
        return {"matched": 1, kind: 1}

    def test_settles_first_what_was_in_doubt_and_came_back(self) -> None:
        pk = self.withdrawal(Verdict.IN_DOUBT)
        self.write(self.back(pk), self.paid_line(pk), types=True)
        self.assertEqual(self.found()[1], [("would_settle", 3), ("would_return", 2)])
        self.assertEqual(self.found("--apply")[1], [("settled", 3), ("returned", 2)])
        self.assertEqual((self.row(pk).status, self.balance()), (Status.SUCCEEDED, 1_000))

    def test_names_each_return_that_does_not_fit(self) -> None:
        failed = self.withdrawal(Verdict.REFUSED)
        doubtful = self.withdrawal(Verdict.IN_DOUBT)
        other_amount = self.withdrawal(Verdict.PAID)
        returned = self.withdrawal(Verdict.PAID)
        self.write(self.back(returned, "R-0"), types=True)
        self.found("--apply")
        balance = self.balance()
        self.write(
            self.back(failed, "R-1"),
            self.back(doubtful, "R-2"),
            self.back(other_amount, "R-3", amount=29),
            self.back(returned, "R-4"),
            self.back(returned, "R-5", key=str(uuid.uuid4())),
            types=True,
        )
        self.assertEqual(
            [kind for kind, _ in self.found("--apply")[1]],
            [
                "returned_but_not_paid",
                "returned_but_not_paid",
                "amount_mismatch",
                "reference_mismatch",
                "unknown_key",
            ],
        )
        self.assertEqual(self.balance(), balance)

    def test_credits_nobody_else_under_a_reference_that_was_used(self) -> None:
        wrong, right = self.withdrawal(Verdict.PAID), self.withdrawal(Verdict.PAID)
        record_return(withdrawal_id=wrong, reference="R-1", reason="mistyped", by="eva")
        self.write(self.back(right), types=True)
        for arguments in ((), ("--apply",)):
            code, found, _ = self.found(*arguments)
            self.assertEqual((code, found), (1, [("reference_reused", 2)]))
        self.assertEqual(self.balance(), 970)

    def test_goes_on_after_a_return_that_no_wallet_can_hold(self) -> None:
        full, fine = self.withdrawal(Verdict.PAID), self.withdrawal(Verdict.PAID, 20)
        Wallet.objects.filter(pk=self.wallet).update(balance=MAX_BALANCE - 25)
        self.write(self.back(full), self.back(fine, "R-2"), types=True)
        code, found, _ = self.found("--apply")
        self.assertEqual((code, found), (1, [("return_refused", 2), ("returned", 3)]))


class StatementFileTest(StatementCase):
    def refused(self, text: str | bytes, *arguments: str) -> str:
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        with self.assertRaises(CommandError) as refused:
            self.run_command("--apply", *arguments)
        self.assertEqual(refused.exception.returncode, 2)
        return str(refused.exception)

    def test_names_every_bad_line_and_changes_nothing(self) -> None:
        pk = self.withdrawal(Verdict.IN_DOUBT)
        good = ",".join(map(str, self.line(pk)))
        text = f"{HEADER}\n{good}\n{good[:-5]}\n\n{good},x\n{good.replace('IRR', 'irr')}\n"
        said = self.refused(text)
        self.assertIn("line 3: paid_at", said)
        self.assertIn("line 5: 5 fields are expected, 6 are there", said)
        self.assertIn("line 6: currency", said)
        self.assertNotIn("line 2", said)
        self.assertEqual(self.row(pk).status, Status.PROCESSING)

    def test_names_the_first_bad_lines_of_many(self) -> None:
        said = self.refused(f"{HEADER}\n" + "nonsense\n" * 30)
        self.assertIn("line 21:", said)
        self.assertNotIn("line 22:", said)
        self.assertIn("and 10 more", said)

    def test_names_a_line_that_is_not_utf_8(self) -> None:
        pk = self.withdrawal(Verdict.PAID)
        good = ",".join(map(str, self.line(pk))).encode()
        said = self.refused(
            HEADER.encode() + b"\n" + good + b"\n" + good.replace(b"B-", b"\xff") + b"\n"
        )
        self.assertIn("line 3: reference", said)

    def test_refuses_what_is_not_such_a_file(self) -> None:
        for text in ("", "\n", "<html>", "key;reference;amount;currency;paid_at", "\0\0"):
            with self.subTest(text):
                self.assertIn("first line must name", self.refused(text))
        self.assertIn("is not CSV", self.refused(f'{HEADER}\n"a" b,c\n'))
        self.path.unlink()
        with self.assertRaisesMessage(CommandError, "No such file"):
            self.run_command()

    def test_takes_what_a_spreadsheet_saved(self) -> None:
        pk = self.withdrawal(Verdict.PAID)
        quoted = ",".join(f'"{value}"' for value in self.line(pk))
        self.path.write_bytes(b"\xef\xbb\xbf" + f"{HEADER.upper()}\r\n{quoted}\r\n\r\n".encode())
        self.assertEqual(self.found()[0], 0)

    def test_takes_a_file_whatever_bytes_its_name_has(self) -> None:
        pk = self.withdrawal(Verdict.IN_DOUBT)
        self.path = self.path.with_name(os.fsdecode(b"bank\xff.csv"))
        self.write(self.line(pk))
        self.assertEqual(self.found("--apply")[0], 0)
        step = StatusChange.objects.filter(transaction=pk).order_by("-id")[0]
        self.assertEqual(step.reason, "paid_by_statement: line 2 of bank .csv")

    def test_refuses_options_that_do_not_fit(self) -> None:
        self.write()
        for options in (
            ["--since", "yesterday"],
            ["--since", "2026-03-02", "--until", "2026-03-01"],
            # No such moment in UTC.
            ["--since", "0001-01-01T00:00:00+03:30"],
            ["--until", "9999-12-31T23:59:59-03:30"],
            ["--limit", "-1"],
        ):
            with self.subTest(options), self.assertRaises(CommandError) as refused:
                self.run_command(*options)
            self.assertEqual(refused.exception.returncode, 2)

    def test_says_so_when_the_database_goes_away(self) -> None:
        self.write(self.line(self.withdrawal(Verdict.PAID)))
        with (
            mock.patch.object(reconcile_module, "_ours", side_effect=OperationalError("gone")),
            self.assertRaisesMessage(CommandError, "run it again for the rest"),
        ):
            self.run_command()

    def test_says_so_when_its_temporary_file_has_no_room(self) -> None:
        self.write(self.line(self.withdrawal(Verdict.PAID)))
        full = sqlite3.OperationalError("database or disk is full")
        with (
            mock.patch.object(Scratch, "put", side_effect=full),
            self.assertRaisesMessage(CommandError, "disk is full") as refused,
        ):
            self.run_command("--apply")
        self.assertEqual(refused.exception.returncode, 2)

    def test_names_a_limited_number_of_findings_and_counts_all(self) -> None:
        self.write(*(self.line(self.withdrawal(Verdict.REFUSED)) for _ in range(5)))
        code, found, counts = self.found("--limit", "2")
        self.assertEqual((code, len(found), counts), (1, 2, {"paid_but_failed": 5}))

    def test_reads_well(self) -> None:
        pk = self.withdrawal(Verdict.REFUSED)
        self.write(self.line(pk))
        _, text = self.run_command()
        key = self.row(pk).idempotency_key
        self.assertEqual(
            text.splitlines()[0],
            f"paid_but_failed: line=2 withdrawal={pk} key={key} amount=30 IRR reference=B-{pk}",
        )
        self.assertTrue(text.rstrip().endswith("verdict: NOT ALL AGREES"))
