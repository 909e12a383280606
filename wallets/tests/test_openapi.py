"""The OpenAPI document is valid, complete and true."""

import json
import re
from typing import Any

import schemathesis
import yaml
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import LiveServerTestCase, TestCase, override_settings
from django.urls import get_resolver
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft4Validator  # type: ignore[import-untyped]
from schemathesis import GenerationMode

from wallets.api.catalogue import CATALOGUE
from wallets.api.urls import urlpatterns
from wallets.domain.outcomes import Verdict
from wallets.tests.api_case import FUTURE, ApiCase, decoded
from wallets.tests.money import finish, make_due, make_wallet, take

UNDOCUMENTED = {"/api/docs/"}  # a page for people


def documented_nulls(schema: Any) -> Any:
    """OpenAPI 3.0 says ``nullable``; JSON Schema lists null among the types."""
    if isinstance(schema, list):
        return [documented_nulls(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: documented_nulls(value) for name, value in schema.items()}
    if plain.pop("nullable", False):
        plain["type"] = [plain["type"], "null"]
    return plain


class DocumentTest(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.document = self.client.get("/api/schema/").json()

    def check(self, instance: Any, schema: Any) -> None:
        root = {**schema, "components": self.document["components"]}
        Draft4Validator(documented_nulls(root)).validate(instance)

    def operation(self, method: str, path: str) -> Any:
        template = re.sub(
            r"^/api/wallets/(?!deposits/)[^/?]+/", "/api/wallets/{wallet_id}/", path.split("?")[0]
        )
        template = re.sub(r"/withdrawals/[^/?]+/", "/withdrawals/{withdrawal_id}/", template)
        return self.document["paths"][template][method.lower()]

    def conforms(self, method: str, path: str, response: Any) -> None:
        answers = self.operation(method, path)["responses"]
        self.assertIn(str(response.status_code), answers)
        answer = answers[str(response.status_code)]
        self.check(response.json(), answer["content"]["application/json"]["schema"])
        for header in set(answer.get("headers", {})) - {"Idempotent-Replayed", "Retry-After"}:
            self.assertIn(header, response.headers)

    def test_is_valid_and_made_without_a_warning(self) -> None:
        call_command("spectacular", validate=True, fail_on_warn=True, file="/dev/null")

    def test_is_served_as_json_and_as_yaml(self) -> None:
        for query, accept, kind in [
            ("", "*/*", "json"),
            ("", "application/json", "json"),
            ("", "application/yaml", "yaml"),
            ("", "application/vnd.oai.openapi", "json"),
            ("?format=json", "application/yaml", "json"),
            ("?format=yaml", "application/json", "yaml"),
        ]:
            response = self.client.get(f"/api/schema/{query}", headers={"Accept": accept})
            self.assertEqual(response.headers["Content-Type"], f"application/{kind}")
            self.assertEqual(yaml.safe_load(response.content), self.document)

    def test_refuses_other_formats(self) -> None:
        for query in ("?format=xml", "?format=", "?version=2", "?lang=fa"):
            self.refused(self.client.get(f"/api/schema/{query}"), 400, "validation_error")

    def test_covers_every_route(self) -> None:
        routes = {f"/{pattern.pattern}" for pattern in urlpatterns if pattern.name}
        routes = {re.sub(r"<\w+:(\w+)>", r"{\1}", route) for route in routes}
        self.assertEqual(set(self.document["paths"]), routes - UNDOCUMENTED)
        self.assertTrue(get_resolver().url_patterns)

    def test_documents_only_statuses_of_the_catalogue_each_with_an_example_that_fits(self) -> None:
        known = {entry.status for entry in CATALOGUE.values()}
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                for status, answer in operation["responses"].items():
                    with self.subTest(path=path, method=method, status=status):
                        self.assertTrue(status.startswith("2") or int(status) in known)
                        content = answer["content"]["application/json"]
                        if path != "/api/schema/" or status != "200":
                            self.assertTrue(content["examples"])
                        for example in content.get("examples", {}).values():
                            self.check(example["value"], content["schema"])
                            self.assertEqual(example["value"]["status"], int(status))

    def test_shows_requests_that_fit(self) -> None:
        for methods in self.document["paths"].values():
            for operation in methods.values():
                for content in operation.get("requestBody", {}).get("content", {}).values():
                    for example in content["examples"].values():
                        self.check(example["value"], content["schema"])

    def test_describes_the_answers_that_come(self) -> None:
        wallet_id = make_wallet(100)
        wallet = f"/api/wallets/{wallet_id}/"
        [tried] = make_due(wallet_id, 50)
        finish(take().claimed[0], Verdict.PAID)
        [planned] = make_due(wallet_id, 5)
        bulk = "/api/wallets/deposits/bulk/"
        withdrawal = {"amount": 1, "execute_at": FUTURE}
        cases: list[tuple[str, str, Any, int]] = [
            ("POST", "/api/wallets/", {}, 201),
            ("POST", "/api/wallets/", {"currency": "TOM"}, 400),
            ("POST", "/api/wallets/", [], 400),
            ("POST", f"{wallet}deposit/", {"amount": 1}, 201),
            ("POST", f"{wallet}deposit/", {"amount": "1"}, 400),
            ("POST", f"{wallet}deposit/", {"amount": 2**63 - 1}, 409),
            ("POST", f"{wallet}deposit/", {"amount": 1, "currency": "USD"}, 409),
            ("POST", "/api/wallets/0/deposit/", {"amount": 1}, 404),
            ("POST", f"{wallet}withdrawals/", withdrawal, 201),
            ("POST", f"{wallet}withdrawals/", {"amount": 1, "execute_at": "1999"}, 400),
            ("GET", "/api/wallets/?limit=1", None, 200),
            ("GET", "/api/wallets/?min_balance=x", None, 400),
            ("POST", bulk, {"items": [{"wallet": wallet_id, "amount": 1}]}, 201),
            ("POST", bulk, {"items": [{"wallet": 0, "amount": 1}]}, 409),
            ("POST", bulk, {"items": [{}], "mode": "each"}, 200),
            ("POST", bulk, {"items": []}, 400),
            ("GET", wallet, None, 200),
            ("GET", f"{wallet}?x=1", None, 400),
            ("GET", "/api/wallets/x/", None, 404),
            ("GET", f"{wallet}transactions/?limit=1", None, 200),
            ("GET", f"{wallet}transactions/?limit=0", None, 400),
            ("GET", f"{wallet}withdrawals/?limit=1", None, 200),
            ("GET", f"{wallet}withdrawals/?in_doubt=yes", None, 400),
            ("GET", f"{wallet}withdrawals/{planned}/", None, 200),
            ("GET", f"{wallet}withdrawals/0/", None, 404),
            ("GET", f"{wallet}projection/", None, 200),
            ("GET", f"{wallet}balance/?at=2026-01-01T00:00:00Z", None, 200),
            ("GET", f"{wallet}balance/", None, 400),
            ("GET", f"{wallet}balance/?at=2999-01-01T00:00:00Z", None, 400),
            ("GET", f"{wallet}statement/?limit=1", None, 200),
            ("GET", f"{wallet}statement/?format=xml", None, 400),
            ("GET", f"{wallet}projection/?x=1", None, 400),
            ("GET", f"{wallet}withdrawals/{tried}/", None, 200),
            ("POST", f"{wallet}withdrawals/{planned}/reschedule/", {"execute_at": FUTURE}, 200),
            ("POST", f"{wallet}withdrawals/{planned}/reschedule/", {}, 400),
            ("POST", f"{wallet}withdrawals/{tried}/reschedule/", {"execute_at": FUTURE}, 409),
            ("POST", f"{wallet}withdrawals/{planned}/cancel/", {}, 200),
            ("POST", f"{wallet}withdrawals/{planned}/cancel/", {"why": 1}, 400),
            ("POST", f"{wallet}withdrawals/{tried}/cancel/", {}, 409),
            ("POST", f"{wallet}withdrawals/0/cancel/", {}, 404),
            ("GET", "/api/errors/", None, 200),
            ("GET", "/health/", None, 200),
        ]
        for method, path, body, status in cases:
            with self.subTest(method=method, path=path, status=status):
                raw = b"" if body is None else json.dumps(body).encode()
                response = self.client.generic(method, path, raw, "application/json")
                decoded(response, status)
                self.conforms(method, path, response)

    def test_describes_the_headers_of_idempotent_requests(self) -> None:
        for methods in self.document["paths"].values():
            if "post" not in methods:
                continue
            names = [each["name"] for each in methods["post"]["parameters"]]
            self.assertIn("Idempotency-Key", names)
            answers = methods["post"]["responses"]
            self.assertIn("Retry-After", answers["503"]["headers"])
            done = answers.get("201", answers.get("200"))
            self.assertIn("Idempotent-Replayed", done["headers"])
            if methods["post"]["operationId"] != "depositInBulk":  # there it is an item's
                self.assertIn("422", answers)


class PageTest(ApiCase, TestCase):
    def test_needs_nothing_from_the_internet(self) -> None:
        page = self.client.get("/api/docs/").content.decode()
        self.assertIn("/api/schema/", page)
        loaded = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
        self.assertGreater(len(loaded), 2)
        for address in loaded:
            self.assertTrue(address.startswith("/static/"), address)
            self.assertIsNotNone(finders.find(address.removeprefix("/static/")), address)

    def test_refuses_parameters(self) -> None:
        self.refused(self.client.get("/api/docs/?lang=fa"), 400, "validation_error")


# So large that lists longer than they may be are refused for that and not for their bytes.
@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=16_777_216)
class FuzzTest(LiveServerTestCase):
    """Schemathesis, with every check but one, against a running server.

    The one is that requests which fit the document are accepted: no document can say that a time
    has to lie in the future, a cursor has to be one of ours, and a key has to be new.
    """

    def setUp(self) -> None:
        super().setUp()
        make_wallet(1_000)
        self.schema = schemathesis.openapi.from_url(f"{self.live_server_url}/api/schema/")

    def fuzz(self, mode: GenerationMode, examples: int) -> set[int]:
        statuses: set[int] = set()
        skipped = [schemathesis.checks.CHECKS.get_one("positive_data_acceptance")]
        for result in self.schema.get_all_operations():
            operation = result.ok()  # type: ignore[union-attr]
            if mode is GenerationMode.NEGATIVE and operation.path in ("/health/", "/api/errors/"):
                continue  # there is nothing to get wrong

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def answers_as_documented(case: Any) -> None:
                response = case.call_and_validate(excluded_checks=skipped)
                statuses.add(response.status_code)

            answers_as_documented()
        return statuses

    def test_answers_good_requests_as_documented(self) -> None:
        statuses = self.fuzz(GenerationMode.POSITIVE, 15)
        self.assertLessEqual({200, 201, 404}, statuses)
        self.assertFalse({status for status in statuses if status >= 500})

    def test_refuses_bad_requests_as_documented(self) -> None:
        statuses = self.fuzz(GenerationMode.NEGATIVE, 15)
        self.assertLessEqual({400, 404}, statuses)
        self.assertFalse({status for status in statuses if status >= 500})
