#!/usr/bin/env python3
"""Does the seeing drift? A straight line through the last measurements, with the uncertainty of its slope.

Input: ``fwhm`` (a list, arcsec, oldest first), ``period`` (seconds between them, 60), ``limit`` (arcsec an hour, 0.2),
``now`` (TAI seconds of the last one, for the plot, 0).
"""

import csv
import math

from catcher_analysis import Plot, Request, Result, TryLater, run

#: Fewer say nothing.
LEAST = 5


def fit(times: list[float], values: list[float]) -> tuple[float, float, float]:
    """Slope, its standard deviation, and the value at time 0, by least squares."""
    n = len(times)
    mean_t, mean_v = sum(times) / n, sum(values) / n
    spread = sum((t - mean_t) ** 2 for t in times)
    slope = sum((t - mean_t) * (v - mean_v) for t, v in zip(times, values)) / spread
    offset = mean_v - slope * mean_t
    residuals = sum((v - offset - slope * t) ** 2 for t, v in zip(times, values))
    return slope, math.sqrt(residuals / (n - 2) / spread), offset


def analyse(request: Request) -> Result:
    fwhm = [float(v) for v in request.input["fwhm"]]
    period = float(request.input.get("period", 60.0))
    limit = float(request.input.get("limit", 0.2))
    if len(fwhm) < LEAST:
        raise TryLater(f"{len(fwhm)} measurements, at least {LEAST} are needed")
    now = float(request.input.get("now", 0.0))
    times = [now - period * (len(fwhm) - 1 - n) for n in range(len(fwhm))]
    hours = [(t - times[0]) / 3600.0 for t in times]
    slope, sigma, offset = fit(hours, fwhm)
    sure = abs(slope) > 3.0 * sigma
    severity = "none"
    if sure and abs(slope) > limit:
        severity = "serious" if abs(slope) > 2.0 * limit else "warning"
    with open(request.artifacts / "seeing.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["tai_s", "fwhm_arcsec", "fit_arcsec"])
        table.writerows((t, v, offset + slope * h) for t, v, h in zip(times, fwhm, hours))
    plot = Plot("Seeing").panel("FWHM", "arcsec")
    plot.line("measured", times, fwhm).line("straight line", times, [offset + slope * h for h in hours], "fit")
    word = "worsens" if slope > 0 else "improves"
    return Result(
        severity=severity,
        reason=f"seeing {word} by {abs(slope):.2f} +/- {sigma:.2f} arcsec/h" if sure else "no drift of the seeing",
        values={"drift": slope, "drift_sigma": sigma, "last": fwhm[-1], "n": len(fwhm)},
        units={"drift": "arcsec/h", "drift_sigma": "arcsec/h", "last": "arcsec"},
        plot=plot,
    )


if __name__ == "__main__":
    run(analyse)
