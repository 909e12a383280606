from django.db import models
from django.utils.translation import gettext_lazy as _

from wallets.models.transaction import Transaction


class Resolution(models.Model):
    """Append-only record of what people said about a withdrawal in doubt.

    The last row of a withdrawal is its open proposal while its step is ``PROPOSED``.
    """

    class Step(models.TextChoices):
        PROPOSED = "proposed", _("Proposed")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        # Ended the withdrawal: as the second person, or alone where one is enough.
        DECIDED = "decided", _("Decided")

    class Verdict(models.TextChoices):
        PAID = "paid", _("Paid")
        NOT_PAID = "not_paid", _("Not paid")

    transaction = models.ForeignKey(
        Transaction,
        on_delete=models.PROTECT,
        related_name="resolutions",
        db_index=False,
        verbose_name=_("withdrawal"),
    )
    step = models.CharField(_("step"), max_length=16, choices=Step.choices)
    verdict = models.CharField(_("verdict"), max_length=16, choices=Verdict.choices)
    reference = models.CharField(_("bank reference"), max_length=255, null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=200)
    by = models.CharField(_("by"), max_length=150)
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("resolution")
        verbose_name_plural = _("resolutions")
        indexes = [models.Index(name="resolution_story", fields=["transaction", "id"])]

    def __str__(self) -> str:
        return f"{self.verdict} {self.step} by {self.by}"
