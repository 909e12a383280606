from django.urls import path, re_path

from wallets.api.views.bulk import BulkDepositsView
from wallets.api.views.deposits import DepositView
from wallets.api.views.docs import DocsView, SchemaView
from wallets.api.views.errors import ErrorsView
from wallets.api.views.fallback import NothingHereView
from wallets.api.views.health import HealthView
from wallets.api.views.opening import WalletsView
from wallets.api.views.past import BalanceView, StatementView
from wallets.api.views.projection import ProjectionView
from wallets.api.views.transactions import TransactionsView
from wallets.api.views.wallet import WalletView
from wallets.api.views.withdrawal import CancelView, RescheduleView, WithdrawalView
from wallets.api.views.withdrawals import WithdrawalsView

urlpatterns = [
    path("api/wallets/", WalletsView.as_view(), name="wallets"),
    path("api/wallets/deposits/bulk/", BulkDepositsView.as_view(), name="bulk"),
    path("api/wallets/<str:wallet_id>/", WalletView.as_view(), name="wallet"),
    path("api/wallets/<str:wallet_id>/deposit/", DepositView.as_view(), name="deposit"),
    path("api/wallets/<str:wallet_id>/withdrawals/", WithdrawalsView.as_view(), name="withdrawals"),
    path(
        "api/wallets/<str:wallet_id>/withdrawals/<str:withdrawal_id>/",
        WithdrawalView.as_view(),
        name="withdrawal",
    ),
    path(
        "api/wallets/<str:wallet_id>/withdrawals/<str:withdrawal_id>/cancel/",
        CancelView.as_view(),
        name="cancel",
    ),
    path(
        "api/wallets/<str:wallet_id>/withdrawals/<str:withdrawal_id>/reschedule/",
        RescheduleView.as_view(),
        name="reschedule",
    ),
    path("api/wallets/<str:wallet_id>/balance/", BalanceView.as_view(), name="balance"),
    path("api/wallets/<str:wallet_id>/statement/", StatementView.as_view(), name="statement"),
    path("api/wallets/<str:wallet_id>/projection/", ProjectionView.as_view(), name="projection"),
    path(
        "api/wallets/<str:wallet_id>/transactions/", TransactionsView.as_view(), name="transactions"
    ),
    path("api/errors/", ErrorsView.as_view(), name="errors"),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", DocsView.as_view(), name="docs"),
    path("health/", HealthView.as_view(), name="health"),
    # Last, and for everything below the roots, whatever characters follow.
    re_path(r"^(?:api|health)(?:/|\Z)", NothingHereView.as_view()),
]
