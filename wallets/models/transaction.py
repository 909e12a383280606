from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from wallets.models.wallet import Wallet


class Type(models.TextChoices):
    DEPOSIT = "DEPOSIT", _("Deposit")
    WITHDRAWAL = "WITHDRAWAL", _("Withdrawal")
    # A withdrawal that had succeeded and that the bank sent back later.
    RETURN = "RETURN", _("Return")


class Status(models.TextChoices):
    SCHEDULED = "SCHEDULED", _("Scheduled")
    PROCESSING = "PROCESSING", _("Processing")
    SUCCEEDED = "SUCCEEDED", _("Succeeded")
    FAILED = "FAILED", _("Failed")
    CANCELLED = "CANCELLED", _("Cancelled")


TERMINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)

_NEVER_LEASED = Q(
    epoch=0,
    lease_owner__isnull=True,
    lease_expires_at__isnull=True,
    maybe_sent=False,
    first_sent_at__isnull=True,
    last_sent_at__isnull=True,
    in_doubt_since__isnull=True,
)


class Transaction(models.Model):
    """A deposit or a return, applied at once, or a withdrawal, which lives through ``status``.

    ``amount`` is in integer minor units of the wallet's currency. All times come from the
    database's clock.
    """

    wallet = models.ForeignKey(
        Wallet,
        on_delete=models.PROTECT,
        related_name="transactions",
        db_index=False,
        verbose_name=_("wallet"),
    )
    type = models.CharField(_("type"), max_length=16, choices=Type.choices)
    status = models.CharField(_("status"), max_length=16, choices=Status.choices)
    amount = models.BigIntegerField(_("amount"))
    execute_at = models.DateTimeField(_("execute at"), null=True, blank=True)

    # The one key the bank ever sees for this withdrawal; made when it is scheduled.
    idempotency_key = models.UUIDField(_("idempotency key"), null=True, blank=True, unique=True)
    # The client's Idempotency-Key and what its request said.
    request_key = models.CharField(_("request key"), max_length=128, null=True, blank=True)
    request_fingerprint = models.CharField(
        _("request fingerprint"), max_length=64, null=True, blank=True
    )
    # What a replay of the scheduling request must say although it may have changed since:
    # the wallet's balance and update time. A deposit's replay reads its ledger entry instead.
    request_snapshot = models.JSONField(_("request snapshot"), null=True, blank=True)

    # What a return credits back: all of one withdrawal, once. The withdrawal stays SUCCEEDED.
    returned_withdrawal = models.OneToOneField(
        "self",
        on_delete=models.PROTECT,
        related_name="return_credit",
        null=True,
        blank=True,
        verbose_name=_("returned withdrawal"),
    )

    bank_reference = models.CharField(_("bank reference"), max_length=255, null=True, blank=True)
    failure_reason = models.CharField(_("failure reason"), max_length=200, null=True, blank=True)

    # Fence: a worker may end a withdrawal only while (lease_owner, epoch) are what it claimed.
    epoch = models.IntegerField(_("epoch"), default=0)
    # Empty while PROCESSING means handed back: whoever comes after lease_expires_at takes it.
    lease_owner = models.UUIDField(_("lease owner"), null=True, blank=True)
    lease_expires_at = models.DateTimeField(_("lease expires at"), null=True, blank=True)
    # Some earlier try may have reached the bank. Never unset: a refusal is then no proof.
    maybe_sent = models.BooleanField(_("maybe sent"), default=False)
    first_sent_at = models.DateTimeField(_("first sent at"), null=True, blank=True)
    last_sent_at = models.DateTimeField(_("last sent at"), null=True, blank=True)
    in_doubt_since = models.DateTimeField(_("in doubt since"), null=True, blank=True)

    created_at = models.DateTimeField(_("created at"))
    updated_at = models.DateTimeField(_("updated at"))

    class Meta:
        verbose_name = _("transaction")
        verbose_name_plural = _("transactions")
        permissions = [
            ("resolve_withdrawals", _("Can settle withdrawals in doubt and record returns"))
        ]
        indexes = [
            models.Index(
                name="transaction_due",
                fields=["execute_at", "id"],
                condition=Q(status=Status.SCHEDULED),
            ),
            models.Index(
                name="transaction_lease",
                fields=["lease_expires_at", "id"],
                condition=Q(status=Status.PROCESSING),
            ),
            models.Index(
                name="transaction_in_doubt",
                fields=["in_doubt_since", "id"],
                condition=Q(in_doubt_since__isnull=False),
            ),
            models.Index(name="transaction_wallet_page", fields=["wallet", "-id"]),
            models.Index(
                name="transaction_plan",
                fields=["wallet", "execute_at", "id"],
                condition=Q(status=Status.SCHEDULED),
            ),
            models.Index(
                name="transaction_bank_reference",
                fields=["bank_reference"],
                condition=Q(bank_reference__isnull=False),
            ),
        ]
        constraints = [
            models.CheckConstraint(name="transaction_amount_positive", condition=Q(amount__gt=0)),
            models.UniqueConstraint(
                name="transaction_request_key_unique",
                fields=["wallet", "type", "request_key"],
                condition=Q(request_key__isnull=False),
            ),
            models.CheckConstraint(
                name="transaction_request_key_has_fingerprint",
                condition=Q(request_key__isnull=True, request_fingerprint__isnull=True)
                | Q(request_key__isnull=False, request_fingerprint__isnull=False),
            ),
            models.CheckConstraint(
                name="transaction_status_known", condition=Q(status__in=Status.values)
            ),
            models.CheckConstraint(
                name="transaction_columns_fit_type",
                condition=Q(
                    _NEVER_LEASED,
                    type=Type.DEPOSIT,
                    status=Status.SUCCEEDED,
                    execute_at__isnull=True,
                    idempotency_key__isnull=True,
                    bank_reference__isnull=True,
                    returned_withdrawal__isnull=True,
                )
                | Q(
                    type=Type.WITHDRAWAL,
                    execute_at__isnull=False,
                    idempotency_key__isnull=False,
                    returned_withdrawal__isnull=True,
                )
                | Q(
                    _NEVER_LEASED,
                    type=Type.RETURN,
                    status=Status.SUCCEEDED,
                    execute_at__isnull=True,
                    idempotency_key__isnull=True,
                    bank_reference__isnull=False,
                    returned_withdrawal__isnull=False,
                ),
            ),
            models.CheckConstraint(
                name="transaction_lease_fits_status",
                condition=Q(status=Status.PROCESSING, lease_expires_at__isnull=False, epoch__gte=1)
                | (
                    ~Q(status=Status.PROCESSING)
                    & Q(
                        lease_owner__isnull=True,
                        lease_expires_at__isnull=True,
                        in_doubt_since__isnull=True,
                    )
                ),
            ),
            models.CheckConstraint(
                name="transaction_scheduled_is_untouched",
                condition=~Q(status__in=(Status.SCHEDULED, Status.CANCELLED)) | _NEVER_LEASED,
            ),
            models.CheckConstraint(
                name="transaction_reason_iff_failed",
                condition=Q(status=Status.FAILED, failure_reason__isnull=False)
                | (~Q(status=Status.FAILED) & Q(failure_reason__isnull=True)),
            ),
            models.CheckConstraint(
                name="transaction_paid_out_was_claimed",
                condition=~Q(status=Status.SUCCEEDED, type=Type.WITHDRAWAL) | Q(epoch__gte=1),
            ),
            models.CheckConstraint(
                name="transaction_reference_iff_succeeded",
                condition=Q(bank_reference__isnull=True) | Q(status=Status.SUCCEEDED),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.pk}"
