from django.apps import AppConfig
from django.contrib import admin


class LoginsConfig(AppConfig):
    """Slows down whoever guesses passwords of the admin.

    An app of its own, so that its table has nothing to do with those of money.
    """

    name = "wallets.logins"
    label = "logins"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Django's form needs models that are loaded.
        from wallets.logins.form import ThrottledLoginForm

        admin.site.login_form = ThrottledLoginForm
