"""What the Catcher's events mean for a script. Plain functions: this module needs nothing but Python."""

from .schemas import SEVERITIES

SUCCEEDED = 4
"""The Catcher's TaskState of a run that ended well."""

ENDED_BADLY = {5: "failed", 6: "was aborted", 7: "timed out", 8: "was skipped"}
"""The other final states."""

LONGEST_DEFINITION = 60_000
"""Bytes that fit a text field."""


def is_final(state: int) -> bool:
    """True if a run in this state is over."""
    return state == SUCCEEDED or state in ENDED_BADLY


def too_bad(severity: int, fail_from: str) -> bool:
    """True if a script has to fail because of a severity."""
    return fail_from != "never" and severity >= SEVERITIES[fail_from]


def severity_name(severity: int) -> str:
    """The name of a severity."""
    names = {value: name for name, value in SEVERITIES.items()}
    return names.get(severity, str(severity))


def problem_of_run(rule: str, task: str, state: int, severity: int, error: str, fail_from: str) -> str:
    """Why a script fails after a run that is over; empty if it does not."""
    if state in ENDED_BADLY:
        why = f": {error}" if error else ""
        return f"run {task} of rule {rule} {ENDED_BADLY[state]}{why}"
    if too_bad(severity, fail_from):
        return f"run {task} of rule {rule} ended with severity {severity_name(severity)}"
    return ""


def problem_of_definition(definition: str) -> str:
    """Why a rule cannot be sent; empty if it can."""
    size = len(definition.encode())
    if not definition.strip():
        return "the rule is empty"
    if size > LONGEST_DEFINITION:
        return f"the rule has {size} bytes, a command takes {LONGEST_DEFINITION}: put it in the configuration"
    return ""
