"""What all views of the API share."""

from typing import Any, ClassVar

from django.conf import settings
from rest_framework.request import Request
from rest_framework.views import APIView

from wallets.api.envelope import Envelope
from wallets.api.refusals import Refusal
from wallets.api.texts import METHODS
from wallets.models import Scope


class ApiView(APIView):
    # The scope a key needs for each method.
    scopes: ClassVar[dict[str, Scope]] = {}

    @property
    def default_response_headers(self) -> dict[str, str]:
        # DRF would send Allow and Vary with every answer.
        return {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Raises DisallowedHost. The middleware that does this for the site answers in HTML.
        request.get_host()
        if settings.SECURE_SSL_REDIRECT and not request.is_secure() and self.needs_https:
            # A redirect would turn a POST into a GET, after the secret has been sent in the clear.
            raise Refusal("https_required", "The request arrived over plain HTTP.")
        super().initial(request, *args, **kwargs)

    needs_https = True

    def options(  # type: ignore[override]
        self, request: Request, *args: Any, **kwargs: Any
    ) -> Envelope:
        allowed = self.allowed_methods
        return Envelope(200, METHODS.en, METHODS, {"allow": allowed}, {"Allow": ", ".join(allowed)})


class PublicView(ApiView):
    """For anybody: a key is neither needed nor looked at."""

    authentication_classes = ()
    permission_classes = ()
