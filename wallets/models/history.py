from django.db import models
from django.utils.translation import gettext_lazy as _

from wallets.models.transaction import Status, Transaction


class StatusChange(models.Model):
    """Append-only history of a withdrawal.

    Scheduling has an empty ``from_status``; a step that keeps the status (reclaimed, handed
    back, in doubt) is recorded too, with its reason.
    """

    transaction = models.ForeignKey(
        Transaction,
        on_delete=models.PROTECT,
        related_name="status_changes",
        db_index=False,
        verbose_name=_("transaction"),
    )
    from_status = models.CharField(
        _("from status"), max_length=16, choices=Status.choices, blank=True, default=""
    )
    to_status = models.CharField(_("to status"), max_length=16, choices=Status.choices)
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="")
    worker = models.CharField(_("worker"), max_length=150, blank=True, default="")
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("status change")
        verbose_name_plural = _("status changes")
        indexes = [models.Index(name="status_change_story", fields=["transaction", "id"])]

    def __str__(self) -> str:
        return f"{self.from_status or '-'} -> {self.to_status}"
