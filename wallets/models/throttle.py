from django.db import models

from wallets.models.tenant import ApiKey


class RequestCount(models.Model):
    """How many requests a key has made in the minute it last made one: one row for each key."""

    key = models.OneToOneField(ApiKey, on_delete=models.CASCADE, primary_key=True)
    minute = models.BigIntegerField()  # since the epoch, by the database's clock
    count = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.key_id}: {self.count}"
