"""Analyses for the Catcher's `command` steps: read the request, return a result. Standard library only.

    from catcher_analysis import Result, run

    def analyse(request):
        return Result(severity="none", values={"answer": 42})

    run(analyse)
"""

import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional, Sequence, Union

SEVERITIES = ("none", "warning", "serious", "critical")

#: The exit code by which a program asks to be run again later.
TRY_LATER = 75


class TryLater(Exception):
    """Raised by an analysis that may succeed later: its data are not there yet, say."""


@dataclass(frozen=True)
class Request:
    """What the Catcher asks."""

    rule: str
    run: str
    step: str
    attempt: int
    #: What the rule gives.
    input: Any
    #: Files put here are kept with the run.
    artifacts: Path

    @classmethod
    def read(cls, text: str) -> "Request":
        told = json.loads(text)
        if told.get("version") != 1:
            raise ValueError(f"this module knows version 1 of the request, not {told.get('version')!r}")
        return cls(
            rule=told["rule"],
            run=told["run"],
            step=told["step"],
            attempt=told["attempt"],
            input=told["input"],
            artifacts=Path(told["artifacts"]),
        )


class Plot:
    """A plot for the report: panels one below the other with one time axis (TAI seconds)."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.panels: list[dict[str, Any]] = []

    def panel(self, label: str, unit: str = "", shows: Sequence[str] = ()) -> "Plot":
        """Begins a panel; lines, bands, limits and marks that follow belong to it. ``shows`` names what of the result is
        on its axis, e.g. ``values.fwhm``: the alarm's levels of it are drawn."""
        keys: dict[str, Any] = {"lines": [], "bands": [], "limits": [], "marks": []}
        self.panels.append({"label": label, "unit": unit, "shows": list(shows), **keys})
        return self

    def line(self, label: str, times: Sequence[float], values: Sequence[float], kind: str = "data") -> "Plot":
        """A curve; ``kind`` is data, fit or forecast."""
        if kind not in ("data", "fit", "forecast"):
            raise ValueError(f"kind is data, fit or forecast, not {kind!r}")
        points = [(float(t), float(v)) for t, v in zip(times, values, strict=True) if math.isfinite(v)]
        self.panels[-1]["lines"].append(
            {"label": label, "kind": kind, "times": [t for t, _ in points], "values": [v for _, v in points]}
        )
        return self

    def band(self, label: str, times: Sequence[float], low: Sequence[float], high: Sequence[float]) -> "Plot":
        """An interval."""
        self.panels[-1]["bands"].append(
            {"label": label, "times": list(map(float, times)), "low": list(map(float, low)), "high": list(map(float, high))}
        )
        return self

    def limit(self, label: str, value: float) -> "Plot":
        """A horizontal line."""
        self.panels[-1]["limits"].append([label, float(value)])
        return self

    def mark(self, label: str, time: float) -> "Plot":
        """A vertical line."""
        self.panels[-1]["marks"].append([label, float(time)])
        return self

    def json(self) -> dict[str, Any]:
        return {"title": self.title, "panels": self.panels}


@dataclass
class Result:
    """What an analysis found."""

    #: none, warning, serious, critical (or 1 to 4); None if it does not judge.
    severity: Optional[Union[str, int]] = None
    #: A sentence for people.
    reason: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    plot: Optional[Plot] = None

    def json(self) -> dict[str, Any]:
        if isinstance(self.severity, str) and self.severity not in SEVERITIES:
            raise ValueError(f"severity is one of {', '.join(SEVERITIES)}, not {self.severity!r}")
        if isinstance(self.severity, int) and not 1 <= self.severity <= 4:
            raise ValueError(f"severity is 1 to 4, not {self.severity}")
        unknown = set(self.units) - set(self.values)
        if unknown:
            raise ValueError(f"there are units of values that are not there: {', '.join(sorted(unknown))}")
        told = {"reason": self.reason, "values": finite(self.values), "units": self.units}
        if self.severity is not None:
            told["severity"] = self.severity
        if self.plot is not None:
            told["plot"] = self.plot.json()
        return told


def finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null, which rules take as unknown."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return value


def run(analyse: Callable[[Request], Result]) -> None:
    """Reads the request, calls ``analyse``, writes its result, ends the program."""
    try:
        request = Request.read(sys.stdin.read())
        text = json.dumps(analyse(request).json(), allow_nan=False)
    except TryLater as later:
        print(later, file=sys.stderr)
        sys.exit(TRY_LATER)
    except Exception as error:  # whatever it is, the Catcher is told in a line, not in a traceback
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    print(text)
    sys.exit(0)
