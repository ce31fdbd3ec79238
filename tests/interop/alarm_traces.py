#!/usr/bin/env python3
"""Make fresh traces of the Watcher's own alarm for the test `alarms::tests::golden`.

Random operations on the class `Alarm` of lsst-ts/ts_watcher, on a virtual clock, in the format of
`tests/data/alarm_traces.jsonl.gz`. Needs only Python and a checkout of ts_watcher:

    WATCHER_DIR=/path/to/ts_watcher tests/interop/alarm_traces.py --steps 20000 --seed 7 > traces.jsonl
    CATCHER_ALARM_TRACES=traces.jsonl cargo test -p catcher --lib alarms::tests::golden -- --nocapture

What the class needs of other packages is replaced by the few lines below. Left out are the inputs where the Catcher
differs on purpose: endless mutes, several operations at one instant, and the notification service.
"""

import argparse
import asyncio
import enum
import importlib.util
import json
import os
import pathlib
import random
import selectors
import sys
import types

START = 1000.0
PUBLISHED = (
    "severity max_severity reason acknowledged acknowledged_by do_escalate escalated_id muted_severity muted_by "
    "timestamp_severity_oldest timestamp_severity_newest timestamp_max_severity timestamp_acknowledged "
    "timestamp_auto_acknowledge timestamp_auto_unacknowledge timestamp_escalate timestamp_unmute"
).split()
TIMERS = {
    "esc_timer": "escalation_timer_task",
    "aa_timer": "auto_acknowledge_task",
    "au_timer": "auto_unacknowledge_task",
    "mute_timer": "unmute_task",
}
DEADLINES = [f"timestamp_{name}" for name in ("auto_acknowledge", "auto_unacknowledge", "escalate", "unmute")]


class AlarmSeverity(enum.IntEnum):
    """The SAL enumeration."""

    NONE = 1
    WARNING = 2
    SERIOUS = 3
    CRITICAL = 4


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting."""

    def __init__(self):
        self.now = START
        loop = self

        class Selector(selectors.DefaultSelector):
            def select(self, timeout=None):
                if timeout is None:
                    raise RuntimeError("the loop would wait for ever")
                loop.now += max(timeout, 0)
                return super().select(0)

        super().__init__(Selector())
        self._clock_resolution = 1e-7

    def time(self):
        return self.now


def load_alarm(watcher_dir):
    """Import the one file with the class, and stand in for what it imports."""

    def module(name, **names):
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(names)

    def make_done_future():
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    def current_tai():
        return asyncio.get_running_loop().time()

    for name in ("aiohttp", "lsst", "lsst.ts", "lsst.ts.salobj", "lsst.ts.xml", "lsst.ts.xml.enums"):
        module(name)
    module("lsst.ts.utils", current_tai=current_tai, make_done_future=make_done_future)
    sys.modules["lsst.ts"].utils = sys.modules["lsst.ts.utils"]
    module("lsst.ts.salobj.base", get_user_host=lambda: "nobody@nowhere")
    module("lsst.ts.xml.enums.Watcher", AlarmSeverity=AlarmSeverity)
    path = pathlib.Path(watcher_dir) / "python/lsst/ts/watcher/alarm.py"
    spec = importlib.util.spec_from_file_location("watcher_alarm", path)
    watcher_alarm = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(watcher_alarm)
    return watcher_alarm.Alarm


def stamp(value):
    """A time relative to the start; the integer 0 where it is not set."""
    return round(value - START, 4) if value else 0


def state_of(alarm):
    state = {}
    for name in PUBLISHED:
        value = getattr(alarm, name)
        if name.startswith("timestamp"):
            value = stamp(value)
        elif isinstance(value, enum.IntEnum):
            value = int(value)
        state[name] = value
    return state


def random_operation(rng):
    any_severity = rng.choice([0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5])
    user = rng.choice(["bob", "eve", "joe"])
    return rng.choice(
        4 * [("sev", [any_severity, f"r{rng.randrange(4)}"])]
        + 2 * [("ack", [any_severity, user])]
        + [("ack", [4, user]), ("unack", []), ("unmute", [])]
        + [("mute", [rng.choice([-1, 0, 0.25, 2.5, 9.5, 100.5]), rng.choice([1, 2, 3, 4]), user])]
        + [("wait", [rng.choice([0.3, 2.1, 12.3, 60.3])])]
        + (rng.random() < 0.1) * [("reset", [])]
    )


async def operate(alarm, op, args):
    if op == "sev":
        return await alarm.set_severity(args[0], args[1])
    if op == "ack":
        return await alarm.acknowledge(args[0], args[1])
    if op == "unack":
        return await alarm.unacknowledge()
    if op == "mute":
        return await alarm.mute(args[0], args[1], args[2])
    if op == "unmute":
        return await alarm.unmute()
    if op == "reset":
        return alarm.reset()
    return await asyncio.sleep(args[0])


def gap(rng, alarm, now):
    """Time to the next operation, which does not coincide with a deadline."""
    length = rng.choice([0.0417, rng.uniform(0.04, 1), rng.uniform(0.04, 15)])
    while any(abs(getattr(alarm, name) - (now + length)) < 0.002 for name in DEADLINES):
        length += 0.01
    return length


async def trace(alarm_class, rng, steps):
    loop = asyncio.get_running_loop()
    alarm = alarm_class("an.alarm")
    publications = []

    async def publish(alarm):
        publications.append({"t": stamp(loop.time()), "state": state_of(alarm)})

    aa, au = rng.choice([0, 0.5, 3, 30]), rng.choice([0, 1.5, 7, 40])
    ed, er = rng.choice([(0, ""), (0.75, "team"), (3, "team"), (11, "a b")])
    alarm.configure_basics(callback=publish, auto_acknowledge_delay=aa, auto_unacknowledge_delay=au)
    alarm.configure_escalation(escalation_delay=ed, escalation_responder=er)
    done = []
    for number in range(steps):
        last = number == steps - 1
        op, args = ("wait", [90.1]) if last else random_operation(rng)
        step = {"op": op, "args": args, "t": stamp(loop.time()) or 0.0, "ret": None, "err": None}
        try:
            step["ret"] = await operate(alarm, op, args)
        except ValueError:
            step["err"] = "ValueError"
        if not last:
            await asyncio.sleep(gap(rng, alarm, loop.time()))
        step["cb"], step["state"], step["nominal"] = list(publications), state_of(alarm), alarm.nominal
        publications.clear()
        for name, task in TIMERS.items():
            step[name] = not getattr(alarm, task).done()
        done.append(step)
    alarm.close()
    return {"config": {"aa": aa, "au": au, "ed": ed, "er": er}, "steps": done}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000, help="at least so many steps in all")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if "WATCHER_DIR" not in os.environ:
        parser.error("WATCHER_DIR must name a checkout of lsst-ts/ts_watcher")
    alarm_class = load_alarm(os.environ["WATCHER_DIR"])
    rng = random.Random(args.seed)
    made = 0
    while made < args.steps:
        loop = VirtualLoop()
        one = loop.run_until_complete(trace(alarm_class, rng, rng.randrange(2, 60)))
        loop.close()
        made += len(one["steps"])
        print(json.dumps(one))


if __name__ == "__main__":
    main()
