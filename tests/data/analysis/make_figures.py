"""Reference figures for src/tasks/analysis, made with numpy, scipy and pandas.

    python make_figures.py > figures.json

Every input is written into the file beside the figures, so that the tests need neither Python nor the same generator.
"""

import json

import numpy as np
import pandas as pd
import scipy
from scipy import signal, stats


def trend(times, values, to, ahead, confidence):
    x = times - to
    slope = stats.theilslopes(values, x, method="joint").slope
    offset = np.median(values - slope * x)
    residuals = values - offset - slope * x
    scale = stats.median_abs_deviation(residuals, center=lambda a, axis: 0.0, scale="normal")
    n = len(x)
    mean_scale = np.sqrt(np.pi / 2) * np.mean(np.abs(residuals))
    if scale <= 1e-9 * mean_scale:
        scale = mean_scale
    ends = np.array([0.0, ahead])
    half = (
        stats.t.ppf(0.5 + confidence / 2, n - 2)
        * scale
        * np.sqrt(1 + 1 / n + (ends - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2))
    )
    fit = offset + slope * ends
    return {
        "slope": slope,
        "fit_at_to_and_end": fit.tolist(),
        "half_width_at_to_and_end": half.tolist(),
        "residual_rms": float(np.sqrt(np.mean(residuals**2))),
        "n": n,
    }


def trend_case(name, values, step=20.0, ahead=600.0, confidence=0.95):
    times = 1795218000.0 + step * np.arange(len(values))
    to = float(times[-1]) + 5.0
    return {
        "name": name,
        "times": times.tolist(),
        "values": list(values),
        "to": to,
        "ahead": ahead,
        "confidence": confidence,
        "figures": trend(times, np.asarray(values), to, ahead, confidence),
    }


def detrend(times, values, degree):
    u = times - times.mean()
    return values - np.polyval(np.polyfit(u, values, degree), u)


def jitter_case(name, rng, seconds, degree, drop=()):
    n = int(seconds * 100)
    times = 1795218000.123 + np.arange(n) / 100
    s = np.arange(n) / 100
    azimuth = 131.0 + 0.004 * s + 3e-6 * s**2 + 0.3 / 3600 * np.sin(2 * np.pi * 7.3 * s) + rng.normal(0, 5e-5, n)
    elevation = 62.0 - 0.003 * s - 1e-6 * s**2 + 0.2 / 3600 * np.cos(2 * np.pi * 4.1 * s) + rng.normal(0, 3e-5, n)
    keep = np.ones(n, bool)
    for first, last in drop:
        keep[first:last] = False
    times, azimuth, elevation = times[keep], azimuth[keep], elevation[keep]
    az = detrend(times, azimuth, degree) * 3600 * np.cos(np.radians(elevation))
    el = detrend(times, elevation, degree) * 3600
    rms = {"azimuth": float(np.sqrt(np.mean(az**2))), "elevation": float(np.sqrt(np.mean(el**2)))}
    return {
        "name": name,
        "times": times.tolist(),
        "azimuth": azimuth.tolist(),
        "elevation": elevation.tolist(),
        "degree": degree,
        "figures": {
            "rms_by_axis": rms,
            "ptp_by_axis": {"azimuth": float(np.ptp(az)), "elevation": float(np.ptp(el))},
            "rms": float(np.hypot(rms["azimuth"], rms["elevation"])),
            "n": int(keep.sum()),
            "gaps": len(drop),
        },
    }


def statistics_case(name, times, values):
    values = np.asarray(values)
    median = np.median(values)
    steps = np.diff(times)
    return {
        "name": name,
        "times": np.asarray(times).tolist(),
        "values": values.tolist(),
        "figures": {
            "n": len(values),
            "mean": float(np.mean(values)),
            "mean_error": float(stats.sem(values)),
            "median": float(median),
            "std": float(np.std(values, ddof=1)),
            "robust_std": float(stats.median_abs_deviation(values, scale="normal")),
            "rms": float(np.sqrt(np.mean(values**2))),
            "min": float(values.min()),
            "max": float(values.max()),
            "ptp": float(np.ptp(values)),
            "first": float(values[0]),
            "last": float(values[-1]),
            "at_min": float(times[np.argmin(values)]),
            "at_max": float(times[np.argmax(values)]),
            "gaps": int(np.sum(steps > 1.5 * np.median(steps))),
        },
    }


def spectrum_case(name, values, rate, length, band=(None, None), drop=()):
    """`length` is that of a segment, in samples; samples between the ends of `drop` are left out and interpolated again."""
    times = 1795218000.0 + np.arange(len(values)) / rate
    keep = np.ones(len(values), bool)
    for first, last in drop:
        keep[first:last] = False
    even = np.interp(times, times[keep], values[keep])
    frequency, power = signal.welch(even, fs=rate, nperseg=length)
    low = band[0] if band[0] is not None else frequency[1]
    high = band[1] if band[1] is not None else rate
    inside = (frequency >= low - 1e-9) & (frequency <= high + 1e-9) & (frequency > 0)
    peak = np.flatnonzero(inside)[np.argmax(power[inside])]
    segments = (len(values) - length // 2) // (length - length // 2)
    return {
        "name": name,
        "times": times[keep].tolist(),
        "values": np.asarray(values)[keep].tolist(),
        "segment_s": length / rate,
        "from_hz": band[0],
        "to_hz": band[1],
        "figures": {
            "peak_frequency": float(frequency[peak]),
            "resolution": float(frequency[1]),
            "peak_psd": float(power[peak]),
            "band_rms": float(np.sqrt(np.sum(power[inside]) * frequency[1])),
            "rms": float(np.sqrt(np.sum(power[1:]) * frequency[1])),
            "rate": rate,
            "segments": int(segments),
            "n": int(keep.sum()),
            "gaps": len(drop),
            "resampled": bool(drop),
        },
    }


def compare_case(name, times_a, a, times_b, b, tolerance, span=None):
    """Nearest in time as pandas.merge_asof does it; the difference is b - a."""
    first, last = span if span else (min(times_a[0], times_b[0]), max(times_a[-1], times_b[-1]))
    of = lambda times, values: pd.DataFrame({"t": times, "v": values}).loc[lambda f: (f.t >= first) & (f.t <= last)]
    left, right = of(times_a, a), of(times_b, b)
    right = right.assign(tb=right.t, row=np.arange(len(right)))
    joined = pd.merge_asof(left, right, on="t", direction="nearest", tolerance=tolerance, suffixes=("_a", "_b"))
    pairs = joined.dropna(subset=["v_b"])
    d = (pairs.v_b - pairs.v_a).to_numpy()
    n = len(d)
    flat = np.ptp(pairs.v_a) == 0 or np.ptp(pairs.v_b) == 0
    fit = None if flat else stats.linregress(pairs.v_a, pairs.v_b)
    errors = fit is not None and n > 2
    worst = int(np.argmax(np.abs(d)))
    residuals = None if flat else pairs.v_b - fit.intercept - fit.slope * pairs.v_a
    return {
        "name": name,
        "a": {"times": np.asarray(times_a).tolist(), "values": np.asarray(a).tolist()},
        "b": {"times": np.asarray(times_b).tolist(), "values": np.asarray(b).tolist()},
        "tolerance": tolerance,
        "from": float(first),
        "to": float(last),
        "figures": {
            "n": n,
            "unmatched": int(len(left) - n),
            "unmatched_b": int(len(right) - pairs.row.nunique()),
            "mean": float(np.mean(d)),
            "mean_error": float(stats.sem(d)),
            "median": float(np.median(d)),
            "std": float(np.std(d, ddof=1)),
            "rms": float(np.sqrt(np.mean(d**2))),
            "max_abs": float(np.abs(d).max()),
            "at_max_abs": float(pairs.t.iloc[worst]),
            "correlation": None if flat else float(fit.rvalue),
            "slope": None if flat else float(fit.slope),
            "slope_error": float(fit.stderr) if errors else None,
            "offset": None if flat else float(fit.intercept),
            "offset_error": float(fit.intercept_stderr) if errors else None,
            "residual_rms": None if flat else float(np.sqrt(np.mean(residuals**2))),
            "separation": float(np.mean(np.abs(pairs.tb - pairs.t))),
        },
    }


def main():
    rng = np.random.default_rng(20261121)
    n = 90
    rising = 8 + 0.1 * np.arange(n)
    gust = np.full(n, 8.0) + rng.normal(0, 0.4, n)
    gust[-6:-3] = 25.0
    trends = [
        trend_case("rising with noise", (rising + rng.normal(0, 0.7, n)).tolist()),
        trend_case("a gust near the end", gust.tolist()),
        trend_case("falling, heavy tails, 80 %", (30 - 0.05 * np.arange(n) + rng.standard_t(2, n)).tolist(), confidence=0.8),
        trend_case("three points", [1.0, 2.5, 3.0], ahead=40.0),
        trend_case("nearly constant", (5 + rng.normal(0, 1e-9, 40)).tolist()),
    ]
    quantiles = [
        {"p": p, "dof": dof, "t": float(stats.t.ppf(p, dof))}
        for dof in (1, 2, 3, 7, 28.5, 88, 1798, 1e6)
        for p in (0.55, 0.75, 0.9, 0.975, 0.995, 0.99999, 0.2)
    ]
    jitters = [
        jitter_case("three seconds, quadratic", rng, 3, 2),
        jitter_case("two gaps, linear", rng, 4, 1, drop=[(100, 180), (250, 260)]),
        jitter_case("degree four", rng, 5, 4),
    ]
    clock = 1795218000.0 + np.cumsum(np.r_[0, rng.uniform(0.9, 1.1, 199)])
    clock[120:] += 30.0
    plain = [
        statistics_case("normal, one gap", clock, rng.normal(12.3, 0.8, 200)),
        statistics_case("a wild value", clock[:51], np.r_[rng.normal(0, 1e-3, 50), 50.0]),
        statistics_case("two values", clock[:2], [3.0, -1.0]),
    ]
    s = np.arange(1200) / 100
    shaking = np.sin(2 * np.pi * 7.3 * s) + 0.4 * np.sin(2 * np.pi * 21.0 * s) + rng.normal(0, 0.3, len(s)) + 5.0
    shaking = shaking.round(4)
    spectra = [
        spectrum_case("two lines in noise", shaking, 100.0, 400),
        spectrum_case("the second line", shaking, 100.0, 256, band=(15.0, 30.0)),
        spectrum_case("an odd segment", shaking[:999], 100.0, 333, band=(None, 10.0)),
        spectrum_case("two gaps", shaking[:1000], 100.0, 250, drop=[(300, 320), (700, 710)]),
        spectrum_case("one segment", rng.normal(0, 1, 64), 2.0, 64),
    ]
    start = 1795218000.0
    slow = start + np.cumsum(rng.uniform(25.0, 35.0, 60))
    fast = start + 7.0 + np.cumsum(rng.uniform(4.0, 6.0, 380))
    truth = lambda t: 9.0 + 2.0 * np.sin((t - start) / 300.0)
    compares = [
        compare_case(
            "slow against fast",
            slow, truth(slow) + rng.normal(0, 0.1, len(slow)),
            fast, 0.4 + 1.1 * truth(fast) + rng.normal(0, 0.2, len(fast)),
            5.0,
        ),
        compare_case(
            "a narrow tolerance and a part of the range",
            fast, truth(fast), slow, truth(slow) + rng.normal(0, 0.3, len(slow)), 1.5, span=(start + 300.0, start + 1500.0),
        ),
        compare_case(
            "equally near, the same stamp twice",
            start + np.array([0.0, 10.0, 20.0, 30.0]), [1.0, 2.0, 4.0, 3.0],
            start + np.array([5.0, 15.0, 20.0, 20.0, 29.0]), [1.5, 2.5, 9.0, 4.5, 3.5],
            5.0,
        ),
        compare_case("a constant one", slow[:9], truth(slow[:9]), slow[:9] + 0.25, np.full(9, 7.5), 1.0),
        compare_case("two pairs", slow[:2], [1.0, 3.0], slow[:2], [2.0, 5.0], 0.0),
    ]
    print(
        json.dumps(
            {
                "made_with": f"numpy {np.__version__}, scipy {scipy.__version__}, pandas {pd.__version__}",
                "trend": trends,
                "t_quantile": quantiles,
                "jitter": jitters,
                "statistics": plain,
                "spectrum": spectra,
                "compare": compares,
            }
        )
    )


main()
