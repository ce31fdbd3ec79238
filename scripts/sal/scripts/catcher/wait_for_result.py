#!/usr/bin/env python
"""See catcher_scripts.wait_for_result."""

import asyncio
import pathlib
import sys

# Where the package is installed, that one is taken.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "python"))

from catcher_scripts.wait_for_result import WaitForResult  # noqa: E402

asyncio.run(WaitForResult.amain())
