#!/usr/bin/env python3
"""What each rule class of the real Watcher did on recorded input: makes `tests/data/watcher/<Class>.jsonl.gz`.

The original classes of lsst-ts/ts_watcher run in this process, in the Watcher's own model, on a virtual clock. Only the
bus is replaced: topics are objects with the data classes that ts_xml makes. What is sent is in `watcher_rule_inputs.py`.

    . peers.sh                                   # ts_watcher, ts_salobj, ts_xml, ts_utils on PYTHONPATH
    python tests/interop/watcher_rule_traces.py [--out FOLDER] [Class ...]

A file holds traces; each begins with a line that has the alarm's name and the rule's configuration, then a line a step:

    {"alarm": .., "config": ..}
    {"t": 3.5, "enable": true, "s": 1}           the Watcher is enabled; what came before is replayed
    {"t": 4.5, "m": "ESS:301.tel_airFlow", "f": {..}, "s": 2, "r": "reason"}    a message, and the severity after it
    {"t": 5.0, "m": .., "f": {..}, "n": 20, "dt": 0.05, "s": 2}                 the same n times, each dt after the one before
    {"t": 6.0, "p": true, "s": 2}                the rule has polled
    {"t": 7.0, "s": 4}                           time went on

Times are seconds since 2026-01-01T00:00:00 UTC, and so are stamps in `f`. The severity is missing where the rule
judges later (messages of a rule that polls). Fields that are not in `f` have their defaults; NaN is the text "nan".
"""

import argparse
import asyncio
import gzip
import json
import math
import os
import pathlib
import random
import selectors
import types

os.environ.setdefault("LSST_TOPIC_SUBNAME", "traces")
os.environ.setdefault("LSST_SITE", "test")

import datetime  # noqa: E402
import logging  # noqa: E402

import watcher_rule_inputs  # noqa: E402
from lsst.ts import salobj, utils, watcher  # noqa: E402
from lsst.ts.xml import component_info  # noqa: E402

START_UTC = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
START = START_UTC.timestamp() + 37.0
"""TAI at the start."""
LATE = 0.0005
"""Timers fire a little late, as on a real machine: nothing happens at exactly the limit of a duration."""
STAMPS = ("private_sndStamp", "timestamp")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting."""

    def __init__(self):
        self.now = START
        loop = self

        class Selector(selectors.DefaultSelector):
            def select(self, timeout=None):
                if timeout is None:
                    raise RuntimeError("the loop would wait for ever")
                if timeout > 0:
                    loop.now += timeout + LATE
                return super().select(0)

        super().__init__(Selector())
        self._clock_resolution = 1e-6  # above the rounding of TAI seconds

    def time(self):
        return self.now


class Topic:
    """Stands for a topic that a Remote reads."""

    def __init__(self, salinfo, attr_name):
        self.salinfo = salinfo
        self.attr_name = attr_name
        self.DataType = salinfo.component.topics[attr_name].make_dataclass()
        self.callback = None
        self.log = logging.getLogger("topic")
        self.sample = None

    @property
    def has_data(self):
        return self.sample is not None

    def get(self):
        return self.sample

    async def _run_callback(self, data):
        await self.callback(data)


class Remote:
    """Stands for `salobj.Remote`: no topics at first, nothing to start."""

    everyone = {}

    def __init__(self, domain, name, index=0, **kwargs):
        component = component_info.ComponentInfo(name, topic_subname="traces")
        short = {kind: [n[4:] for n in component.topics if n.startswith(kind)] for kind in ("evt_", "tel_")}
        self.salinfo = types.SimpleNamespace(
            name=name,
            index=index,
            name_index=f"{name}:{index}" if component.indexed else name,
            indexed=component.indexed,
            component=component,
            event_names=short["evt_"],
            telemetry_names=short["tel_"],
        )
        Remote.everyone[(name, index)] = self

    async def start(self):
        pass

    async def close(self):
        pass


def replace_the_bus():
    """Topics instead of Kafka, the loop's clock instead of the machine's."""
    salobj.Remote = Remote
    salobj.topics.RemoteEvent = lambda salinfo, name: Topic(salinfo, "evt_" + name)
    salobj.topics.RemoteTelemetry = lambda salinfo, name: Topic(salinfo, "tel_" + name)
    utils.current_tai = lambda: asyncio.get_running_loop().time()
    now_utc = lambda rule: datetime.datetime.fromtimestamp(utils.current_tai() - 37.0, datetime.UTC).timetz()  # noqa: E731
    watcher.rules.MTMountAzimuth.get_now_utc = now_utc


def number(value):
    """A value as JSON has it: NaN as a text, no more digits than were given."""
    if isinstance(value, list):
        return [number(v) for v in value]
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value
    return value


class Drive:
    """One rule of the Watcher, what it is sent, and what it did."""

    def __init__(self, classname, config, rng):
        self.rng = rng
        self.lines = []
        Remote.everyone = {}
        rules = [{"classname": classname, "configs": [config]}]
        settings = types.SimpleNamespace(
            disabled_sal_components=[], auto_acknowledge_delay=0, auto_unacknowledge_delay=0, rules=rules, escalation=[]
        )
        self.model = watcher.Model(domain=None, config=settings, alarm_callback=self._changed)
        (self.rule,) = self.model.rules.values()
        self.polls = isinstance(self.rule, watcher.PollingRule)
        self.polled = asyncio.Event()
        self.busy = False
        self.severity = None
        self.same_polls = 0
        if self.polls:
            update = self.rule.update_alarm_severity

            async def poll():
                self.busy = True
                await update()
                self.busy = False
                self._note_poll()

            self.rule.update_alarm_severity = poll

    @property
    def t(self):
        return asyncio.get_running_loop().time() - START

    def _line(self, at, **more):
        alarm = self.rule.alarm
        line = {"t": round(at, 6)} | more
        if self.model.enabled and not (self.polls and "m" in more):
            line["s"] = int(alarm.severity)
            if alarm.severity > 1:
                line["r"] = alarm.reason
        self.severity = alarm.severity
        self.lines.append(line)

    def _note_poll(self):
        same = self.lines and "p" in self.lines[-1] and self.rule.alarm.severity == self.severity
        self.same_polls = self.same_polls + 1 if same else 0
        # Of many equal ones in a row each tenth.
        if self.same_polls < 5 or self.same_polls % 10 == 0:
            self._line(self.t, p=True)
        self.polled.set()

    async def _changed(self, alarm):
        if not self.busy and alarm.severity != self.severity:
            self._line(self.t)

    async def enable(self):
        """Enter ENABLED: from here on severities are recorded."""
        await self.model.start_task
        self.busy = True
        at = self.t
        await self.model.enable()
        self.busy = False
        self._line(at, enable=True)
        await asyncio.sleep(0)

    async def wait(self, seconds):
        """Let time go on; what timers do in it is recorded."""
        await asyncio.sleep(seconds)

    async def look(self, seconds=0.0):
        """Let time go on and record the severity then."""
        await asyncio.sleep(seconds)
        self._line(self.t)

    async def poll(self):
        """Wait for the next poll, and a part of the time to the one after it."""
        self.polled.clear()
        await self.polled.wait()
        await asyncio.sleep(self.rng.uniform(0.1, 0.8))

    async def send(self, topic, /, n=1, dt=0.0, **fields):
        """A message, or n equal ones. Stamps are seconds since the start."""
        first, count = self.t, 0
        before = int(self.rule.alarm.severity)
        for i in range(n):
            if i:
                await asyncio.sleep(dt - LATE)
            self.busy = True
            await self._deliver(topic, fields)
            self.busy = False
            count += 1
            if i == n - 1 or int(self.rule.alarm.severity) != before:
                before = int(self.rule.alarm.severity)
                repeat = {"n": count, "dt": dt} if count > 1 else {}
                self._line(first, m=topic, f={k: number(v) for k, v in fields.items()}, **repeat)
                first, count = self.t + dt, 0

    async def _deliver(self, name, fields):
        component, attr_name = name.split(".")
        csc, index = salobj.name_to_name_index(component)
        reached = False
        for key in {(csc, index), (csc, 0)}:
            topic = getattr(Remote.everyone.get(key), attr_name, None)
            if topic is None:
                continue
            reached = True
            given = {k: v + START if k in STAMPS else v for k, v in fields.items()}
            stamps = {"private_sndStamp": START + self.t, "private_rcvStamp": START + self.t}
            data = topic.DataType(**(stamps | given))
            if hasattr(data, "salIndex"):
                data.salIndex = index
            topic.sample = data
            if topic.callback is not None:
                await topic.callback(data)
        if not reached:
            raise ValueError(f"{self.rule.name} does not read {name}")

    async def close(self):
        await self.model.close()


async def trace(classname, config, play, rng):
    """The lines of one trace."""
    drive = Drive(classname, config, rng)
    await play(drive)
    await drive.close()
    return [{"alarm": drive.rule.name, "config": config}, *drive.lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests/data/watcher")
    parser.add_argument("classes", nargs="*")
    args = parser.parse_args()
    logging.getLogger().setLevel(logging.CRITICAL)
    replace_the_bus()
    args.out.mkdir(parents=True, exist_ok=True)
    traces = watcher_rule_inputs.TRACES
    classes = [n for n, c in vars(watcher.rules).items() if isinstance(c, type) and issubclass(c, watcher.BaseRule)]
    missing = sorted(set(classes) - set(traces))
    if missing:
        parser.error(f"no input for {missing}")
    for classname in args.classes or traces:
        lines = []
        for i, (config, play) in enumerate(traces[classname]):
            loop = VirtualLoop()
            asyncio.set_event_loop(loop)
            rng = random.Random(f"{classname} {i}")
            lines += loop.run_until_complete(trace(classname, config, play, rng))
            loop.close()
        steps = sum("t" in line for line in lines)
        severities = {s: sum(line.get("s") == s for line in lines) for s in (1, 2, 3, 4)}
        judged = [line["s"] for line in lines if "s" in line]
        changes = sum(a != b for a, b in zip(judged, judged[1:]))
        text = "".join(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n" for line in lines)
        packed = gzip.compress(text.encode(), 9, mtime=0)
        (args.out / f"{classname}.jsonl.gz").write_bytes(packed)
        print(f"{classname:26} {steps:5} steps {changes:4} changes {severities} {len(packed):7} bytes")
        if steps < 200 or changes < 5:
            raise SystemExit(f"{classname}: too little")


if __name__ == "__main__":
    main()
