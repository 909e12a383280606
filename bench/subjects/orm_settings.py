"""The service's settings with nothing around the one view that is measured."""

from wallet.settings import *  # noqa: F403

ROOT_URLCONF = "bench.subjects.orm_deposit"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]  # sets Content-Length
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}
