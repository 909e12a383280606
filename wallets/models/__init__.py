from wallets.models.bank import BankCall, BankGate, PayoutPause
from wallets.models.history import StatusChange
from wallets.models.ledger import Account, LedgerEntry
from wallets.models.resolution import Resolution
from wallets.models.tenant import ApiKey, Scope, Tenant
from wallets.models.transaction import Status, Transaction, Type
from wallets.models.wallet import MAX_BALANCE, Wallet

__all__ = [
    "ApiKey",
    "Scope",
    "Tenant",
    "MAX_BALANCE",
    "Account",
    "BankCall",
    "BankGate",
    "LedgerEntry",
    "PayoutPause",
    "Resolution",
    "Status",
    "StatusChange",
    "Transaction",
    "Type",
    "Wallet",
]
