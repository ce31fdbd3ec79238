#!/usr/bin/env python3
"""The real WatcherCsc and the Catcher beside each other: one bus, the same messages, the same alarms at the same times?

  watcher_side_by_side.py --program "target/debug/catcher run"

Both are configured with the same alarms: the Watcher by its rule classes, the Catcher by the files of
`config_schema/examples/watcher`. Messages are those of the recorded traces in `tests/data/watcher`, written by Python
topics in real time. What is compared is every change of severity in the `alarm` events: its value, and its send stamp.
"""

import argparse
import asyncio
import dataclasses
import gzip
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import typing

import peers
from peers import Program, git

XML_DATA = peers.prepare()

import yaml  # noqa: E402
from lsst.ts import salobj  # noqa: E402

try:
    import lsst.ts.watcher  # noqa: F401
except ImportError as error:
    peers.skip(f"the real ts_watcher cannot be imported ({error})")

ROOT = pathlib.Path(__file__).resolve().parents[2]
State = salobj.State
CATCHER_INDEX = 1
SETTLE_S = 3.0
"""Longer than a poll of the Watcher, between the last message and the comparison."""
TIME_LIMIT_S = 0.5
"""Both are expected to publish within this of each other; the Watcher has its poll more."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One rule class of the comparison: so many messages of one of its traces, so far apart."""

    classname: str
    file: str
    gap: float = 0.5
    messages: int = 40
    poll: float = 0.0
    """The Watcher looks only so often."""
    trace: int = 1
    explained: str = ""
    """Why both may differ: a mistake of the Watcher that is mended in the rule file."""


PARTS = [
    Part("ATeStop", "at_estop"),
    Part("DewPointDepression", "dew_point_depression", gap=2.5, messages=24, poll=1.0),
    Part("Enabled", "enabled"),
    Part("GenericBoolean", "generic_boolean"),
    Part("Heartbeat", "heartbeat", gap=1.0, messages=12),
    Part("Humidity", "humidity", gap=2.5, messages=24, poll=1.0),
    Part("Hvac", "hvac", gap=1.0, trace=2),
    Part("MTAirCompressorsPressure", "mt_air_compressors_pressure"),
    Part("MTAirCompressorsState", "mt_air_compressors_state"),
    Part("MTCCWFollowingRotator", "mt_ccw_following_rotator"),
    Part("MTDomeSubsystemEnabled", "mtdome_subsystem_enabled"),
    Part("MTForceError", "mt_force_error", gap=2.5, messages=24, poll=1.0),
    Part("MTM1M3ThermalFans", "mt_m1m3_thermal_fans"),
    Part("MTMirrorTemperature", "mt_mirror_temperature", gap=2.5, messages=24, poll=1.0),
    Part(
        "MTOutClosedLoopControl",
        "mt_out_closed_loop_control",
        explained="the Watcher forgets that the loop was closed before the power came on, and misses the fall",
    ),
    Part("MTTotalForceMoment", "mt_total_force_moment", gap=2.5, messages=24, poll=1.0),
    Part("MTVibrationRotator", "mt_vibration_rotator"),
    Part("OverTemperature", "over_temperature", gap=2.5, messages=24, poll=1.0),
    Part("PowerGeneratorRunning", "power_generator_running"),
    Part(
        "ScriptFailed",
        "script_failed",
        explained="the Watcher keeps the failure of a script that is not current any more",
    ),
    Part("UnderPressure", "under_pressure", gap=2.5, messages=24, poll=1.0),
]


def trace_of(part: Part) -> tuple[str, dict[str, typing.Any], list[tuple[str, dict[str, typing.Any]]]]:
    """Alarm, configuration, and the messages of the trace."""
    text = gzip.open(ROOT / f"tests/data/watcher/{part.classname}.jsonl.gz", "rt").read()
    lines = [json.loads(line) for line in text.splitlines()]
    heads = [i for i, line in enumerate(lines) if "alarm" in line] + [len(lines)]
    head, end = heads[part.trace - 1], heads[part.trace]
    messages = [(line["m"], line["f"]) for line in lines[head:end] if "m" in line]
    return lines[head]["alarm"], lines[head]["config"], messages[: part.messages]


def value(given: typing.Any) -> typing.Any:
    """A recorded value as a topic takes it."""
    if isinstance(given, list):
        return [value(v) for v in given]
    return float("nan") if given == "nan" else given


def make_config(root: pathlib.Path, parts: list[Part]) -> pathlib.Path:
    """A configuration repository for both."""
    rules = [{"classname": p.classname, "configs": [trace_of(p)[1]]} for p in parts]
    delays = {"auto_acknowledge_delay": 0, "auto_unacknowledge_delay": 0}
    watcher = {"disabled_sal_components": [], "escalation": [], "escalation_url": "", "escalation_timeout": 5, "rules": []}
    files = {
        "Watcher/v6/_init.yaml": watcher | delays | {"narrative_server_url": ""},
        "Watcher/v6/_test.yaml": {"rules": rules},
        "Catcher/v1/_init.yaml": {
            "instances": [],
            "auto_acknowledge_delay_s": 0,
            "auto_unacknowledge_delay_s": 0,
            "allowed_commands": [],
        },
        "Catcher/v1/_test.yaml": {"instances": [{"sal_index": CATCHER_INDEX, "rules": [f"{p.file}.yaml" for p in parts]}]},
    }
    for name, values in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(yaml.safe_dump(values))
    (root / "Catcher/v1/rules").mkdir()
    for part in parts:
        shutil.copy(ROOT / f"config_schema/examples/watcher/{part.file}.yaml", root / "Catcher/v1/rules")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


class Bus:
    """Topics that are written here, made when they are first asked for."""

    def __init__(self, domain: salobj.Domain) -> None:
        self.domain = domain
        self.salinfos: dict[str, salobj.SalInfo] = {}
        self.topics: dict[str, typing.Any] = {}

    def add(self, name: str) -> None:
        """Declare a topic."""
        component, attribute = name.split(".")
        if name in self.topics:
            return
        if component not in self.salinfos:
            csc, index = salobj.name_to_name_index(component)
            self.salinfos[component] = salobj.SalInfo(self.domain, csc, index, write_only=True)
        kind = salobj.topics.ControllerEvent if attribute.startswith("evt_") else salobj.topics.ControllerTelemetry
        self.topics[name] = kind(self.salinfos[component], attribute[4:])

    async def start(self) -> None:
        for salinfo in self.salinfos.values():
            await salinfo.start()

    async def write(self, name: str, fields: dict[str, typing.Any]) -> None:
        given = {k: value(v) for k, v in fields.items()}
        topic = self.topics[name]
        if isinstance(topic, salobj.topics.ControllerEvent):
            await topic.set_write(force_output=True, **given)
        else:
            await topic.set_write(**given)


class Seen:
    """The changes of severity of each alarm, with their send stamps."""

    def __init__(self, name_field: str) -> None:
        self.name_field = name_field
        self.changes: dict[str, list[tuple[int, float]]] = {}

    async def __call__(self, sample: typing.Any) -> None:
        changes = self.changes.setdefault(getattr(sample, self.name_field), [])
        if not changes or changes[-1][0] != sample.severity:
            changes.append((sample.severity, sample.private_sndStamp))


async def enable(*remotes: typing.Any) -> None:
    """From STANDBY to ENABLED, the last step together: from then on silence counts for both."""
    for remote in remotes:
        await peers.reach(remote, State.STANDBY)
    await asyncio.gather(*(remote.cmd_start.set_start(timeout=120) for remote in remotes))
    await asyncio.gather(*(remote.cmd_enable.start(timeout=60) for remote in remotes))
    for remote in remotes:
        await peers.reach(remote, State.ENABLED)


async def play(bus: Bus, part: Part) -> None:
    """Write the part's messages."""
    _, _, messages = trace_of(part)
    for i, (topic, fields) in enumerate(messages):
        await bus.write(topic, {k: v for k, v in fields.items() if k not in ("private_sndStamp", "timestamp")})
        await asyncio.sleep(part.gap)
        if part.classname == "Heartbeat" and i in (4, 8):
            await asyncio.sleep(17)
    if part.classname == "Heartbeat":
        await asyncio.sleep(16)


def compare(part: Part, alarm: str, theirs: list[tuple[int, float]], ours: list[tuple[int, float]]) -> bool:
    """Print the line of one alarm; true if both did the same, or it is known why not."""
    same = [s for s, _ in theirs] == [s for s, _ in ours]
    limit = TIME_LIMIT_S + part.poll
    gaps = [b - a for (_, a), (_, b) in zip(theirs[1:], ours[1:])] if same else []
    good = same and all(-limit <= gap <= TIME_LIMIT_S for gap in gaps)
    middle = f"{1000 * statistics.median(gaps):8.1f} {1000 * min(gaps):8.1f} {1000 * max(gaps):8.1f}" if gaps else ""
    word = "same" if good else ("TIME" if same else "DIFFERENT")
    print(f"{part.classname:26} {alarm:34} {len(theirs) - 1:8} {len(ours) - 1:8}  {word:10} {middle}")
    if not good and part.explained:
        print(f"    explained: {part.explained}")
    if not same:
        start = min([t for _, t in theirs + ours], default=0.0)
        for name, changes in (("Watcher", theirs), ("Catcher", ours)):
            print(f"    {name}: " + " ".join(f"{s}@{t - start:.2f}" for s, t in changes))
    return good or bool(part.explained and theirs and ours)


async def side_by_side(program: str, config: pathlib.Path, parts: list[Part]) -> bool:
    """Run both on the same messages."""
    environment = {"TS_XML_DIR": str(XML_DATA), "TS_CONFIG_OCS_DIR": str(config), "CATCHER_HTTP": "127.0.0.1:0"}
    environment["CATCHER_DATA_DIR"] = str(config.parent / "journal")
    watcher = f"{sys.executable} -c 'from lsst.ts.watcher import run_watcher; run_watcher()'"
    theirs, ours = Seen("name"), Seen("alarmName")
    async with salobj.Domain() as domain:
        bus = Bus(domain)
        for part in parts:
            for topic, _ in trace_of(part)[2]:
                bus.add(topic)
        await bus.start()
        include = ["alarm", "summaryState"]
        async with (
            salobj.Remote(domain, "Watcher", 0, include=include) as watcher_remote,
            salobj.Remote(domain, "Catcher", CATCHER_INDEX, include=include) as catcher_remote,
        ):
            watcher_remote.evt_alarm.callback = theirs
            catcher_remote.evt_alarm.callback = ours
            async with Program(watcher, env=environment) as one, Program(program, CATCHER_INDEX, env=environment) as other:
                try:
                    await enable(watcher_remote, catcher_remote)
                    await asyncio.sleep(2)
                    await asyncio.gather(*(play(bus, part) for part in parts))
                    await asyncio.sleep(SETTLE_S)
                except Exception:
                    for name, running in (("Watcher", one), ("Catcher", other)):
                        print(f"---- {name}\n{running.output()[-3000:]}")
                    raise
    print(f"{'class':26} {'alarm':34} {'Watcher':>8} {'Catcher':>8}  {'':10} Catcher after Watcher, ms: median, least, most")
    good = True
    for part in parts:
        alarm = trace_of(part)[0]
        good &= compare(part, alarm, theirs.changes.get(alarm, []), ours.changes.get(alarm, []))
    total = sum(len(theirs.changes.get(trace_of(part)[0], [])) - 1 for part in parts)
    print(f"{len(parts)} rule classes, {total} changes of severity by the Watcher")
    return good and total > 0


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True, help="the Catcher; the index is added")
    parser.add_argument("classes", nargs="*", help="only these")
    args = parser.parse_args()
    parts = [part for part in PARTS if not args.classes or part.classname in args.classes]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="side_by_side_"))
    try:
        config = folder / "config"
        config.mkdir()
        good = await side_by_side(args.program, make_config(config, parts), parts)
        await peers.delete_topics()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.flush()
    os._exit(0 if good else 1)


if __name__ == "__main__":
    asyncio.run(main())
