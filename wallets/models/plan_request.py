from django.db import models
from django.utils.translation import gettext_lazy as _

from wallets.models.transaction import Transaction
from wallets.models.wallet import Wallet


class PlanRequest(models.Model):
    """Append-only record of a client's request, with an Idempotency-Key, to cancel or move a
    withdrawal, and of what the answer to it says.

    A request without a key, or one that was refused, leaves none.
    """

    class Operation(models.TextChoices):
        CANCEL = "cancel", _("Cancel")
        RESCHEDULE = "reschedule", _("Reschedule")

    wallet = models.ForeignKey(
        Wallet,
        on_delete=models.PROTECT,
        related_name="plan_requests",
        db_index=False,
        verbose_name=_("wallet"),
    )
    operation = models.CharField(_("operation"), max_length=16, choices=Operation.choices)
    request_key = models.CharField(_("request key"), max_length=128)
    request_fingerprint = models.CharField(_("request fingerprint"), max_length=64)
    transaction = models.ForeignKey(
        Transaction,
        on_delete=models.PROTECT,
        related_name="plan_requests",
        db_index=False,
        verbose_name=_("withdrawal"),
    )
    # As the withdrawal was when the request had been done.
    execute_at = models.DateTimeField(_("execute at"))
    withdrawal_updated_at = models.DateTimeField(_("withdrawal updated at"))
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("request about a plan")
        verbose_name_plural = _("requests about plans")
        constraints = [
            models.UniqueConstraint(
                name="plan_request_key_unique", fields=["wallet", "operation", "request_key"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.transaction_id}"
