"""docs/api.md says what is true today."""

import json
import re

from django.test import SimpleTestCase

from wallets.api.errors_table import PAGE, renewed
from wallets.api.urls import urlpatterns
from wallets.models import Status, Type
from wallets.tests.api_case import KEYS


class ApiPageTest(SimpleTestCase):
    def setUp(self) -> None:
        self.page = PAGE.read_text(encoding="utf-8")

    def test_lists_the_errors_of_the_catalogue(self) -> None:
        self.assertEqual(self.page, renewed(self.page), "Run: python3 -m wallets.api.errors_table")

    def test_mentions_every_address_type_and_status(self) -> None:
        for pattern in urlpatterns:
            if pattern.name:
                address = re.sub(r"<\w+:(\w+)>", r"{\1}", f"/{pattern.pattern}")
                self.assertIn(f"`{address}`", self.page)
        for value in (*Type.values, *Status.values):
            self.assertIn(f"`{value}`", self.page)

    def test_shows_answers_in_the_envelope(self) -> None:
        shown = re.findall(r"```json\n(.*?)```", self.page, re.DOTALL)
        self.assertGreater(len(shown), 8)
        for answer in shown:
            self.assertEqual(set(json.loads(answer)), KEYS)
