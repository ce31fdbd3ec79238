#!/usr/bin/env python
"""See catcher_scripts.trigger_rule."""

import asyncio
import pathlib
import sys

# Where the package is installed, that one is taken.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "python"))

from catcher_scripts.trigger_rule import TriggerRule  # noqa: E402

asyncio.run(TriggerRule.amain())
