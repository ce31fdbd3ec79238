#!/usr/bin/env python3
"""Make traces of the Watcher's own threshold handler for the test `alarms::tests::levels`.

A JSON object a line: `levels` (warning, serious, critical; null where there is none), `below` (small values are bad),
`hysteresis`, `refused`, and `steps`: the value, and the severity that followed from it and the severity before.

    WATCHER_DIR=/path/to/ts_watcher tests/interop/threshold_traces.py | gzip -n9 > tests/data/threshold_traces.jsonl.gz
"""

import enum
import importlib.util
import json
import os
import pathlib
import random
import sys
import types


class AlarmSeverity(enum.IntEnum):
    """The SAL enumeration."""

    NONE = 1
    WARNING = 2
    SERIOUS = 3
    CRITICAL = 4


def load_handler(watcher_dir):
    """Import the one file with the class, and stand in for what it imports."""

    def module(name, **names):
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(names)

    for name in ("lsst", "lsst.ts", "lsst.ts.xml", "lsst.ts.xml.enums", "watcher"):
        module(name)
    module("lsst.ts.utils", current_tai=lambda: 0.0)
    sys.modules["lsst.ts"].utils = sys.modules["lsst.ts.utils"]
    module("lsst.ts.xml.enums.Watcher", AlarmSeverity=AlarmSeverity)
    module("watcher.base_rule", NoneNoReason=(AlarmSeverity.NONE, ""))
    path = pathlib.Path(watcher_dir) / "python/lsst/ts/watcher/threshold_handler.py"
    spec = importlib.util.spec_from_file_location("watcher.threshold_handler", path)
    handler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(handler)
    return handler.ThresholdHandler


def trace(handler_class, rng):
    below = rng.random() < 0.5
    start = rng.choice([0, 10, -3.5, round(rng.uniform(-100, 100), 2)])
    step = rng.choice([0, 0.1, 1, 2.5, -1])
    levels = [start, start + step * rng.choice([1, 1, 1.5]), start + step * rng.choice([2, 3])]
    if below:
        levels.reverse()
    levels = [None if rng.random() < 0.2 else level for level in levels]
    hysteresis = rng.choice([0, 0.1, 0.5, 0.9, abs(step) / 1.1, abs(step) * 0.5, -0.1])
    one = {"levels": levels, "below": below, "hysteresis": hysteresis, "refused": False, "steps": []}
    try:
        handler = handler_class(*levels, 0, 0, 0, hysteresis, not below, "value", "unit")
    except ValueError:
        one["refused"] = True
        return one
    edges = [level + sign * hysteresis for level in levels if level is not None for sign in (-1, 0, 1)]
    severity = AlarmSeverity.NONE
    for _ in range(25):
        value = rng.choice([rng.choice(edges), rng.uniform(min(edges) - 1, max(edges) + 1)])
        value += rng.choice([0, 0, 1e-9, -1e-9])
        severity, _reason = handler.get_severity_reason(value, severity, "")
        one["steps"].append([value, int(severity)])
    return one


def main():
    handler_class = load_handler(os.environ["WATCHER_DIR"])
    rng = random.Random(1)
    for _ in range(300):
        print(json.dumps(trace(handler_class, rng)))


if __name__ == "__main__":
    main()
