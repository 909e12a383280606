"""One catalogue holds every code, and every code is in use."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

from django.test import TestCase

import wallets.domain
from wallets.api.catalogue import CATALOGUE
from wallets.api.errors import CODE_BY_STATUS
from wallets.api.openapi import examples
from wallets.domain.errors import DomainError
from wallets.tests.api_case import ApiCase, decoded

API = Path(__file__).resolve().parents[1] / "api"
# Where the code stands among the arguments.
RAISERS = {"Refusal": 0, "Unfit": 0, "error": 0, "Problem": 2}
PERSIAN = re.compile(r"[\u0600-\u06ff]")


def domain_errors(parent: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    for child in parent.__subclasses__():
        yield child
        yield from domain_errors(child)


def raised_in_the_api() -> Iterator[tuple[str, str]]:
    """Every code in the source, and where; "?" for one that is computed."""
    for path in sorted(API.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            position = RAISERS.get(node.func.id)
            if position is None:
                continue
            where = f"{path.relative_to(API)}:{node.lineno}"
            code = node.args[position]
            yield (str(code.value) if isinstance(code, ast.Constant) else "?"), where


class CatalogueTest(ApiCase, TestCase):
    def test_has_every_code_the_domain_raises(self) -> None:
        for module in pkgutil.walk_packages(wallets.domain.__path__, "wallets.domain."):
            importlib.import_module(module.name)
        found = list(domain_errors())
        self.assertGreaterEqual(len(found), 6)
        for error in found:
            self.assertIn(error.code, CATALOGUE, error)
            self.assertFalse(CATALOGUE[error.code].of_field, error)

    def test_has_every_code_the_api_raises(self) -> None:
        found = list(raised_in_the_api())
        self.assertGreater(len(found), 40)
        for code, where in found:
            # These pass on the code of what they were given.
            if code == "?" and where.startswith(("errors.py", "fields.py", "middleware.py")):
                continue
            if where.startswith("openapi/examples.py"):
                continue
            self.assertIn(code, CATALOGUE, where)

    def test_has_no_code_that_nothing_raises(self) -> None:
        used = {code for code, _ in raised_in_the_api()}
        used |= {error.code for error in domain_errors()}
        used |= set(CODE_BY_STATUS.values()) | {"validation_error"}
        self.assertEqual(set(CATALOGUE) - used, set())

    def test_says_everything_in_both_languages(self) -> None:
        for entry in CATALOGUE.values():
            for text in (entry.message, entry.what_to_do):
                self.assertTrue(text.en.isascii() and len(text.en) > 8, entry.code)
                self.assertRegex(text.fa, PERSIAN, entry.code)
                self.assertNotRegex(text.fa, r"[كي]", f"Arabic letters in {entry.code}")
                self.assertRegex(text.en + text.fa, r"\.$", entry.code)

    def test_gives_each_code_a_status_of_an_error(self) -> None:
        for entry in CATALOGUE.values():
            self.assertTrue(400 <= entry.status < 600, entry.code)
            self.assertTrue(entry.status == 400 or not entry.of_field, entry.code)
        for status, code in CODE_BY_STATUS.items():
            self.assertEqual(CATALOGUE[code].status, status)

    def test_shows_an_example_of_every_code(self) -> None:
        for entry in CATALOGUE.values():
            shown = examples.of_code(entry.code)
            self.assertEqual(shown["status"], entry.status)
            codes = [problem["code"] for problem in shown["data"].get("errors", [])]
            self.assertIn(entry.code, [shown["data"]["code"], *codes])

    def test_is_listed_over_http(self) -> None:
        listed = decoded(self.client.get("/api/errors/"), 200)["errors"]
        self.assertEqual([each["code"] for each in listed], list(CATALOGUE))
        for each in listed:
            self.assertEqual(list(each), ["code", "status", "of_field", "message", "what_to_do"])
            self.assertEqual(set(each["what_to_do"]), {"en", "fa"})
