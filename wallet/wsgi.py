"""The WSGI application, for gunicorn and other servers."""

import logging
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wallet.settings")

application = get_wsgi_application()

if not settings.API_AUTH_REQUIRED:
    logging.getLogger("wallets.api").warning(
        "The API is open: anybody who can reach it can move money. "
        "Set API_AUTH_REQUIRED=True, and create keys with manage.py create_api_key."
    )
