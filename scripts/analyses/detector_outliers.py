#!/usr/bin/env python3
"""Which detectors are unlike the others? Those further from the median than so many robust standard deviations.

Input: ``values`` (a number for each detector: a list, or a mapping by name), ``threshold`` (5 deviations), ``most`` (detectors that
may be outliers before it is serious, 3). Detectors without a number (null) count as missing.
"""

import csv
import math
from statistics import median

from catcher_analysis import Request, Result, run

#: The median absolute deviation of a normal distribution, in standard deviations.
MAD = 0.6744897501960817


def analyse(request: Request) -> Result:
    told = request.input["values"]
    named = dict(told) if isinstance(told, dict) else {str(n): v for n, v in enumerate(told)}
    threshold = float(request.input.get("threshold", 5.0))
    most = int(request.input.get("most", 3))
    numbers = {name: float(v) for name, v in named.items() if v is not None and math.isfinite(float(v))}
    missing = sorted(set(named) - set(numbers))
    if not numbers:
        raise ValueError("no detector has a number")
    middle = median(numbers.values())
    sigma = median(abs(v - middle) for v in numbers.values()) / MAD
    deviation = {n: (v - middle) / sigma if sigma > 0 else (0.0 if v == middle else math.inf) for n, v in numbers.items()}
    outliers = sorted((n for n, d in deviation.items() if abs(d) > threshold), key=lambda n: -abs(deviation[n]))
    with open(request.artifacts / "detectors.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["detector", "value", "deviations"])
        table.writerows((n, numbers[n], deviation[n]) for n in numbers)
    bad = len(outliers) + len(missing)
    severity = "none" if bad == 0 else "warning" if bad <= most else "serious"
    words = []
    if outliers:
        words.append(f"outliers: {', '.join(outliers[:10])}")
    if missing:
        words.append(f"missing: {', '.join(missing[:10])}")
    return Result(
        severity=severity,
        reason="; ".join(words) or "all detectors are alike",
        values={"median": middle, "sigma": sigma, "outliers": outliers, "missing": missing, "n": len(numbers)},
    )


if __name__ == "__main__":
    run(analyse)
