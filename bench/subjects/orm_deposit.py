"""The deposit as one would write it first: a DRF view over the ORM, the same rows, no replays."""

from typing import Any

import django

django.setup()

from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.db import transaction  # noqa: E402
from django.db.models import F  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from rest_framework import serializers  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from wallets.models import Account, LedgerEntry, Status, Transaction, Type, Wallet  # noqa: E402


class DepositSerializer(serializers.Serializer[Any]):
    amount = serializers.IntegerField(min_value=1)


class WalletSerializer(serializers.ModelSerializer[Wallet]):
    class Meta:
        model = Wallet
        fields = ("id", "uuid", "currency", "balance", "created_at", "updated_at")


class TransactionSerializer(serializers.ModelSerializer[Transaction]):
    class Meta:
        model = Transaction
        fields = ("id", "wallet_id", "type", "status", "amount", "created_at", "updated_at")


class DepositView(APIView):
    def post(self, request: Request, wallet_id: int) -> Response:
        asked = DepositSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        amount = asked.validated_data["amount"]
        with transaction.atomic():
            wallet = Wallet.objects.select_for_update().get(pk=wallet_id)
            now = timezone.now()
            Wallet.objects.filter(pk=wallet.pk).update(
                balance=F("balance") + amount, updated_at=now
            )
            wallet.refresh_from_db()
            made = Transaction.objects.create(
                wallet=wallet,
                type=Type.DEPOSIT,
                status=Status.SUCCEEDED,
                amount=amount,
                request_key=request.headers["Idempotency-Key"],
                request_fingerprint="0" * 64,
                created_at=now,
                updated_at=now,
            )
            LedgerEntry.objects.create(
                transaction=made,
                wallet=wallet,
                debit_account=Account.BANK,
                credit_account=Account.WALLET,
                amount=amount,
                balance_after=wallet.balance,
                created_at=now,
            )
        return Response(
            {
                "wallet": WalletSerializer(wallet).data,
                "transaction": TransactionSerializer(made).data,
            },
            status=201,
        )


urlpatterns = [path("api/wallets/<int:wallet_id>/deposit/", DepositView.as_view())]
application = WSGIHandler()
