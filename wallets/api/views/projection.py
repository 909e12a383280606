from typing import ClassVar

from rest_framework.request import Request

from wallets.api.answers import ok
from wallets.api.authentication import tenant_of
from wallets.api.envelope import Envelope
from wallets.api.openapi.withdrawals import projection as documented
from wallets.api.serializers import projection_json, read_query, wallet_ref
from wallets.api.texts import PROJECTION
from wallets.api.views.base import ApiView
from wallets.domain.wallets import find_wallet
from wallets.domain.withdrawals.projection import project
from wallets.models import Scope


class ProjectionView(ApiView):
    scopes: ClassVar = {"GET": Scope.WALLETS_READ}

    @documented
    def get(self, request: Request, wallet_id: str) -> Envelope:
        ref = wallet_ref(wallet_id, tenant_of(request, reading=True))
        read_query(request)
        return ok(projection_json(project(find_wallet(ref))), PROJECTION)
