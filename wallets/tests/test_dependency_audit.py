"""Vulnerable dependencies fail the checks; a closed network does not, and is not passed over."""

import contextlib
import io
import json
import subprocess
from typing import Any
from unittest import mock

from django.test import SimpleTestCase

from scripts import audit_dependencies

SOUND = {"name": "sound", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}


class DependencyAuditTest(SimpleTestCase):
    def audit(self, **run: Any) -> tuple[int, str]:
        said = io.StringIO()
        with (
            mock.patch.object(audit_dependencies.subprocess, "run", **run),
            contextlib.redirect_stdout(said),
        ):
            return audit_dependencies.main(), said.getvalue()

    def found(self, *dependencies: object) -> tuple[int, str]:
        text = json.dumps({"dependencies": dependencies})
        return self.audit(return_value=subprocess.CompletedProcess([], 1, text, ""))

    def test_fails_for_a_vulnerable_package_and_names_the_cure(self) -> None:
        code, said = self.found(SOUND, BAD)
        self.assertEqual(code, 1)
        self.assertIn("bad 2: CVE-1 (fixed in 3)", said)

    def test_passes_when_all_are_sound(self) -> None:
        self.assertEqual(self.found(SOUND), (0, "1 packages looked up, 0 vulnerable.\n"))

    def test_says_loudly_when_it_could_not_look(self) -> None:
        refused = subprocess.CompletedProcess([], 1, "", "ERROR: no route\n")
        for run in (
            {"return_value": refused},
            {"side_effect": subprocess.TimeoutExpired("pip-audit", 120)},
        ):
            code, said = self.audit(**run)
            self.assertEqual(code, 0)
            self.assertIn("DEPENDENCIES WERE NOT AUDITED", said)
