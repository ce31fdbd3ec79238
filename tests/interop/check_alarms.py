#!/usr/bin/env python3
"""The real Python Remote and the alarms of a Catcher that is killed again and again, on a real bus.

  check_alarms.py --program "target/debug/catcher run"

After each acknowledged command the program is killed (kill -9) and started on the same data folder: every field of every
alarm must be what it was. The history of the alarms, read beside the running program, must have each command once.
"""

import argparse
import asyncio
import datetime
import io
import json
import os
import pathlib
import shlex
import sys
import tempfile
import typing

import check_catcher as base
import fastavro
import peers
from check_catcher import CRITICAL, NONE, SERIOUS, WARNING, Ack, Context, Ess, State
from confluent_kafka import Consumer, TopicPartition
from lsst.ts import salobj, utils
from lsst.ts.xml.component_info import ComponentInfo
from peers import TIMEOUT, Report, refused

NAMES = ["Peer.High", "Peer.Low", "Peer.Other", "Peer.Wind"]
FIELDS = (
    "severity reason maxSeverity acknowledged acknowledgedBy escalatedId escalateTo mutedSeverity mutedBy "
    "timestampSeverityOldest timestampMaxSeverity timestampAcknowledged timestampAutoAcknowledge "
    "timestampAutoUnacknowledge timestampEscalate timestampUnmute ruleRevision"
).split()
Alarms = dict[str, dict[str, object]]


def rules() -> list[dict[str, object]]:
    """Four alarms on one wind speed, one of which never comes."""
    high = base.wind_rule("Peer.High")
    high["alarm"] |= {"escalate": {"responder": "team", "delay": "10m"}}
    low = base.wind_rule("Peer.Low") | {"alarm": {"value": "wind", "levels": {"warning": -5.0}, "direction": "below"}}
    return [base.wind_rule("Peer.Wind"), high, low, base.wind_rule("Peer.Other", warning=10.0)]


async def shown(remote: typing.Any) -> Alarms:
    """All alarms, as `showAlarms` publishes them."""
    remote.evt_alarm.flush()
    await remote.cmd_showAlarms.start(timeout=TIMEOUT)
    alarms: Alarms = {}
    while len(alarms) < len(NAMES):
        sample = await remote.evt_alarm.next(flush=False, timeout=TIMEOUT)
        alarms[sample.alarmName] = {field: getattr(sample, field) for field in FIELDS}
    return dict(sorted(alarms.items()))


async def serious(remote: typing.Any, *names: str) -> None:
    """Wait until all of these are, in whatever order they are published."""
    missing = set(names)
    while missing:
        sample = await remote.evt_alarm.next(flush=False, timeout=TIMEOUT)
        if sample.severity == SERIOUS:
            missing.discard(sample.alarmName)


def differences(before: Alarms, after: Alarms) -> list[tuple[object, ...]]:
    """Alarm, field, before and after of all that changed."""
    return [
        (name, field, before[name][field], after[name][field])
        for name in before
        for field in FIELDS
        if before[name][field] != after[name][field]
    ]


class Folder:
    """The data folder, read by the command line beside the program."""

    def __init__(self, context: Context, index: int) -> None:
        self.program = shlex.split(context.program)[0]
        self.data = context.journal / str(index)

    async def call(self, *args: str) -> str:
        """What `catcher alarms ...` prints."""
        process = await asyncio.create_subprocess_exec(
            self.program, "alarms", *args, "--data-dir", str(self.data), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, f"catcher alarms {args} gave {process.returncode}"
        return out.decode()

    async def history(self) -> list[dict[str, typing.Any]]:
        """Every transition."""
        text = await self.call("history", "--json", "--limit", "100000")
        return [json.loads(line) for line in text.splitlines()]


def broken(history: list[dict[str, typing.Any]]) -> list[object]:
    """What is wrong with it: numbers with gaps, transitions that do not begin as the one before ended."""
    wrong: list[object] = []
    ends: dict[str, object] = {}
    for n, one in enumerate(history):
        standing = {key: value for key, value in one["before"].items() if key != "since"}
        begin = ends.get(one["alarm"], {"severity": "none", "max_severity": "none"})
        if one["id"] != n + 1 or standing != begin:
            wrong.append((one["id"], one["alarm"], begin, standing))
        ends[one["alarm"]] = {key: value for key, value in one["after"].items() if key != "since"}
    return wrong


async def enabled_again(remote: typing.Any) -> None:
    """A killed program comes back to ENABLED by itself."""
    states = [await peers.next_state(remote) for _ in range(3)]
    assert states == [State.STANDBY, State.DISABLED, State.ENABLED], states


async def killed_after_each_command(report: Report, context: Context) -> None:
    """acknowledge, mute, unmute, unacknowledge: kill -9 after each, and all is as it was"""
    index = next(context.indices)
    folder = Folder(context, index)
    commands: list[tuple[str, dict[str, object], dict[str, dict[str, object]]]] = [
        ("acknowledge", {"alarmName": "Peer.Wind", "severity": SERIOUS, "acknowledgedBy": "eve"},
         {"Peer.Wind": {"acknowledged": True, "acknowledgedBy": "eve", "maxSeverity": SERIOUS}}),
        ("mute", {"alarmName": "Peer.(High|Other)", "muteDuration": 3600.0, "severity": CRITICAL, "mutedBy": "joe"},
         {name: {"mutedSeverity": CRITICAL, "mutedBy": "joe"} for name in ("Peer.High", "Peer.Other")}),
        ("unmute", {"alarmName": "Peer.Other"}, {"Peer.Other": {"mutedSeverity": NONE, "mutedBy": ""}}),
        ("mute", {"alarmName": "Peer.High", "muteDuration": 7200.0, "severity": SERIOUS, "mutedBy": "eve"},
         {"Peer.High": {"mutedSeverity": SERIOUS, "mutedBy": "eve"}}),
        ("unacknowledge", {"alarmName": "Peer.Wind"}, {"Peer.Wind": {"acknowledged": False, "acknowledgedBy": ""}}),
        ("acknowledge", {"alarmName": "Peer.*", "severity": CRITICAL, "acknowledgedBy": "joe"},
         {name: {"acknowledged": True, "maxSeverity": CRITICAL} for name in ("Peer.Wind", "Peer.High", "Peer.Other")}),
    ]  # fmt: skip
    async with salobj.Domain() as domain, salobj.Remote(domain, "Catcher", index) as remote, Ess() as ess:
        program = await context.start(index).__aenter__()
        try:
            await base.enable(remote)
            await ess.wind(25.0)
            await serious(remote, "Peer.Wind", "Peer.High", "Peer.Other")
            for n, (command, fields, expected) in enumerate(commands, 1):
                what = f"{n} {command} {fields['alarmName']}"
                ack = await getattr(remote, f"cmd_{command}").set_start(**fields, timeout=TIMEOUT)
                report.equal(f"{what}: acknowledged", ack.ack, Ack.CMD_COMPLETE)
                before = await shown(remote)
                wrong = [(a, f, before[a][f]) for a, all in expected.items() for f, v in all.items() if before[a][f] != v]
                report.equal(f"{what}: has its effect", wrong, [])
                program.process.kill()
                await program.exit_code()
                remote.evt_summaryState.flush()
                program = await context.start(index).__aenter__()
                await enabled_again(remote)
                report.equal(f"{what}: after kill -9 every field is what it was", differences(before, await shown(remote)), [])
            history = await folder.history()
            report.equal("the history is whole", broken(history), [])
            causes = [(h["cause"]["command"], h["alarm"], h["cause"].get("user", "")) for h in history if h["cause"]["kind"] == "command"]
            told = [
                ("acknowledge", "Peer.Wind", "eve"), ("mute", "Peer.High", "joe"), ("mute", "Peer.Other", "joe"),
                ("unmute", "Peer.Other", ""), ("mute", "Peer.High", "eve"), ("unacknowledge", "Peer.Wind", ""),
                *(("acknowledge", name, "joe") for name in ("Peer.High", "Peer.Other", "Peer.Wind")),
            ]  # fmt: skip
            report.equal("each command is there once, in order", causes, told)
            identity = remote.salinfo.identity
            senders = {h["cause"].get("identity") for h in history if h["cause"]["kind"] == "command"}
            report.equal("and says who sent it", senders, {identity})
            others = [h["moves"] for h in history if h["cause"]["kind"] != "command"]
            report.equal("the restarts are no transitions", others, [["raised"]] * 3)
        finally:
            await program.__aexit__()


async def killed_unanswered(report: Report, context: Context) -> None:
    """kill -9 while a command is worked on: it is there whole or not at all, in the alarm and in the history"""
    index = next(context.indices)
    folder = Folder(context, index)
    async with salobj.Domain() as domain, salobj.Remote(domain, "Catcher", index) as remote, Ess() as ess:
        program = await context.start(index).__aenter__()
        try:
            await base.enable(remote)
            await ess.wind(25.0)
            await base.alarm(remote, "Peer.Wind", severity=SERIOUS)
            for n in range(6):
                acknowledge = n % 2 == 0
                command = remote.cmd_acknowledge if acknowledge else remote.cmd_unacknowledge
                fields = {"alarmName": "Peer.Wind"}
                if acknowledge:
                    fields |= {"severity": SERIOUS, "acknowledgedBy": f"u{n}"}
                sent = asyncio.create_task(refused_or_lost(command, fields))
                await asyncio.sleep(0.004 * n)
                program.process.kill()
                await program.exit_code()
                sent.cancel()
                remote.evt_summaryState.flush()
                program = await context.start(index).__aenter__()
                await enabled_again(remote)
                alarm = (await shown(remote))["Peer.Wind"]
                history = [h for h in await folder.history() if h["alarm"] == "Peer.Wind"]
                after = history[-1]["after"]
                report.equal(
                    f"{n}: alarm and history agree", (alarm["acknowledged"], alarm["acknowledgedBy"]),
                    (after.get("acknowledged", False), after.get("acknowledged_by", "")),
                )  # fmt: skip
                if alarm["acknowledged"] != acknowledge:
                    await refused(command, **fields)
            report.equal("the history is whole", broken(await folder.history()), [])
        finally:
            await program.__aexit__()


async def refused_or_lost(command: typing.Any, fields: dict[str, object]) -> None:
    """A command whose answer may never come."""
    try:
        await command.set_start(**fields, timeout=5)
    except (salobj.AckError, asyncio.CancelledError):
        pass


async def a_mute_that_ends_while_it_is_dead(report: Report, context: Context) -> None:
    """Deadlines are absolute: what was overdue at the restart has happened when it is ENABLED"""
    index = next(context.indices)
    async with salobj.Domain() as domain, salobj.Remote(domain, "Catcher", index) as remote, Ess() as ess:
        async with context.start(index) as program:
            await base.enable(remote)
            await ess.wind(25.0)
            await base.alarm(remote, "Peer.Wind", severity=SERIOUS)
            await remote.cmd_mute.set_start(alarmName="Peer.Wind", muteDuration=2.0, severity=CRITICAL, mutedBy="joe", timeout=TIMEOUT)
            muted = await base.alarm(remote, "Peer.Wind", mutedSeverity=CRITICAL)
            program.process.kill()
            await program.exit_code()
        await peers.until(lambda: utils.current_tai() > muted.timestampUnmute, what="the end of the mute")
        remote.evt_summaryState.flush()
        async with context.start(index):
            await enabled_again(remote)
            alarm = (await shown(remote))["Peer.Wind"]
            report.equal("it is not muted any more", (alarm["mutedSeverity"], alarm["mutedBy"], alarm["timestampUnmute"]), (NONE, "", 0))
            last = (await Folder(context, index).history())[-1]
            report.equal("the history says that time did it", (last["moves"], last["cause"]), (["unmuted"], {"kind": "deadline", "timer": "unmute"}))


async def a_late_remote(report: Report, context: Context) -> None:
    """A Remote that starts late gets the newest alarm from the bus, and all of them by showAlarms; after kill -9, too"""
    index = next(context.indices)
    async with salobj.Domain() as domain, salobj.Remote(domain, "Catcher", index) as remote, Ess() as ess:
        async with context.start(index) as program:
            await base.enable(remote)
            await ess.wind(25.0)
            await serious(remote, "Peer.Wind", "Peer.High", "Peer.Other")
            await remote.cmd_acknowledge.set_start(alarmName="Peer.High", severity=SERIOUS, acknowledgedBy="eve", timeout=TIMEOUT)
            newest = await base.alarm(remote, "Peer.High", acknowledged=True)
            async with salobj.Domain() as late_domain, salobj.Remote(late_domain, "Catcher", index) as late:
                seen = late.evt_alarm.get()
                report.check("the newest alarm is there at once", seen is not None and seen.private_seqNum == newest.private_seqNum, seen)
                report.equal("with who acknowledged", (seen.alarmName, seen.acknowledgedBy), ("Peer.High", "eve"))
                before = await shown(late)
                report.equal("showAlarms gives all of them", list(before), NAMES)
            program.process.kill()
            await program.exit_code()
        async with salobj.Domain() as late_domain:
            late = salobj.Remote(late_domain, "Catcher", index)
            await asyncio.wait_for(late.start_task, TIMEOUT)
            seen = late.evt_alarm.get()
            report.check("also beside one that was killed", seen is not None and seen.alarmName in NAMES, seen)
            remote.evt_summaryState.flush()
            async with context.start(index):
                await enabled_again(remote)
                report.equal("and all of them when it is back", differences(before, await shown(late)), [])


async def the_history_beside_it(report: Report, context: Context) -> None:
    """`catcher alarms history | explain | kpi` beside the running program, against what is on the bus"""
    index = next(context.indices)
    folder = Folder(context, index)
    async with salobj.Domain() as domain, salobj.Remote(domain, "Catcher", index) as remote, Ess() as ess:
        async with context.start(index):
            await base.enable(remote)
            # What an earlier part has left on the bus is settled first.
            await ess.wind(3.0)
            await base.alarm(remote, "Peer.Wind", severity=NONE)
            await remote.cmd_acknowledge.set_start(alarmName="Peer.*", severity=CRITICAL, acknowledgedBy="eve", timeout=TIMEOUT)
            begin = len(await folder.history())
            for wind, severity in ((16.0, WARNING), (25.0, SERIOUS), (3.0, NONE)):
                await ess.wind(wind)
                await base.alarm(remote, "Peer.Wind", severity=severity)
            await remote.cmd_acknowledge.set_start(alarmName="Peer.Wind", severity=SERIOUS, acknowledgedBy="eve", timeout=TIMEOUT)
            whole = (await folder.history())[begin:]
            history = [h for h in whole if h["alarm"] == "Peer.Wind"]
            # It was acknowledged when it was over already, and stays so until it is raised again: as the Watcher's.
            moves = [["raised", "unacknowledged"], ["worse"], ["cleared"], ["acknowledged"]]
            report.equal("moves", [h["moves"] for h in history], moves)
            for one, wind in zip(history, (16.0, 25.0, 3.0)):
                message = one["evidence"]["message"]
                seen = await speed_at(message["partition"], message["offset"])
                name = f"{one['moves'][0]}: "
                report.equal(name + "the message that it names has the wind that decided", seen, wind)
                explained = json.loads(await folder.call("explain", str(one["id"]), "--json"))
                report.equal(name + "explain", explained, one)
                value = explained["evidence"]["explanation"]["inputs"][0]
                report.check(name + "value and age of the input", value["value"] == wind and 0 <= value["age_s"] < 10, value)
            text = await folder.call("explain", str(history[0]["id"]))
            report.check("in words", "Peer.Wind raised" in text and "decided by a message of ESS.airFlow" in text, text)
            since = utils.utc_from_tai_unix(whole[0]["at"] - 0.001)
            since = datetime.datetime.fromtimestamp(since, datetime.timezone.utc).isoformat()[:23]
            kpi = json.loads(await folder.call("kpi", "--from", since, "--json"))
            rises = sum(h["moves"][0] in ("raised", "worse") for h in whole)
            report.equal("kpi: annunciated", kpi["annunciated"], rises)
            report.equal("kpi: acknowledged", (kpi["acknowledged"]["count"], kpi["acknowledged"]["automatic"]), (1, 0))
            delay = history[3]["at"] - history[0]["at"]
            report.check("kpi: time to acknowledge", abs(kpi["acknowledged"]["median_s"] - delay) < 1e-6, kpi["acknowledged"])
            page = folder.data / "health.html"
            await folder.call("kpi", "--html", str(page))
            report.check("kpi: the page has a plot", "<svg" in page.read_text() and "Peer.Wind" in page.read_text())


async def speed_at(partition: int, offset: int) -> float:
    """The wind speed in a record on the bus."""
    info = ComponentInfo("ESS", os.environ["LSST_TOPIC_SUBNAME"]).topics["tel_airFlow"]
    settings = {"bootstrap.servers": base.BROKER, "group.id": "check-alarms", "enable.auto.commit": False}
    consumer = Consumer(settings)
    try:
        consumer.assign([TopicPartition(info.kafka_name, partition, offset)])
        record = await asyncio.to_thread(consumer.poll, 10)
        assert record is not None and record.offset() == offset, "no such record"
        schema = fastavro.parse_schema(info.make_avro_schema())
        return fastavro.schemaless_reader(io.BytesIO(record.value()[5:]), schema, None)["speed"]
    finally:
        consumer.close()


PARTS = [killed_after_each_command, killed_unanswered, a_mute_that_ends_while_it_is_dead, a_late_remote, the_history_beside_it]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="command that starts the CSC; the index is added")
    parser.add_argument("--only", nargs="*", default=[], help="names of parts")
    arguments = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        (root / "journal").mkdir()
        config = base.make_config(root / "config")
        (config / "Catcher/v1/rules/wind.yaml").write_text(base.definition(*rules()))
        context = Context(arguments.program, "", config, root / "journal")
        for part in PARTS:
            if not arguments.only or part.__name__ in arguments.only:
                await report.part(part, context)
    await peers.delete_topics()
    report.finish()


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    asyncio.run(main())
