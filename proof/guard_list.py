"""Every guard that keeps money safe, how it is taken away, and the tests that then go red."""

from dataclasses import dataclass

POSTGRES, SQLITE = "PostgreSQL", "SQLite"

_SETTLE = "wallets/domain/withdrawals/settle.py"
_CLAIM = "wallets/domain/withdrawals/claim.py"
_LIFECYCLE = "wallets/domain/withdrawals/lifecycle.py"
_FOLLOWUP = "wallets/domain/withdrawals/followup.py"
_OUTCOMES = "wallets/domain/outcomes.py"
_GATE = "wallets/domain/gate.py"
_LEDGER = "wallets/domain/ledger.py"
_ON_POSTGRES = "wallets/domain/statements/postgres.py"
_PORTABLE = "wallets/domain/statements/portable.py"
_HTTP = "wallets/integrations/http.py"
_CALLERS = "wallets/tasks/callers.py"

_FENCES = "wallets/tests/test_fences.py::"
_STALE, _LOCKS = _FENCES + "StaleWriteTest::", _FENCES + "LockTest::"
_SETTLES = "wallets/tests/test_settle.py::SettleTest::"
_RECLAIMS = "wallets/tests/test_claim.py::ReclaimTest::"
_VERDICTS = "wallets/tests/test_outcomes.py::"
_APPEND_ONLY = "wallets/tests/test_append_only.py::"


@dataclass(frozen=True, slots=True)
class Edit:
    """``old`` stands exactly once in the file."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Guard:
    """``tests``: all of them go red without the guard. ``databases``: where they can be run."""

    name: str
    keeps: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    databases: tuple[str, ...] = (POSTGRES, SQLITE)
    # A test of every change tries this one, too.
    often: bool = False


GUARDS = (
    Guard(
        "epoch in the settle",
        "an answer counts only at the epoch at which the row was claimed",
        (Edit(_SETTLE, " or row.epoch != result.epoch", ""),),
        (_SETTLES + "test_drops_a_refusal_at_an_old_epoch_of_the_same_worker",),
        often=True,
    ),
    Guard(
        "lease_owner in the settle",
        "an answer counts only from the worker that holds the row",
        (Edit(_SETTLE, " or row.lease_owner != worker", ""),),
        (_STALE + "test_drops_a_refusal_from_a_worker_that_the_database_forgot",),
    ),
    Guard(
        "PAID only on PROCESSING",
        "a payment never turns a failed row over without a word",
        (
            Edit(
                _SETTLE,
                "    if row.status == Status.PROCESSING:\n        settled.succeeded += 1",
                "    if row.status:\n        settled.succeeded += 1",
            ),
        ),
        (_SETTLES + "test_raises_an_alarm_when_a_failed_row_turns_out_paid",),
    ),
    Guard(
        "maybe_sent in the verdict",
        "a refusal of what may have been sent before is no proof",
        (Edit(_OUTCOMES, "clean = not maybe_sent and not open_tries", "clean = not open_tries"),),
        (_VERDICTS + "TransferVerdictTests::test_it_follows_the_table",),
        (SQLITE,),
        often=True,
    ),
    Guard(
        "maybe_sent in the verdict of what could not be sent",
        "a connection refused says nothing of what was sent before",
        (
            Edit(
                _OUTCOMES,
                "    if maybe_sent:\n        return Verdict.IN_DOUBT, findings[-1].reason\n",
                "",
            ),
        ),
        (_VERDICTS + "TransferVerdictTests::test_it_follows_the_table",),
        (SQLITE,),
    ),
    Guard(
        "open tries in the verdict",
        "a refusal of the second try says nothing of the first",
        (Edit(_OUTCOMES, "clean = not maybe_sent and not open_tries", "clean = not maybe_sent"),),
        (_VERDICTS + "TransferVerdictTests::test_it_follows_the_table",),
        (SQLITE,),
    ),
    Guard(
        "maybe_sent on taking over",
        "what a vanished worker held may have been sent",
        (Edit(_LIFECYCLE, "maybe_sent=row.maybe_sent or vanished,", "maybe_sent=row.maybe_sent,"),),
        (
            _RECLAIMS
            + "test_replays_a_vanished_workers_row_with_the_same_key_and_marks_it_maybe_sent",
        ),
        often=True,
    ),
    Guard(
        "last_sent_at on taking over",
        "the grace counts from the last moment at which a vanished worker may have sent",
        (
            Edit(
                _LIFECYCLE,
                "        first_sent_at=row.first_sent_at or now,\n"
                "        last_sent_at=now if vanished else row.last_sent_at,",
                "        first_sent_at=row.first_sent_at or now,\n"
                "        last_sent_at=row.last_sent_at,",
            ),
        ),
        (
            "wallets/tests/test_followup.py::InquiryTest::"
            "test_counts_the_grace_from_the_last_send_of_whoever_vanished",
        ),
    ),
    Guard(
        "key reuse",
        "a replay carries the key of the first send",
        (
            Edit(
                _CLAIM,
                "idempotency_key=str(row.idempotency_key),",
                "idempotency_key=str(uuid.uuid4()),",
            ),
        ),
        (
            _RECLAIMS
            + "test_replays_a_vanished_workers_row_with_the_same_key_and_marks_it_maybe_sent",
        ),
    ),
    Guard(
        "grace of not found",
        "'not found' counts only long after the last send",
        (
            Edit(
                _OUTCOMES,
                "finding.meaning is Meaning.NOT_FOUND and late",
                "finding.meaning is Meaning.NOT_FOUND",
            ),
        ),
        (
            _VERDICTS
            + "InquiryVerdictTests::test_it_takes_not_found_for_proof_only_when_asked_late_enough",
        ),
        (SQLITE,),
        often=True,
    ),
    Guard(
        "grace of a refusal that does not stick",
        "'failed' of a bank that forgets refusals counts only long after the last send",
        (
            Edit(
                _OUTCOMES, "if late or idempotency is not Idempotency.SUCCESS_ONLY:", "if finding:"
            ),
        ),
        (
            _VERDICTS + "InquiryVerdictTests::test_it_takes_a_refusal_that_does_not_stick_for_"
            "proof_only_when_asked_late_enough",
        ),
        (SQLITE,),
    ),
    Guard(
        "not found of a forgotten key",
        "'not found' counts only while the bank still knows the key",
        (
            Edit(
                _CALLERS,
                "claimed.seconds_since_last_send if self._key_is_kept(item) else None",
                "claimed.seconds_since_last_send",
            ),
        ),
        (
            "wallets/tests/test_forgotten_keys.py::ForgottenKeyTest::"
            "test_takes_not_found_for_no_proof_once_the_key_may_be_forgotten",
        ),
        (SQLITE,),
    ),
    Guard(
        "key retention",
        "nothing is sent again once the bank may have forgotten the key",
        (
            Edit(
                _FOLLOWUP,
                ", policy=policy) > policy.lease",
                ", policy=policy) > -policy.lease * 99",
            ),
        ),
        (_RECLAIMS + "test_does_not_replay_a_key_the_bank_may_have_forgotten",),
    ),
    Guard(
        "no replay to a bank that ignores keys",
        "what may have been sent is asked about and not sent again",
        (Edit(_FOLLOWUP, "policy.idempotency != Idempotency.NONE and ", ""),),
        (_RECLAIMS + "test_never_sends_again_to_a_bank_that_ignores_keys",),
    ),
    Guard(
        "no retry at a bank that ignores keys",
        "a try that may have arrived is the last one",
        (
            Edit(
                _OUTCOMES,
                "return not (finding.may_have_arrived and idempotency is Idempotency.NONE)",
                "return True",
            ),
        ),
        (
            _VERDICTS + "RetryTests::test_it_sends_nothing_twice_to_a_bank_that_ignores_keys",
            "wallets/tests/test_bank_gateway.py::RetryTests::"
            "test_it_sends_once_to_a_bank_that_ignores_keys",
        ),
        (SQLITE,),
    ),
    Guard(
        "lease deadline before each send",
        "nothing is sent once the lease has ended by our own clock",
        (Edit(_CALLERS, "if end > item.deadline or not self", "if not self"),),
        (
            "wallets/tests/test_followup.py::KeyRetentionTest::"
            "test_sends_nothing_that_could_outlive_lease_or_key",
        ),
        (SQLITE,),
    ),
    Guard(
        "redirects off",
        "a POST that is answered 302 does not become a GET",
        (
            Edit(_HTTP, "response = self._adapter.send(", "response = self._session.send("),
            Edit(
                _HTTP,
                "        response.status_code = resp.status\n",
                "        response.status_code, response.url = resp.status, req.url\n"
                "        response.headers.update(resp.headers)\n",
            ),
        ),
        ("wallets/tests/test_bank_gateway.py::WireTests::test_it_follows_no_redirect",),
        (SQLITE,),
    ),
    Guard(
        "balance >= debit in SQL (PostgreSQL)",
        "no statement of ours overdraws a wallet, whatever it was told",
        (Edit(_ON_POSTGRES, " AND w.balance >= -x.delta", ""),),
        (_STALE + "test_overdraws_no_wallet_even_when_told_to",),
        (POSTGRES,),
        often=True,
    ),
    Guard(
        "balance >= debit in SQL (SQLite)",
        "the same",
        (Edit(_PORTABLE, ", balance__gte=-row.delta)", ")"),),
        (_STALE + "test_overdraws_no_wallet_even_when_told_to",),
        (SQLITE,),
    ),
    Guard(
        "CHECK (balance >= 0)",
        "no statement at all overdraws a wallet",
        (
            Edit(
                "wallets/migrations/0001_initial.py",
                'condition=models.Q(("balance__gte", 0)), name="wallet_balance_not_negative"',
                'condition=models.Q(("id__gte", 0)), name="wallet_balance_not_negative"',
            ),
        ),
        (_APPEND_ONLY + "ConstraintTest::test_refuses_rows_that_break_a_check",),
    ),
    Guard(
        "one entry per source",
        "a withdrawal ends once: paid and refunded is refused by the database",
        (
            Edit(
                "wallets/migrations/0001_initial.py",
                'fields=("transaction", "debit_account"), name="entry_once_per_source"',
                'fields=("transaction", "debit_account", "created_at", "id"),'
                ' name="entry_once_per_source"',
            ),
        ),
        (_APPEND_ONLY + "ConstraintTest::test_refuses_a_second_ending_of_one_withdrawal",),
    ),
    Guard(
        "terminal is for ever",
        "the database refuses every change of a row that has ended",
        (
            Edit(
                "wallets/migrations/_append_only.py",
                "OLD.status IN ('SUCCEEDED', 'FAILED', 'CANCELLED')\n    OR (",
                "(",
            ),
        ),
        (_APPEND_ONLY + "TransactionRowTest::test_refuses_every_change_of_what_has_ended",),
    ),
    Guard(
        "expected state in the write (PostgreSQL)",
        "a row that changed since it was read is not written over",
        (
            Edit(
                _ON_POSTGRES,
                " AND t.status || '' = x.expected_status AND t.epoch = x.expected_epoch",
                "",
            ),
        ),
        (
            _STALE + "test_writes_nothing_over_a_row_that_changed_since_it_was_read",
            _STALE + "test_writes_nothing_over_another_epoch",
        ),
        (POSTGRES,),
    ),
    Guard(
        "expected state in the write (SQLite)",
        "the same",
        (
            Edit(
                _PORTABLE,
                '        status=values.pop("expected_status"),\n'
                '        epoch=values.pop("expected_epoch"),\n    )\n',
                '    )\n    del values["expected_status"], values["expected_epoch"]\n',
            ),
        ),
        (
            _STALE + "test_writes_nothing_over_a_row_that_changed_since_it_was_read",
            _STALE + "test_writes_nothing_over_another_epoch",
        ),
        (SQLITE,),
    ),
    Guard(
        "claims only what is SCHEDULED (PostgreSQL)",
        "a row in somebody's hands is not claimed again",
        (
            Edit(
                _ON_POSTGRES,
                "WHERE status = 'SCHEDULED' AND execute_at <= %(now)s",
                "WHERE type = 'WITHDRAWAL' AND execute_at <= %(now)s",
            ),
        ),
        ("wallets/tests/test_claim.py::ClaimTest::test_never_claims_a_leased_row",),
        (POSTGRES,),
    ),
    Guard(
        "claims only what is SCHEDULED (SQLite)",
        "the same",
        (
            Edit(
                _PORTABLE,
                "rows = Transaction.objects.filter(status=Status.SCHEDULED, execute_at__lte=now)",
                "rows = Transaction.objects.filter(execute_at__lte=now)",
            ),
        ),
        ("wallets/tests/test_claim.py::ClaimTest::test_never_claims_a_leased_row",),
        (SQLITE,),
    ),
    Guard(
        "gate as claim mutex",
        "claims take turns, so that a wallet's withdrawals are decided in order",
        (
            Edit(
                _GATE,
                "gates = BankGate.objects.select_for_update(skip_locked=True, no_key=True)",
                "gates = BankGate.objects.all()",
            ),
        ),
        (_LOCKS + "test_decides_nothing_while_another_claim_holds_an_earlier_withdrawal",),
        (POSTGRES,),
        often=True,
    ),
    Guard(
        "of=self, no join",
        "a wallet that a deposit has locked does not hide the head of the queue",
        (
            Edit(
                _PORTABLE,
                'return rows.select_for_update(skip_locked=True, of=("self",), no_key=True)',
                "return rows.filter(wallet__balance__gte=0)"
                ".select_for_update(skip_locked=True, no_key=True)",
            ),
        ),
        (_LOCKS + "test_probes_with_the_head_of_the_queue_although_its_wallet_is_locked",),
        (POSTGRES,),
    ),
    Guard(
        "wallets are waited for",
        "the same, where the claim is one statement",
        (
            Edit(
                _ON_POSTGRES,
                "WHERE id = ANY(ARRAY(SELECT wallet_id FROM due))\n"
                "        ORDER BY id FOR NO KEY UPDATE\n",
                "WHERE id = ANY(ARRAY(SELECT wallet_id FROM due))\n"
                "        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED\n",
            ),
        ),
        (
            "wallets/tests/test_concurrency.py::ExecutorRaceTest::"
            "test_sees_the_head_of_the_queue_although_its_wallet_is_locked",
        ),
        (POSTGRES,),
    ),
    Guard(
        "lock order of wallets: the writer of money",
        "nobody waits for a wallet while holding a later one",
        (
            Edit(
                _PORTABLE,
                '.filter(pk__in=wanted).order_by("pk")',
                '.filter(pk__in=wanted).order_by("-pk")',
            ),
        ),
        (_LOCKS + "test_takes_wallets_in_the_order_of_their_ids_whoever_asks",),
        (POSTGRES,),
    ),
    Guard(
        "lock order of wallets: claims",
        "the same",
        (
            Edit(
                _ON_POSTGRES,
                "WHERE id = ANY(ARRAY(SELECT wallet_id FROM due))\n"
                "        ORDER BY id FOR NO KEY UPDATE\n",
                "WHERE id = ANY(ARRAY(SELECT wallet_id FROM due))\n"
                "        ORDER BY id DESC FOR NO KEY UPDATE\n",
            ),
        ),
        (_LOCKS + "test_takes_wallets_in_the_order_of_their_ids_whoever_asks",),
        (POSTGRES,),
    ),
    Guard(
        "lock order of wallets: settlements",
        "the same",
        (
            Edit(
                _ON_POSTGRES,
                "WHERE id = ANY($2) AND status = 'PROCESSING'))\n"
                "        ORDER BY id FOR NO KEY UPDATE\n",
                "WHERE id = ANY($2) AND status = 'PROCESSING'))\n"
                "        ORDER BY id DESC FOR NO KEY UPDATE\n",
            ),
        ),
        (_LOCKS + "test_takes_wallets_in_the_order_of_their_ids_whoever_asks",),
        (POSTGRES,),
    ),
    Guard(
        "FOR NO KEY UPDATE on wallets",
        "a withdrawal can be scheduled while its wallet is locked",
        (
            Edit(
                _PORTABLE,
                "wallets = Wallet.objects.select_for_update(no_key=True).filter(pk__in=wanted)",
                "wallets = Wallet.objects.select_for_update().filter(pk__in=wanted)",
            ),
        ),
        (_LOCKS + "test_lets_withdrawals_be_scheduled_for_a_wallet_that_is_locked",),
        (POSTGRES,),
    ),
    Guard(
        "money moves only inside a transaction",
        "a movement without a transaction around it is refused",
        (Edit(_LEDGER, "if not connection.in_atomic_block:", "if connection is None:"),),
        (_FENCES + "NoTransactionTest::test_moves_no_money_outside_a_transaction",),
    ),
)
