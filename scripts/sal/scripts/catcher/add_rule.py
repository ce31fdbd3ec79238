#!/usr/bin/env python
"""See catcher_scripts.add_rule."""

import asyncio
import pathlib
import sys

# Where the package is installed, that one is taken.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "python"))

from catcher_scripts.add_rule import AddRule  # noqa: E402

asyncio.run(AddRule.amain())
