from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from wallets.models.transaction import Transaction
from wallets.models.wallet import Wallet


class Account(models.TextChoices):
    BANK = "BANK", _("Bank")
    WALLET = "WALLET", _("Wallet")
    IN_TRANSIT = "IN_TRANSIT", _("In transit")


# deposit, claim, paid, refused: (debit, credit), that is (from, to).
LEGS = (
    (Account.BANK, Account.WALLET),
    (Account.WALLET, Account.IN_TRANSIT),
    (Account.IN_TRANSIT, Account.BANK),
    (Account.IN_TRANSIT, Account.WALLET),
)

_known_leg = Q()
for _debit, _credit in LEGS:
    _known_leg |= Q(debit_account=_debit, credit_account=_credit)


class LedgerEntry(models.Model):
    """One immutable movement of ``amount`` minor units from one account to another.

    ``id`` is taken while the wallet is locked, so within a wallet it is the order in which
    money moved; ``balance_after`` is the wallet's balance once it had.
    """

    transaction = models.ForeignKey(
        Transaction,
        on_delete=models.PROTECT,
        related_name="entries",
        db_index=False,
        verbose_name=_("transaction"),
    )
    wallet = models.ForeignKey(
        Wallet,
        on_delete=models.PROTECT,
        related_name="entries",
        db_index=False,
        verbose_name=_("wallet"),
    )
    debit_account = models.CharField(_("from"), max_length=16, choices=Account.choices)
    credit_account = models.CharField(_("to"), max_length=16, choices=Account.choices)
    amount = models.BigIntegerField(_("amount"))
    balance_after = models.BigIntegerField(_("balance after"))
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        indexes = [models.Index(name="entry_wallet_order", fields=["wallet", "id"])]
        constraints = [
            models.CheckConstraint(name="entry_amount_positive", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="entry_balance_not_negative", condition=Q(balance_after__gte=0)
            ),
            models.CheckConstraint(name="entry_leg_known", condition=_known_leg),
            # Paid and refused both leave IN_TRANSIT, so the database itself refuses a second
            # ending of one withdrawal, as well as a second debit or deposit.
            models.UniqueConstraint(
                name="entry_once_per_source", fields=["transaction", "debit_account"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.debit_account} -> {self.credit_account} {self.amount}"
