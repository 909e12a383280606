"""Make sure that somebody can log in to the admin of a development database, and say who."""

import os

import django
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

NAME = PASSWORD = "admin"  # noqa: S105 - refused without DEBUG, and said so


def development_login() -> str:
    """``admin``/``admin`` where there is no superuser yet, and never without DEBUG."""
    if not settings.DEBUG:
        return "none made, because DEBUG=False: see python3 manage.py createsuperuser"
    users = get_user_model().objects
    with transaction.atomic():
        if not users.filter(is_superuser=True).exists():
            users.create_superuser(username=NAME, email="", password=PASSWORD)
    user = users.filter(username=NAME, is_superuser=True, is_active=True).first()
    if user is not None and user.check_password(PASSWORD):
        return f"{NAME} / {PASSWORD}   (for development only: made because DEBUG=True)"
    return "the superuser that this database has already"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wallet.settings")
    django.setup()
    print(development_login())
