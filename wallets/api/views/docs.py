"""The OpenAPI document and a page to read it on, without anything from the internet."""

import re
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from typing import Any

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.request import Request

from wallet.security_headers import PAGE_POLICY
from wallets.api.fields import one_of
from wallets.api.openapi.operations import openapi as documented
from wallets.api.serializers import read_query
from wallets.api.views.base import PublicView

_MEDIA_TYPES = {"json": "application/json", "yaml": "application/yaml"}


class SchemaView(PublicView):
    """Not in the envelope: what reads it expects OpenAPI."""

    @documented
    def get(self, request: Request) -> HttpResponse:
        values = read_query(request, {"format": one_of(list(_MEDIA_TYPES))})
        by_header = "yaml" if "yaml" in request.META.get("HTTP_ACCEPT", "") else "json"
        format = values.get("format", by_header)
        content = _document(format)
        return HttpResponse(content, content_type=_MEDIA_TYPES[format])


@lru_cache
def _document(format: str) -> bytes:
    """The same until the process ends; making it takes a tenth of a second."""
    generator = SchemaGenerator()
    schema = generator.get_schema(request=None, public=True)
    renderer = OpenApiYamlRenderer() if format == "yaml" else OpenApiJsonRenderer()
    content: bytes = renderer.render(schema)
    return content


class DocsView(PublicView, SpectacularSwaggerView):
    schema = None

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        read_query(request)
        response = super().get(request, *args, **kwargs)
        response.add_post_render_callback(_allow_its_own_script)
        return response


def _allow_its_own_script(response: HttpResponse) -> None:
    """The one script in the page runs because it is this one, and no other in its place does.

    Swagger UI writes styles into its elements, which no hash can allow.
    """
    inline = re.findall(rb"<script>(.*?)</script>", response.content, re.DOTALL)
    digests = [b64encode(sha256(script).digest()).decode() for script in inline]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    response.headers["Content-Security-Policy"] = PAGE_POLICY.replace(
        "script-src 'self'", f"script-src 'self' {allowed}"
    ).replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
    # For a login in a window of its own, which ours has not.
    del response.headers["Cross-Origin-Opener-Policy"]
