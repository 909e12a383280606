import django.db.models.deletion
from django.db import migrations, models

from wallets.migrations import _append_only


class Migration(migrations.Migration):
    dependencies = [
        ("wallets", "0002_append_only"),
    ]

    operations = [
        # Reversing ends here, with the triggers of the older tables in place again.
        migrations.RunPython(migrations.RunPython.noop, _append_only.install),
        migrations.CreateModel(
            name="PayoutPause",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "step",
                    models.CharField(
                        choices=[("paused", "Paused"), ("resumed", "Resumed")],
                        max_length=16,
                        verbose_name="step",
                    ),
                ),
                (
                    "reason",
                    models.CharField(blank=True, default="", max_length=200, verbose_name="reason"),
                ),
                ("by", models.CharField(max_length=150, verbose_name="by")),
                ("created_at", models.DateTimeField(verbose_name="created at")),
            ],
            options={
                "verbose_name": "payout pause",
                "verbose_name_plural": "payout pauses",
            },
        ),
        migrations.CreateModel(
            name="Resolution",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "step",
                    models.CharField(
                        choices=[
                            ("proposed", "Proposed"),
                            ("withdrawn", "Withdrawn"),
                            ("decided", "Decided"),
                        ],
                        max_length=16,
                        verbose_name="step",
                    ),
                ),
                (
                    "verdict",
                    models.CharField(
                        choices=[("paid", "Paid"), ("not_paid", "Not paid")],
                        max_length=16,
                        verbose_name="verdict",
                    ),
                ),
                (
                    "reference",
                    models.CharField(
                        blank=True, max_length=255, null=True, verbose_name="bank reference"
                    ),
                ),
                ("reason", models.CharField(max_length=200, verbose_name="reason")),
                ("by", models.CharField(max_length=150, verbose_name="by")),
                ("created_at", models.DateTimeField(verbose_name="created at")),
            ],
            options={
                "verbose_name": "resolution",
                "verbose_name_plural": "resolutions",
            },
        ),
        migrations.AlterModelOptions(
            name="bankgate",
            options={
                "permissions": [("pause_payouts", "Can pause and resume payouts")],
                "verbose_name": "bank gate",
                "verbose_name_plural": "bank gates",
            },
        ),
        migrations.AlterModelOptions(
            name="transaction",
            options={
                "permissions": [
                    ("resolve_withdrawals", "Can settle withdrawals in doubt and record returns")
                ],
                "verbose_name": "transaction",
                "verbose_name_plural": "transactions",
            },
        ),
        migrations.RemoveConstraint(
            model_name="transaction",
            name="transaction_columns_fit_type",
        ),
        migrations.AddField(
            model_name="bankgate",
            name="halted_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="paused at"),
        ),
        migrations.AddField(
            model_name="bankgate",
            name="halted_by",
            field=models.CharField(
                blank=True, default="", max_length=150, verbose_name="paused by"
            ),
        ),
        migrations.AddField(
            model_name="bankgate",
            name="halted_reason",
            field=models.CharField(
                blank=True, default="", max_length=200, verbose_name="reason of the pause"
            ),
        ),
        migrations.AddField(
            model_name="transaction",
            name="returned_withdrawal",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="return_credit",
                to="wallets.transaction",
                verbose_name="returned withdrawal",
            ),
        ),
        migrations.AlterField(
            model_name="transaction",
            name="type",
            field=models.CharField(
                choices=[
                    ("DEPOSIT", "Deposit"),
                    ("WITHDRAWAL", "Withdrawal"),
                    ("RETURN", "Return"),
                ],
                max_length=16,
                verbose_name="type",
            ),
        ),
        migrations.AddIndex(
            model_name="transaction",
            index=models.Index(
                condition=models.Q(("bank_reference__isnull", False)),
                fields=["bank_reference"],
                name="transaction_bank_reference",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankgate",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("halted_at__isnull", True), ("halted_by", ""), ("halted_reason", "")),
                    models.Q(
                        ("halted_at__isnull", False),
                        models.Q(("halted_by", ""), _negated=True),
                        models.Q(("halted_reason", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="gate_halt_has_author_and_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="transaction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(
                            ("epoch", 0),
                            ("first_sent_at__isnull", True),
                            ("in_doubt_since__isnull", True),
                            ("last_sent_at__isnull", True),
                            ("lease_expires_at__isnull", True),
                            ("lease_owner__isnull", True),
                            ("maybe_sent", False),
                        ),
                        ("bank_reference__isnull", True),
                        ("execute_at__isnull", True),
                        ("idempotency_key__isnull", True),
                        ("returned_withdrawal__isnull", True),
                        ("status", "SUCCEEDED"),
                        ("type", "DEPOSIT"),
                    ),
                    models.Q(
                        ("execute_at__isnull", False),
                        ("idempotency_key__isnull", False),
                        ("returned_withdrawal__isnull", True),
                        ("type", "WITHDRAWAL"),
                    ),
                    models.Q(
                        models.Q(
                            ("epoch", 0),
                            ("first_sent_at__isnull", True),
                            ("in_doubt_since__isnull", True),
                            ("last_sent_at__isnull", True),
                            ("lease_expires_at__isnull", True),
                            ("lease_owner__isnull", True),
                            ("maybe_sent", False),
                        ),
                        ("bank_reference__isnull", False),
                        ("execute_at__isnull", True),
                        ("idempotency_key__isnull", True),
                        ("returned_withdrawal__isnull", False),
                        ("status", "SUCCEEDED"),
                        ("type", "RETURN"),
                    ),
                    _connector="OR",
                ),
                name="transaction_columns_fit_type",
            ),
        ),
        migrations.AddField(
            model_name="payoutpause",
            name="gate",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="pauses",
                to="wallets.bankgate",
                verbose_name="bank gate",
            ),
        ),
        migrations.AddField(
            model_name="resolution",
            name="transaction",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="resolutions",
                to="wallets.transaction",
                verbose_name="withdrawal",
            ),
        ),
        migrations.AddIndex(
            model_name="resolution",
            index=models.Index(fields=["transaction", "id"], name="resolution_story"),
        ),
        migrations.RunPython(_append_only.install, _append_only.remove),
    ]
