from rest_framework.request import Request

from wallets.api.answers import ok
from wallets.api.catalogue import CATALOGUE
from wallets.api.envelope import Envelope
from wallets.api.openapi.operations import errors as documented
from wallets.api.serializers import read_query
from wallets.api.texts import ERRORS
from wallets.api.views.base import PublicView

_LISTED = [entry.as_json() for entry in CATALOGUE.values()]


class ErrorsView(PublicView):
    @documented
    def get(self, request: Request) -> Envelope:
        read_query(request)
        return ok({"errors": _LISTED}, ERRORS)
