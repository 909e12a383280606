from rest_framework.request import Request

from wallets.api.answers import ok
from wallets.api.catalogue import CATALOGUE
from wallets.api.envelope import Envelope
from wallets.api.openapi.operations import errors as documented
from wallets.api.serializers import refuse_parameters
from wallets.api.texts import ERRORS
from wallets.api.views.base import ApiView

_LISTED = [entry.as_json() for entry in CATALOGUE.values()]


class ErrorsView(ApiView):
    @documented
    def get(self, request: Request) -> Envelope:
        refuse_parameters(request)
        return ok({"errors": _LISTED}, ERRORS)
