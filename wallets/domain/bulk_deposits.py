"""Apply many deposits in one transaction, with a handful of statements."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction

from wallets.domain import ledger
from wallets.domain.errors import (
    BalanceOverflow,
    CurrencyMismatch,
    DomainError,
    IdempotencyKeyReused,
    WalletNotFound,
)
from wallets.domain.ledger import LockedWallet
from wallets.domain.limits import NO_LIMITS, Limits, check_deposit
from wallets.domain.receipts import ClientRequest, Receipt, TransactionState, WalletState
from wallets.domain.statements import for_database
from wallets.domain.statements.rows import DepositKey, EarlierDeposit, NewDeposit, OpenWallet
from wallets.domain.wallets import WalletRef
from wallets.models import MAX_BALANCE, Wallet

MOST_ITEMS = 1_000


@dataclass(frozen=True, slots=True)
class BulkItem:
    """One deposit of ``amount`` minor units."""

    wallet: int | uuid.UUID | WalletRef
    amount: int
    currency: str | None
    request: ClientRequest | None


@dataclass(frozen=True, slots=True)
class _Promise:
    """The receipt of the ``nth`` deposit to be written; a later use of its key replays it."""

    nth: int
    replayed: bool = False


def deposit_many(
    *, items: Sequence[BulkItem], all_or_nothing: bool, limits: Limits = NO_LIMITS
) -> list[Receipt | DomainError | None]:
    """Make the deposits as if one after the other; return what became of each, in their order.

    A result is what ``deposit`` would have returned or raised, also where a wallet or a key comes
    twice. ``all_or_nothing``: with one refused nothing is written, and ``None`` stands for what was
    not refused itself.

    Raises ``ValueError`` for more than ``MOST_ITEMS``.
    """
    if len(items) > MOST_ITEMS:
        raise ValueError(f"{len(items)} deposits in one batch: {MOST_ITEMS} are the most")
    refs = [_named(item.wallet) for item in items]
    with transaction.atomic():
        # As with one deposit the locks come first: whoever has the same keys takes turns.
        wallets = _Wallets(refs)
        wanted = list(zip(map(wallets.find, refs), items, strict=True))
        batch = _Batch(wallets.now, limits, _earlier(wanted))
        decided = [batch.decide(wallet, item) for wallet, item in wanted]
        if all_or_nothing and any(isinstance(each, DomainError) for each in decided):
            return [None if isinstance(each, _Promise) else each for each in decided]
        receipts = batch.write()
    return [_kept(each, receipts) if isinstance(each, _Promise) else each for each in decided]


def _named(wallet: int | uuid.UUID | WalletRef) -> WalletRef:
    return wallet if isinstance(wallet, WalletRef) else WalletRef(wallet)


def _kept(promise: _Promise, receipts: Sequence[Receipt]) -> Receipt:
    receipt = receipts[promise.nth]
    return replace(receipt, replayed=True) if promise.replayed else receipt


class _Wallets:
    """The wallets of a batch, locked in id order."""

    def __init__(self, named: Iterable[WalletRef]) -> None:
        named = set(named)
        refs = {each.ref for each in named}
        accounts = {each.tenant_id for each in named}
        wallets, self.now = for_database().lock_open_wallets(
            ids=[ref for ref in refs if isinstance(ref, int) and ref <= MAX_BALANCE],
            uuids=[ref for ref in refs if isinstance(ref, uuid.UUID)],
            # No lock is taken, or waited for, on what is somebody else's.
            tenant_id=accounts.pop() if len(accounts) == 1 else None,
        )
        self._by_ref: dict[int | uuid.UUID, OpenWallet] = {}
        for wallet in wallets:
            self._by_ref[wallet.id] = self._by_ref[wallet.uuid] = wallet

    def find(self, named: WalletRef) -> OpenWallet | None:
        wallet = self._by_ref.get(named.ref)
        if wallet is not None and named.tenant_id not in (None, wallet.tenant_id):
            return None
        return wallet


def _earlier(
    wanted: Iterable[tuple[OpenWallet | None, BulkItem]],
) -> dict[tuple[int, str], EarlierDeposit]:
    keys = {
        DepositKey(wallet.id, item.request.key)
        for wallet, item in wanted
        if wallet is not None and item.request is not None
    }
    return {each.key: each for each in for_database().earlier_deposits(list(keys))} if keys else {}


class _Batch:
    """Decides each deposit in turn against what those before it leave, then writes them all."""

    def __init__(
        self, now: datetime, limits: Limits, earlier: dict[tuple[int, str], EarlierDeposit]
    ) -> None:
        self._now = now
        self._limits = limits
        self._earlier = earlier
        # By key: the fingerprint and place of what this batch itself makes.
        self._promised: dict[tuple[int, str], tuple[str, int]] = {}
        self._accepted: list[tuple[OpenWallet, BulkItem]] = []
        self._balances: dict[int, int] = {}

    def decide(self, wallet: OpenWallet | None, item: BulkItem) -> Receipt | DomainError | _Promise:
        if wallet is None:
            return WalletNotFound()
        request = item.request
        if request is not None:
            again = self._replay(wallet, request)
            if again is not None:
                return again
        balance = self._balances.get(wallet.id, wallet.balance)
        refusal = self._refusal(wallet, item, balance)
        if refusal is not None:
            return refusal
        nth = len(self._accepted)
        self._accepted.append((wallet, item))
        self._balances[wallet.id] = balance + item.amount
        if request is not None:
            self._promised[wallet.id, request.key] = (request.fingerprint, nth)
        return _Promise(nth)

    def _replay(
        self, wallet: OpenWallet, request: ClientRequest
    ) -> Receipt | DomainError | _Promise | None:
        key = (wallet.id, request.key)
        earlier = self._earlier.get(key)
        if earlier is not None:
            if earlier.fingerprint != request.fingerprint:
                return IdempotencyKeyReused(first_used_at=earlier.created_at)
            return _receipt(
                wallet,
                transaction_id=earlier.transaction_id,
                amount=earlier.amount,
                balance=earlier.balance_after,
                at=earlier.created_at,
                replayed=True,
            )
        if key not in self._promised:
            return None
        fingerprint, nth = self._promised[key]
        if fingerprint != request.fingerprint:
            return IdempotencyKeyReused(first_used_at=self._now)
        return _Promise(nth, replayed=True)

    def _refusal(self, wallet: OpenWallet, item: BulkItem, balance: int) -> DomainError | None:
        if item.currency is not None and item.currency != wallet.currency:
            return CurrencyMismatch(wallet_currency=wallet.currency)
        if item.amount > MAX_BALANCE - balance:
            return BalanceOverflow(balance=balance)
        if self._limits.balance is not None:
            try:
                check_deposit(
                    wallet=Wallet(balance=balance), amount=item.amount, limits=self._limits
                )
            except DomainError as refusal:
                return refusal
        return None

    def write(self) -> list[Receipt]:
        if not self._accepted:
            return []
        ids = for_database().insert_deposits(
            [
                NewDeposit(
                    wallet_id=wallet.id,
                    amount=item.amount,
                    request_key=item.request.key if item.request else None,
                    request_fingerprint=item.request.fingerprint if item.request else None,
                )
                for wallet, item in self._accepted
            ],
            self._now,
        )
        made = list(zip(ids, self._accepted, strict=True))
        balances = ledger.post(
            [ledger.deposited(pk, wallet.id, item.amount) for pk, (wallet, item) in made],
            locked={wallet.id: _locked(wallet) for _, (wallet, _) in made},
            now=self._now,
        )
        return [
            _receipt(wallet, transaction_id=pk, amount=item.amount, balance=balance, at=self._now)
            for (pk, (wallet, item)), balance in zip(made, balances, strict=True)
        ]


def _locked(wallet: OpenWallet) -> LockedWallet:
    return LockedWallet(wallet.id, wallet.uuid, wallet.currency, wallet.balance)


def _receipt(
    wallet: OpenWallet,
    *,
    transaction_id: int,
    amount: int,
    balance: int,
    at: datetime,
    replayed: bool = False,
) -> Receipt:
    """``at``: when all that the deposit wrote was written."""
    return Receipt(
        wallet=WalletState(
            id=wallet.id,
            uuid=wallet.uuid,
            currency=wallet.currency,
            balance=balance,
            created_at=wallet.created_at,
            updated_at=at,
        ),
        transaction=TransactionState.deposited(
            id=transaction_id, wallet_id=wallet.id, amount=amount, at=at
        ),
        replayed=replayed,
    )
