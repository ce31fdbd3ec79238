"""The configuration schemas of the scripts. Plain data: this module needs nothing but Python."""

SEVERITIES = {"none": 1, "warning": 2, "serious": 3, "critical": 4}
"""The Catcher's AlarmSeverity by name."""


def _schema(name: str, about: str, properties: dict, required: list) -> dict:
    index = {
        "type": "integer",
        "minimum": 1,
        "default": 1,
        "description": "SAL index of the Catcher.",
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": f"https://github.com/lsst-ts/ts_catcher/blob/main/scripts/sal/{name}.py",
        "title": f"{name} v1",
        "description": about,
        "type": "object",
        "properties": {"catcher": index, **properties},
        "required": required,
        "additionalProperties": False,
    }


def _timeout(default: float, what: str) -> dict:
    return {"type": "number", "exclusiveMinimum": 0, "default": default, "description": f"Seconds until {what}."}


def _names(about: str) -> dict:
    return {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "default": [],
        "description": about,
    }


def _severity(default: str, about: str) -> dict:
    return {"type": "string", "enum": sorted(SEVERITIES), "default": default, "description": about}


_RULE = {"type": "string", "minLength": 1, "description": "Name of the rule; of one with keys, rule.key."}
_ALARM = {
    "type": "string",
    "minLength": 1,
    "description": "Name of the alarm, else a regular expression that matches whole names.",
}
_FAIL_FROM = {
    "type": "string",
    "enum": ["never", *[name for name in SEVERITIES if name != "none"]],
    "default": "never",
    "description": "The script fails if the run ends with this severity, or a worse one.",
}
_BY = {"type": "string", "default": "", "description": "Who asks; empty: the script."}

TRIGGER_RULE = _schema(
    "TriggerRule",
    "Triggers a rule by hand, and waits until its run is over.",
    {
        "rule": _RULE,
        "parameters": {"type": "object", "default": {}, "description": "Parameters that replace the rule's."},
        "wait": {"type": "boolean", "default": True, "description": "Wait for the end of the run?"},
        "timeout": _timeout(600.0, "the end of the run has to come"),
        "fail_from": _FAIL_FROM,
    },
    ["rule"],
)

ENABLE_RULES = _schema(
    "EnableRules",
    "Enables and disables rules.",
    {
        "enable": _names("Rules to enable."),
        "disable": _names("Rules to disable."),
        "reason": {"type": "string", "default": "", "description": "Why rules are disabled."},
    },
    [],
)

ADD_RULE = _schema(
    "AddRule",
    "Adds a rule, or replaces the one of that name.",
    {
        "definition": {"type": "string", "minLength": 1, "description": "The rule, as in a rule file."},
        "path": {
            "type": "string",
            "minLength": 1,
            "description": "A rule file, as the host of the ScriptQueue sees it.",
        },
        "enabled": {"type": "boolean", "default": True, "description": "Enable it at once?"},
    },
    [],
)
ADD_RULE["oneOf"] = [{"required": ["definition"]}, {"required": ["path"]}]

MUTE = _schema(
    "Mute",
    "Mutes alarms for a time, or ends that.",
    {
        "alarm": _ALARM,
        "duration": {
            "type": "number",
            "minimum": 0,
            "default": 3600.0,
            "description": "For how long, seconds. 0 ends it.",
        },
        "severity": _severity("critical", "Up to which severity."),
        "by": _BY,
    },
    ["alarm"],
)

ACKNOWLEDGE = _schema(
    "Acknowledge",
    "Acknowledges alarms, or takes that back.",
    {
        "alarm": _ALARM,
        "severity": _severity("critical", "Up to which severity."),
        "take_back": {"type": "boolean", "default": False, "description": "Take it back instead?"},
        "by": _BY,
    },
    ["alarm"],
)

WAIT_FOR_RESULT = _schema(
    "WaitForResult",
    "Waits for the next result of a rule, which something else triggers.",
    {
        "rule": _RULE,
        "task": {"type": "string", "default": "", "description": "Only of the run with this id."},
        "timeout": _timeout(600.0, "a result has to come"),
        "fail_from": _FAIL_FROM,
    },
    ["rule"],
)

ALL = {
    "trigger_rule": TRIGGER_RULE,
    "enable_rules": ENABLE_RULES,
    "add_rule": ADD_RULE,
    "mute": MUTE,
    "acknowledge": ACKNOWLEDGE,
    "wait_for_result": WAIT_FOR_RESULT,
}
"""By the name of the script's file."""
