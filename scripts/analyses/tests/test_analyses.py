"""The module and the two examples, as functions and as programs."""

import json
import math
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(FOLDER))

import catcher_analysis  # noqa: E402
import detector_outliers  # noqa: E402
import seeing_drift  # noqa: E402


class Analyses(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.artifacts = Path(folder.name)

    def request(self, given):
        head = {"version": 1, "rule": "R", "run": "0123456789abcdef", "step": "s", "attempt": 1}
        return json.dumps({**head, "input": given, "artifacts": str(self.artifacts)})

    def call(self, analyse, given):
        return analyse(catcher_analysis.Request.read(self.request(given))).json()

    def program(self, name, given):
        return subprocess.run(
            [sys.executable, str(FOLDER / name)], input=self.request(given), capture_output=True, text=True, check=False
        )

    def test_a_drift_is_found_with_its_uncertainty(self):
        # 0.6 arcsec/h with a saw tooth of 0.01 arcsec.
        fwhm = [0.8 + 0.01 * n + (0.01 if n % 2 else -0.01) for n in range(30)]
        told = self.call(seeing_drift.analyse, {"fwhm": fwhm, "period": 60, "limit": 0.2, "now": 1000.0})
        self.assertEqual(told["severity"], "serious")
        self.assertAlmostEqual(told["values"]["drift"], 0.6, delta=3 * told["values"]["drift_sigma"])
        self.assertLess(told["values"]["drift_sigma"], 0.02)
        self.assertEqual(told["plot"]["panels"][0]["lines"][0]["times"][-1], 1000.0)
        self.assertEqual(len((self.artifacts / "seeing.csv").read_text().splitlines()), 31)

    def test_noise_is_no_drift(self):
        fwhm = [0.8 + (0.1 if n % 2 else -0.1) for n in range(30)]
        told = self.call(seeing_drift.analyse, {"fwhm": fwhm})
        self.assertEqual((told["severity"], told["reason"]), ("none", "no drift of the seeing"))

    def test_too_few_measurements_are_tried_again_later(self):
        ended = self.program("seeing_drift.py", {"fwhm": [0.8]})
        self.assertEqual(ended.returncode, catcher_analysis.TRY_LATER)
        self.assertIn("at least 5", ended.stderr)
        self.assertEqual(ended.stdout, "")

    def test_outliers_and_missing_detectors_are_named(self):
        values = {f"R22_S{n:02}": 7.0 + 0.01 * (n % 5) for n in range(20)}
        values["R22_S03"], values["R22_S07"] = 9.0, None
        told = self.call(detector_outliers.analyse, {"values": values})
        self.assertEqual(told["severity"], "warning")
        self.assertEqual(told["values"]["outliers"], ["R22_S03"])
        self.assertEqual(told["reason"], "outliers: R22_S03; missing: R22_S07")
        self.assertEqual(self.call(detector_outliers.analyse, {"values": [1.0] * 189})["severity"], "none")

    def test_a_program_answers_with_one_json_object(self):
        ended = self.program("detector_outliers.py", {"values": [1, 1, 1, 2]})
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual(json.loads(ended.stdout)["values"]["outliers"], ["3"])

    def test_an_error_is_one_line(self):
        ended = self.program("detector_outliers.py", {"values": []})
        self.assertEqual(ended.returncode, 1)
        self.assertEqual(ended.stderr, "ValueError: no detector has a number\n")

    def test_what_json_cannot_hold_becomes_null_and_nonsense_is_refused(self):
        Result = catcher_analysis.Result
        self.assertEqual(Result(values={"a": math.nan, "b": [math.inf]}).json()["values"], {"a": None, "b": [None]})
        for wrong in [Result(severity="bad"), Result(severity=5), Result(units={"a": "s"})]:
            with self.assertRaises(ValueError):
                wrong.json()


if __name__ == "__main__":
    unittest.main()
