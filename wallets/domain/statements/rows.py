"""The rows that the set-based statements take and give."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from wallets.domain.withdrawals.rows import Row


@dataclass(frozen=True, slots=True)
class LockedWallet:
    """A wallet whose row is locked by the open transaction, as it was when it was locked."""

    id: int
    uuid: uuid.UUID
    currency: str
    balance: int


@dataclass(frozen=True, slots=True)
class LockedResults:
    """Withdrawals locked in id order, then the wallets whose money may move; ``now``: after it."""

    rows: list[Row]
    wallets: dict[int, LockedWallet]
    now: datetime


@dataclass(frozen=True, slots=True)
class Horizon:
    """Up to where the two queues have been seen to the end; ``None``: from their beginning on.

    Finished withdrawals stay in the indexes of the queues for as long as anybody's snapshot may
    need them, and a look from the beginning wades through all of them.
    """

    lapsed: datetime | None = None
    due: datetime | None = None


BEGINNING = Horizon()


@dataclass(frozen=True, slots=True)
class LockedWork:
    """Lapsed and due withdrawals, each in its order, and then the wallets of the due ones.

    ``now``: after that. ``seen``: from where the next look may begin.
    """

    lapsed: list[Row]
    due: list[Row]
    wallets: dict[int, LockedWallet]
    now: datetime
    seen: Horizon = BEGINNING


@dataclass(frozen=True, slots=True)
class BalanceRow:
    wallet_id: int
    before: int
    delta: int


@dataclass(frozen=True, slots=True)
class EntryRow:
    transaction_id: int
    wallet_id: int
    debit_account: str
    credit_account: str
    amount: int
    balance_after: int


@dataclass(frozen=True, slots=True)
class StateRow:
    """Everything about a withdrawal that may change, and the state it must be in to change."""

    id: int
    expected_status: str
    expected_epoch: int
    status: str
    epoch: int
    lease_owner: uuid.UUID | None = None
    lease_expires_at: datetime | None = None
    maybe_sent: bool = False
    first_sent_at: datetime | None = None
    last_sent_at: datetime | None = None
    in_doubt_since: datetime | None = None
    bank_reference: str | None = None
    failure_reason: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeRow:
    transaction_id: int
    from_status: str
    to_status: str
    reason: str
    worker: str


@dataclass(frozen=True, slots=True)
class CallRow:
    transaction_id: int
    epoch: int
    kind: str
    started_at: datetime
    duration_ms: int
    http_status: int | None
    verdict: str
    reference: str | None
    answer_digest: str


@dataclass(frozen=True, slots=True)
class Batch:
    """All that one transaction writes about money and withdrawals."""

    balances: Sequence[BalanceRow] = ()
    entries: Sequence[EntryRow] = ()
    states: Sequence[StateRow] = ()
    history: Sequence[ChangeRow] = ()
    calls: Sequence[CallRow] = ()


@dataclass(frozen=True, slots=True)
class DepositRow:
    """A deposit as it was asked for: into the wallet with this id or UUID.

    ``tenant_id``, ``currency``: only into a wallet of this account and currency, unless ``None``.
    """

    wallet: int | uuid.UUID
    tenant_id: int | None
    amount: int
    currency: str | None
    highest_balance: int
    request_key: str | None
    request_fingerprint: str | None


@dataclass(frozen=True, slots=True)
class DepositedRow:
    """What the deposit made, and the wallet as it left it; ``now``: when."""

    transaction_id: int
    wallet_id: int
    uuid: uuid.UUID
    currency: str
    balance: int
    created_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class OpenWallet:
    """A locked wallet, with what an answer about it says."""

    id: int
    uuid: uuid.UUID
    currency: str
    balance: int
    created_at: datetime
    tenant_id: int | None


class DepositKey(NamedTuple):
    """What the client called a deposit into the wallet."""

    wallet_id: int
    request_key: str


@dataclass(frozen=True, slots=True)
class EarlierDeposit:
    key: DepositKey
    transaction_id: int
    amount: int
    fingerprint: str
    created_at: datetime
    balance_after: int


@dataclass(frozen=True, slots=True)
class NewDeposit:
    wallet_id: int
    amount: int
    request_key: str | None
    request_fingerprint: str | None


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    """A key as it is stored; ``now``: the database's time with it."""

    id: int
    tenant_id: int
    scopes: Sequence[str]
    digest: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    now: datetime
