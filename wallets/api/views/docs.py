"""The OpenAPI document and a page to read it on, without anything from the internet."""

from functools import lru_cache
from typing import Any

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.request import Request

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
        response: HttpResponse = super().get(request, *args, **kwargs)
        return response
