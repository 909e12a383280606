"""The admin: ledgers to look at, in English and Persian."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from wallets.admin import api_keys, bank, history, ledger, transaction, wallet

__all__ = ["api_keys", "bank", "history", "ledger", "transaction", "wallet"]

admin.site.site_header = _("Wallet Service")
admin.site.site_title = _("Wallet Service")
admin.site.index_title = _("Ledgers and payouts")
