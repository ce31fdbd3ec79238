#!/usr/bin/env python3
"""The unit tests of the SAL scripts, with the real salobj and a ts_xml that has the Catcher."""

import pathlib
import unittest

import peers

peers.prepare()
ROOT = pathlib.Path(__file__).resolve().parents[2]
unittest.main(module=None, argv=["sal_scripts", "discover", "-s", str(ROOT / "scripts" / "sal" / "tests")], warnings="ignore")
