from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from wallets.models.transaction import Transaction


class BankCall(models.Model):
    """Append-only record of one request to the bank and what came back."""

    class Kind(models.TextChoices):
        TRANSFER = "transfer", _("Transfer")
        INQUIRY = "inquiry", _("Inquiry")

    transaction = models.ForeignKey(
        Transaction,
        on_delete=models.PROTECT,
        related_name="bank_calls",
        db_index=False,
        verbose_name=_("withdrawal"),
    )
    epoch = models.IntegerField(_("epoch"))
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    started_at = models.DateTimeField(_("started at"))
    duration_ms = models.IntegerField(_("duration (ms)"))
    http_status = models.IntegerField(_("HTTP status"), null=True, blank=True)
    verdict = models.CharField(_("verdict"), max_length=64)
    reference = models.CharField(_("bank reference"), max_length=255, null=True, blank=True)
    answer_digest = models.CharField(
        _("digest of the answer"), max_length=64, blank=True
    )  # SHA-256

    class Meta:
        verbose_name = _("bank call")
        verbose_name_plural = _("bank calls")
        indexes = [models.Index(name="bank_call_story", fields=["transaction", "id"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.verdict}"


class BankGate(models.Model):
    """The one row all executors pass: claim mutex, rate limit, pauses and circuit breaker."""

    class Breaker(models.TextChoices):
        CLOSED = "CLOSED", _("Closed")
        OPEN = "OPEN", _("Open")
        HALF_OPEN = "HALF_OPEN", _("Half open")

    name = models.CharField(_("name"), max_length=32, primary_key=True)
    tokens = models.FloatField(_("tokens"), default=0)
    refilled_at = models.DateTimeField(_("refilled at"), null=True, blank=True)
    # Set by the bank's Retry-After.
    paused_until = models.DateTimeField(_("paused until"), null=True, blank=True)
    breaker = models.CharField(
        _("breaker"), max_length=16, choices=Breaker.choices, default=Breaker.CLOSED
    )
    consecutive_failures = models.IntegerField(_("consecutive failures"), default=0)
    # OPEN: nobody claims before this. HALF_OPEN: the probe in flight is given up on then.
    retry_at = models.DateTimeField(_("retry at"), null=True, blank=True)
    # Set by a person or by the audit, and lifted only by a person: nothing is paid out.
    halted_at = models.DateTimeField(_("paused at"), null=True, blank=True)
    halted_by = models.CharField(_("paused by"), max_length=150, blank=True, default="")
    halted_reason = models.CharField(
        _("reason of the pause"), max_length=200, blank=True, default=""
    )

    class Meta:
        verbose_name = _("bank gate")
        verbose_name_plural = _("bank gates")
        permissions = [("pause_payouts", _("Can pause and resume payouts"))]
        constraints = [
            models.CheckConstraint(
                name="gate_halt_has_author_and_reason",
                condition=Q(halted_at__isnull=True, halted_by="", halted_reason="")
                | (Q(halted_at__isnull=False) & ~Q(halted_by="") & ~Q(halted_reason="")),
            )
        ]

    def __str__(self) -> str:
        return self.name


class PayoutPause(models.Model):
    """Append-only history of the kill switch: who paused or resumed payouts, when and why."""

    class Step(models.TextChoices):
        PAUSED = "paused", _("Paused")
        RESUMED = "resumed", _("Resumed")

    gate = models.ForeignKey(
        BankGate,
        on_delete=models.PROTECT,
        related_name="pauses",
        verbose_name=_("bank gate"),
    )
    step = models.CharField(_("step"), max_length=16, choices=Step.choices)
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="")
    by = models.CharField(_("by"), max_length=150)
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("payout pause")
        verbose_name_plural = _("payout pauses")

    def __str__(self) -> str:
        return f"{self.step} by {self.by}"
