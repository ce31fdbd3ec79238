#!/usr/bin/env python3
"""Alarms of the Catcher as alarms of the Watcher, for sites whose LOVE knows the Watcher only.

A rule class for ts_watcher, and a Watcher that knows it: start it in the place of `run_watcher`, with the same arguments.

    python catcher_relay.py

`catcher love watcher-relay` writes this file, and the entries of the Watcher's configuration that go with it. Acknowledging and
muting are the Watcher's: what is done there is not done to the Catcher's alarm.
"""

import fnmatch

import yaml
from lsst.ts.watcher import BaseRule, RemoteInfo, rules, run_watcher
from lsst.ts.xml.enums.Watcher import AlarmSeverity

SCHEMA = """
$schema: http://json-schema.org/draft-07/schema#
description: Configuration of CatcherAlarm, an alarm that shows the worst of some alarms of a Catcher.
type: object
properties:
  name:
    description: Name of the Watcher's alarm.
    type: string
  index:
    description: SAL index of the Catcher.
    type: integer
    minimum: 1
    default: 1
  alarms:
    description: Names of the Catcher's alarms, with *, ? and [...] for whole names, upper and lower case apart.
    type: array
    minItems: 1
    items: {type: string}
  but_not:
    description: Names, written in the same way, that are left out.
    type: array
    default: []
    items: {type: string}
required: [name, alarms]
additionalProperties: false
"""

LONGEST_REASON = 1000
"""Characters; a keyed rule may have a thousand alarms."""


class CatcherAlarm(BaseRule):
    """The worst of some alarms of a Catcher. One that is muted there up to its severity counts as none."""

    def __init__(self, config, log=None):
        self.shown = {}
        self.wanted = {}
        remote = RemoteInfo(name="Catcher", index=config.index, callback_names=["evt_alarm"])
        super().__init__(config=config, name=config.name, remote_info_list=[remote], log=log)

    @classmethod
    def get_schema(cls):
        return yaml.safe_load(SCHEMA)

    def start(self):
        """The Watcher is enabled: its alarms begin anew, so what was told before does not count."""
        self.shown.clear()
        self.current_severity = self.current_reason = None

    def wants(self, name):
        """True if the alarm of this name is one of those that are shown."""
        if name not in self.wanted:
            of = lambda globs: any(fnmatch.fnmatchcase(name, glob) for glob in globs)  # noqa: E731
            self.wanted[name] = of(self.config.alarms) and not of(self.config.but_not)
        return self.wanted[name]

    def compute_alarm_severity(self, data, **kwargs):
        """The severity and the reasons after an `alarm` event of the Catcher; nothing if the event is about another alarm."""
        name = data.alarmName
        if not self.wants(name):
            return None
        if data.severity > max(AlarmSeverity.NONE, data.mutedSeverity):
            self.shown[name] = (data.severity, data.reason)
        else:
            self.shown.pop(name, None)
        if not self.shown:
            return AlarmSeverity.NONE, ""
        worst = max(severity for severity, _ in self.shown.values())
        alone = len(self.shown) == 1 and self.config.alarms == [name]
        texts = [
            reason if alone else f"{name}: {reason}"
            for name, (severity, reason) in sorted(self.shown.items())
            if severity == worst
        ]
        text = "; ".join(texts)
        if len(self.shown) > len(texts):
            text += f"; and {len(self.shown) - len(texts)} less severe"
        if len(text) > LONGEST_REASON:
            text = f"{text[:LONGEST_REASON]} ... ({len(texts)} alarms)"
        return AlarmSeverity(worst), text


# The Watcher looks up rule classes here, by the `classname` of its configuration.
rules.CatcherAlarm = CatcherAlarm

if __name__ == "__main__":
    run_watcher()
