from wallets.models.bank import BankCall, BankGate, PayoutPause
from wallets.models.bulk_request import BulkRequest
from wallets.models.history import StatusChange
from wallets.models.ledger import Account, LedgerEntry
from wallets.models.plan_request import PlanRequest
from wallets.models.resolution import Resolution
from wallets.models.tenant import ApiKey, Scope, Tenant
from wallets.models.throttle import RequestCount
from wallets.models.transaction import TERMINAL, Status, Transaction, Type
from wallets.models.wallet import MAX_BALANCE, Wallet, of_one_wallet

__all__ = [
    "MAX_BALANCE",
    "TERMINAL",
    "Account",
    "ApiKey",
    "BankCall",
    "BankGate",
    "BulkRequest",
    "LedgerEntry",
    "PayoutPause",
    "PlanRequest",
    "RequestCount",
    "Resolution",
    "Scope",
    "Status",
    "StatusChange",
    "Tenant",
    "Transaction",
    "Type",
    "Wallet",
    "of_one_wallet",
]
