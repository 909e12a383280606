"""The benchmark still runs, and reports what it found."""

import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from unittest import skipUnless

from django.db import connection
from django.test import SimpleTestCase

from bench.cases import CASES
from bench.plots import bars
from bench.report import as_text, write_page
from bench.results import CaseResult, Row, Table, Target, ratio
from bench.roundtrips import _Messages

ROOT = Path(__file__).resolve().parents[2]

FOUND = CaseResult(
    case="case",
    title="A case",
    tables=[
        Table(
            title="things <&>",
            columns={"rate": "things/s"},
            rows=[
                Row.of("service", [{"rate": 900.0}, {"rate": 1_100.0}, {"rate": 1_000.0}]),
                Row.of("bare", [{"rate": 2_000.0}]),
            ],
            plot="rate",
        )
    ],
    targets=[
        Target("share", 0.5, 0.5, unit="%"),
        Target("p99", 260.0, 250.0, at_least=False, unit="ms"),
    ],
    notes=["a note"],
)


class ReportTest(SimpleTestCase):
    def test_compares_the_subjects_of_the_same_round(self) -> None:
        ours = [{"rate": 100.0}, {"rate": 10.0}, {"rate": 60.0}]
        ceiling = [{"rate": 200.0}, {"rate": 20.0}, {"rate": 100.0}]
        self.assertEqual(ratio(ours, ceiling, "rate"), 0.5)

    def test_says_which_targets_were_met(self) -> None:
        text = as_text(FOUND)
        self.assertIn("met: share: 50 % (asked ≥ 50 %)", text)
        self.assertIn("MISSED: p99: 260 ms (asked ≤ 250 ms)", text)
        self.assertIn("1,000 [900-1,100]", text)

    def test_writes_the_page_and_keeps_what_people_wrote(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            page, plots = Path(directory) / "performance.md", Path(directory) / "performance"
            write_page(page, plots, {"Processor": "one"}, {"size": "full"}, [])
            page.write_text(page.read_text().replace("# Performance", "# Performance\n\nBefore."))
            page.write_text(page.read_text() + "After.\n")
            write_page(page, plots, {"Processor": "two"}, {"size": "full"}, [FOUND])
            text = page.read_text()
            results = json.loads((plots / "results.json").read_text())
            self.assertTrue((plots / "case-1.svg").exists())
        self.assertIn("Before.", text)
        self.assertTrue(text.endswith("After.\n"))
        self.assertIn("Processor: two", text)
        self.assertNotIn("Processor: one", text)
        self.assertEqual(results["cases"][0]["targets"][0]["met"], True)

    def test_draws_plots_that_are_xml(self) -> None:
        drawn = ElementTree.fromstring(bars(FOUND.tables[0]))  # noqa: S314 - our own
        rectangles = drawn.findall("{http://www.w3.org/2000/svg}rect")
        self.assertEqual(len(rectangles), 2)


class RoundTripTest(SimpleTestCase):
    """Messages as clients send them: type, length, content."""

    startup = (12).to_bytes(4) + (196_608).to_bytes(4) + b"abcd"
    query = b"Q" + (9).to_bytes(4) + b"BEGIN"

    def test_counts_queries_and_nothing_else(self) -> None:
        messages = _Messages()
        password = b"p" + (5).to_bytes(4) + b"Q"
        self.assertEqual(messages.round_trips(self.startup + password), 0)
        self.assertEqual(messages.round_trips(self.query * 2), 2)

    def test_counts_messages_that_arrive_in_pieces(self) -> None:
        messages = _Messages()
        sent = self.startup + self.query * 3
        self.assertEqual(sum(messages.round_trips(bytes([byte])) for byte in sent), 3)

    def test_knows_a_request_for_encryption(self) -> None:
        messages = _Messages()
        encryption = (8).to_bytes(4) + (80_877_103).to_bytes(4)
        self.assertEqual(messages.round_trips(encryption + self.startup + self.query), 1)


@skipUnless(connection.vendor == "postgresql", "the benchmark is about PostgreSQL")
class SmokeTest(SimpleTestCase):
    def test_measures_every_case(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "results.json"
            done = subprocess.run(
                [sys.executable, "-m", "bench", "--size=smoke", f"--json={path}", _admin_url()],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            # Of so few calls nothing is expected but that they were made.
            self.assertIn(done.returncode, (0, 1), done.stderr)
            found = json.loads(path.read_text())
        self.assertEqual([case["case"] for case in found["cases"]], list(CASES))
        for case in found["cases"]:
            for table in case["tables"]:
                for row in table["rows"]:
                    for name, values in row["values"].items():
                        self.assertGreater(values["median"], 0, (case["case"], name))


def _admin_url() -> str:
    """Of the server that the tests run on."""
    given = connection.settings_dict
    user, password = given["USER"] or "postgres", given["PASSWORD"]
    credentials = f"{user}:{password}" if password else user
    return f"--database-url=postgres://{credentials}@{given['HOST']}:{given['PORT']}/postgres"
