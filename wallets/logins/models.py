from django.db import models
from django.db.models.functions import Now


class LoginAttempt(models.Model):
    """An attempt to log in that has not succeeded.

    Name and address are kept as keyed digests: people type passwords where the name belongs.
    """

    name = models.CharField(max_length=64)
    address = models.CharField(max_length=64)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(name="login_attempt_name", fields=["name", "at"]),
            models.Index(name="login_attempt_address", fields=["address", "at"]),
            models.Index(name="login_attempt_at", fields=["at"]),
        ]

    def __str__(self) -> str:
        return f"login attempt {self.pk}"
