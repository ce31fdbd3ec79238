"""Tests that need nothing but Python: syntax, schemas, executables, and what the Catcher's events mean.

    python3 -m unittest discover -s scripts/sal/tests
"""

import ast
import os
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python"))

from catcher_scripts import judge, schemas  # noqa: E402

SCRIPTS = sorted((ROOT / "scripts").rglob("*.py"))


class PlainTestCase(unittest.TestCase):
    def test_syntax(self) -> None:
        files = sorted(ROOT.rglob("*.py"))
        self.assertGreater(len(files), 15)
        for path in files:
            with self.subTest(path=path.name):
                ast.parse(path.read_text(), filename=str(path))

    def test_scripts_are_what_a_queue_shows(self) -> None:
        self.assertEqual([p.stem for p in SCRIPTS], sorted(schemas.ALL))
        for path in SCRIPTS:
            with self.subTest(path=path.name):
                self.assertTrue(os.access(path, os.X_OK))
                self.assertTrue(path.read_text().startswith("#!/usr/bin/env python\n"))
                self.assertNotIn(path.name[0], "._")

    def test_each_script_starts_the_class_of_its_schema(self) -> None:
        for path in SCRIPTS:
            with self.subTest(path=path.name):
                title = schemas.ALL[path.stem]["title"]
                name = title.removesuffix(" v1")
                module = ast.parse((ROOT / "python" / "catcher_scripts" / path.name).read_text())
                classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
                self.assertEqual([c.name for c in classes], [name])
                methods = {n.name for n in classes[0].body if isinstance(n, ast.AsyncFunctionDef)}
                self.assertIn("act", methods)
                self.assertIn(f"asyncio.run({name}.amain())", path.read_text())

    def test_schemas(self) -> None:
        for name, schema in schemas.ALL.items():
            with self.subTest(name=name):
                self.assertEqual(schema["$schema"], "http://json-schema.org/draft-07/schema#")
                self.assertRegex(schema["title"], r"^[A-Z][A-Za-z]+ v1$")
                self.assertIs(schema["additionalProperties"], False)
                self.assertLessEqual(set(schema["required"]), set(schema["properties"]))
                for key, value in schema["properties"].items():
                    self.assertTrue(value["description"].endswith((".", "?")), key)
                    # What is not required has a default, or is one of several that exclude each other.
                    free = key in schema["required"] or "oneOf" in schema
                    self.assertTrue("default" in value or free, key)
                    if "enum" in value:
                        self.assertIn(value.get("default"), value["enum"], key)

    def test_schemas_with_a_validator(self) -> None:
        try:
            import jsonschema
        except ImportError:
            self.skipTest("jsonschema is not installed")
        good = {
            "trigger_rule": [{"rule": "A"}, {"rule": "A", "parameters": {"x": 1}, "fail_from": "serious"}],
            "enable_rules": [{"enable": ["A"]}],
            "add_rule": [{"path": "a.yaml"}, {"definition": "rules: []", "enabled": False}],
            "mute": [{"alarm": ".*", "duration": 60, "severity": "warning"}],
            "acknowledge": [{"alarm": "A", "take_back": True}],
            "wait_for_result": [{"rule": "A", "timeout": 5}],
        }
        bad = {
            "trigger_rule": [{}, {"rule": ""}, {"rule": "A", "fail_from": "none"}, {"rule": "A", "timeout": 0}],
            "enable_rules": [{"enable": "A"}, {"enabled": ["A"]}],
            "add_rule": [{}, {"path": "a", "definition": "b"}],
            "mute": [{"alarm": "A", "severity": "high"}, {"alarm": "A", "duration": -1}],
            "acknowledge": [{"alarm": 3}],
            "wait_for_result": [{"rule": "A", "catcher": 0}],
        }
        for name, schema in schemas.ALL.items():
            jsonschema.Draft7Validator.check_schema(schema)
            validator = jsonschema.Draft7Validator(schema)
            for config in good[name]:
                with self.subTest(name=name, config=config):
                    self.assertEqual(list(validator.iter_errors(config)), [])
            for config in bad[name]:
                with self.subTest(name=name, config=config):
                    self.assertTrue(list(validator.iter_errors(config)))


class JudgeTestCase(unittest.TestCase):
    def test_states(self) -> None:
        self.assertEqual([s for s in range(1, 9) if judge.is_final(s)], [4, 5, 6, 7, 8])

    def test_runs(self) -> None:
        def problem(state: int, severity: int, fail_from: str, error: str = "") -> str:
            return judge.problem_of_run("R", "id", state, severity, error, fail_from)

        self.assertEqual(problem(4, 4, "never"), "")
        self.assertEqual(problem(4, 2, "serious"), "")
        self.assertEqual(problem(4, 3, "serious"), "run id of rule R ended with severity serious")
        self.assertEqual(problem(5, 1, "never", "no data"), "run id of rule R failed: no data")
        self.assertEqual(problem(8, 1, "never"), "run id of rule R was skipped")

    def test_definitions(self) -> None:
        self.assertEqual(judge.problem_of_definition("rules: []"), "")
        self.assertIn("empty", judge.problem_of_definition("  \n"))
        self.assertIn("60001 bytes", judge.problem_of_definition("x" * 60_001))
        # Two bytes each.
        self.assertIn("bytes", judge.problem_of_definition("é" * 30_001))


if __name__ == "__main__":
    unittest.main()
