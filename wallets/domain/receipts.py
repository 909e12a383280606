"""What the domain answers with: frozen values that outlive the transaction that made them."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from wallets.models import Status, Transaction, Type, Wallet


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """The client's ``Idempotency-Key`` and a SHA-256 of what it asked for."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class WalletState:
    id: int
    uuid: uuid.UUID
    currency: str
    balance: int  # minor units
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, wallet: Wallet) -> "WalletState":
        return cls(
            id=wallet.pk,
            uuid=wallet.uuid,
            currency=wallet.currency,
            balance=wallet.balance,
            created_at=wallet.created_at,
            updated_at=wallet.updated_at,
        )


@dataclass(frozen=True, slots=True)
class TransactionState:
    id: int
    wallet_id: int
    type: str
    status: str
    amount: int  # minor units
    execute_at: datetime | None
    idempotency_key: uuid.UUID | None
    bank_reference: str | None
    failure_reason: str | None
    in_doubt_since: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Transaction) -> "TransactionState":
        return cls(
            id=row.pk,
            wallet_id=row.wallet_id,
            type=row.type,
            status=row.status,
            amount=row.amount,
            execute_at=row.execute_at,
            idempotency_key=row.idempotency_key,
            bank_reference=row.bank_reference,
            failure_reason=row.failure_reason,
            in_doubt_since=row.in_doubt_since,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )

    @classmethod
    def deposited(cls, *, id: int, wallet_id: int, amount: int, at: datetime) -> "TransactionState":
        """A deposit that was made ``at`` that time and will never change."""
        return cls(
            id=id,
            wallet_id=wallet_id,
            type=Type.DEPOSIT.value,
            status=Status.SUCCEEDED.value,
            amount=amount,
            execute_at=None,
            idempotency_key=None,
            bank_reference=None,
            failure_reason=None,
            in_doubt_since=None,
            created_at=at,
            updated_at=at,
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a request that moved or scheduled money, or opened a wallet."""

    wallet: WalletState
    transaction: TransactionState | None
    replayed: bool


@dataclass(frozen=True, slots=True)
class PlanReceipt:
    """The answer to a request that cancelled or moved a withdrawal."""

    withdrawal: TransactionState
    replayed: bool
