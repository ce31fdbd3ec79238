#!/usr/bin/env python3
"""The real Python Remote against a program that plays the component Test.

  check_test_csc.py --program "target/debug/examples/test_csc"     the Rust CSC
  check_test_csc.py --program "run_test_csc"                       salobj's own TestCsc: every check must pass there too

The program takes the standard command line: INDEX [--state --override --configdir --loglevel --version].
It follows the list of behaviours that the description of SAL over Kafka gives as acceptance tests.
"""

import argparse
import asyncio
import json
import os
import pathlib
import re
import sys
import tempfile
import typing

import peers
from peers import TIMEOUT, Program, Report, git, next_state as state, refused, until

XML_DATA = peers.prepare()

import yaml  # noqa: E402
from confluent_kafka import Consumer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # noqa: E402
from lsst.ts import salobj  # noqa: E402
from lsst.ts.xml.component_info import ComponentInfo  # noqa: E402

SUBNAME = os.environ["LSST_TOPIC_SUBNAME"]
BROKER = os.environ["LSST_KAFKA_BROKER_ADDR"]
State, Ack = salobj.State, salobj.sal_enums.SalRetCode
OWN = ["fault", "setArrays", "setScalars", "wait"]
DEFAULTS = dict(string0="default value", bool0=True, int0=5, float0=3.14, intarr0=[-1, 1], multi_type=1)


class Context:
    """The program, and where its configuration is."""

    def __init__(self, program: str, config: pathlib.Path) -> None:
        self.program, self.config = program, config
        self.index = 100

    def next_index(self) -> int:
        """An index that no earlier check has used."""
        self.index += 1
        return self.index

    def start(self, index: int, *args: str) -> Program:
        """The program with that index."""
        return Program(self.program, index, *args, env=self.environment())

    def environment(self) -> dict[str, str]:
        """What the program needs to know."""
        return {"TS_XML_DIR": str(XML_DATA), "TS_CONFIG_OCS_DIR": str(self.config)}


def make_config(root: pathlib.Path) -> pathlib.Path:
    """A configuration repository with good and bad files; the value of int0 was 7 in its first commit."""
    folder = root / "Test" / "v2"
    folder.mkdir(parents=True)

    def write(name: str, **values: object) -> None:
        (folder / name).write_text(yaml.safe_dump(values) if values else "")

    write("_init.yaml", **DEFAULTS)
    write("_test.yaml", string0="site", metadata={"note": "free text"})
    write("all_fields.yaml", **(DEFAULTS | {"int0": 7, "string0": "override"}))
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    write("all_fields.yaml", **(DEFAULTS | {"int0": 8, "string0": "override"}))
    write("empty.yaml")
    write("bad_type.yaml", int0="text")
    write("bad_field.yaml", no_such_field=1)
    (folder / "bad_yaml.yaml").write_text("a: [1\nb: }")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "second")
    return root


async def start_sequence(report: Report, context: Context) -> None:
    """Events of a CSC that starts, their order and content"""
    index = context.next_index()
    async with salobj.Domain() as domain, salobj.Remote(domain, "Test", index) as remote:
        async with context.start(index):
            report.equal("summaryState at start", await state(remote), State.STANDBY)
            names = ["logLevel", "heartbeat", "simulationMode", "softwareVersions", "summaryState", "errorCode"]
            names.append("configurationsAvailable")
            # Each topic is read on its own: what was sent first need not come first.
            samples = {"summaryState": remote.evt_summaryState.get()}
            for name in names:
                if name not in samples:
                    samples[name] = await getattr(remote, f"evt_{name}").next(flush=False, timeout=TIMEOUT)
            # The heartbeat has a task of its own: only that it comes after logLevel is fixed.
            names.remove("heartbeat")
            stamps = [samples[name].private_sndStamp for name in names]
            later = samples["heartbeat"].private_sndStamp > samples["logLevel"].private_sndStamp
            report.check("the heartbeat begins after logLevel", later)
            report.check("their order", stamps == sorted(stamps), dict(zip(names, stamps)))
            report.equal("simulationMode", samples["simulationMode"].mode, 0)
            report.equal("errorCode", (samples["errorCode"].errorCode, samples["errorCode"].errorReport), (0, ""))
            report.check("cscVersion", bool(samples["softwareVersions"].cscVersion))
            available = samples["configurationsAvailable"]
            files = "all_fields.yaml,bad_field.yaml,bad_type.yaml,bad_yaml.yaml,empty.yaml"
            report.equal("overrides", available.overrides, files)
            folder = context.config / "Test" / "v2"
            version = git(folder, "describe", "--all", "--long", "--always", "--dirty")
            report.equal("version of the configuration", available.version, version)
            report.equal("url", available.url, folder.resolve().as_uri())
            report.equal("schemaVersion", available.schemaVersion, "v2")
            beat = samples["heartbeat"]
            report.equal("identity", beat.private_identity, f"Test:{index}")
            report.equal("revcode", beat.private_revCode, remote.evt_heartbeat.rev_code)
            report.equal("TAI less UTC", beat.private_sndStamp - beat.private_efdStamp, 37.0)
            report.equal("kafkaStamp", beat.private_kafkaStamp, beat.private_sndStamp)
            remote.evt_heartbeat.flush()
            beats = [await remote.evt_heartbeat.next(flush=False, timeout=3) for _ in range(4)]
            gaps = [b.private_sndStamp - a.private_sndStamp for a, b in zip(beats, beats[1:])]
            report.check("heartbeat once a second", all(0.8 < gap < 1.4 for gap in gaps), gaps)
            numbers = [b.private_seqNum for b in beats]
            report.equal("sequence numbers", numbers, list(range(numbers[0], numbers[0] + 4)))


async def transitions(report: Report, context: Context) -> None:
    """Every command in every state, as salobj's standard test of a CSC does"""
    index = context.next_index()
    async with salobj.Domain() as domain, salobj.Remote(domain, "Test", index) as remote:
        async with context.start(index) as program:
            report.equal("starts in STANDBY", await state(remote), State.STANDBY)
            steps = [
                (State.STANDBY, ["start", "exitControl", "setLogLevel", "fault"], "start", State.DISABLED),
                (State.DISABLED, ["enable", "standby", "setLogLevel", "fault"], "enable", State.ENABLED),
                (State.ENABLED, ["disable", "setLogLevel", *OWN], "disable", State.DISABLED),
                (State.DISABLED, ["enable", "standby", "setLogLevel", "fault"], "standby", State.STANDBY),
            ]
            for now, allowed, command, then in steps:
                for name in sorted(set(remote.salinfo.command_names) - set(allowed)):
                    ack = await refused(getattr(remote, f"cmd_{name}"))
                    shown = f"<State.{now.name}: {now.value}>"
                    text = f"Not allowed in state={shown}" if name in OWN else f"{name} not allowed in state {shown}"
                    report.equal(f"{name} in {now.name}", (ack.ack, ack.error, ack.result), (Ack.CMD_FAILED, 1, f"Failed: {text}"))
                ack = await getattr(remote, f"cmd_{command}").start(timeout=TIMEOUT)
                seen = (ack.ack, ack.error, ack.result, ack.timeout)
                report.equal(f"{command} in {now.name}", seen, (Ack.CMD_COMPLETE, 0, "Done", 0))
                report.equal(f"state after {command}", await state(remote), then)
            names = sorted(topic.sal_name for topic in ComponentInfo("Test", SUBNAME).topics.values())
            report.equal("cmdtype", ack.cmdtype, names.index("command_standby"))
            ack = await remote.cmd_exitControl.start(timeout=TIMEOUT)
            report.equal("exitControl is acknowledged", (ack.ack, ack.result), (Ack.CMD_COMPLETE, "Done"))
            report.equal("state after exitControl", await state(remote), State.OFFLINE)
            report.equal("the program ends", await program.exit_code(), 0)
            client = AdminClient({"bootstrap.servers": BROKER})

            def gone() -> bool:
                groups = [g.group_id for g in client.list_consumer_groups().result().valid]
                return not [g for g in groups if f"-Test:{index}-" in g and g != remote.salinfo.group_id]

            report.check("its consumer group is deleted", await until(gone, what="no group left"))


async def failures(report: Report, context: Context) -> None:
    """Fault, its texts, and how it ends"""
    index = context.next_index()
    async with salobj.Domain() as domain, salobj.Remote(domain, "Test", index) as remote:
        async with context.start(index, "--state", "enabled"):
            seen = [await state(remote) for _ in range(3)]
            report.equal("states on the way to --state enabled", seen, [State.STANDBY, State.DISABLED, State.ENABLED])
            await remote.cmd_fault.start(timeout=TIMEOUT)
            report.equal("fault", await state(remote), State.FAULT)
            report.equal("errorCode before", (await remote.evt_errorCode.next(flush=False, timeout=TIMEOUT)).errorCode, 0)
            code = await remote.evt_errorCode.next(flush=False, timeout=TIMEOUT)
            report.equal("errorCode", (code.errorCode, code.errorReport), (1, "executing the fault command"))
            ack = await refused(remote.cmd_setScalars)
            text = "Failed: Not allowed in Fault state: errorCode=1, errorReport='executing the fault command'"
            report.equal("a command in FAULT", ack.result, text)
            ack = await refused(remote.cmd_enable)
            report.equal("enable in FAULT", ack.result, "Failed: enable not allowed in state <State.FAULT: 3>")
            await remote.cmd_standby.start(timeout=TIMEOUT)
            report.equal("standby leaves FAULT", await state(remote), State.STANDBY)
            code = await remote.evt_errorCode.next(flush=False, timeout=TIMEOUT)
            report.equal("errorCode is cleared", (code.errorCode, code.errorReport), (0, ""))


async def values(report: Report, context: Context) -> None:
    """All types there and back: setScalars and setArrays, events and telemetry"""
    index = context.next_index()
    scalars = dict(
        boolean0=True, byte0=200, short0=-32768, int0=2**31 - 1, long0=-(2**31), longLong0=-(2**63), unsignedShort0=65535,
        unsignedInt0=2**32 - 1, float0=1.5, double0=float("inf"), string0='≤ "quoted" \\ \U0001f52d',
    )
    arrays = {k: [v] * 5 for k, v in scalars.items() if k != "string0"} | {"double0": [0.0, -1e300, float("nan"), 1e-300, 2.5]}
    async with salobj.Domain() as domain, salobj.Remote(domain, "Test", index) as remote:
        async with context.start(index, "--state", "enabled"):
            await peers.reach(remote, State.ENABLED)
            for command, name, data in (("setScalars", "scalars", scalars), ("setArrays", "arrays", arrays)):
                await getattr(remote, f"cmd_{command}").set_start(**data, timeout=TIMEOUT)
                for kind in ("evt", "tel"):
                    sample = await getattr(remote, f"{kind}_{name}").next(flush=False, timeout=TIMEOUT)
                    seen = {k: getattr(sample, k) for k in data}
                    report.equal(f"{kind}_{name}", repr(seen), repr(data))
                    report.equal(f"salIndex of {kind}_{name}", sample.salIndex, index)
            # Changed-only events, always-written telemetry.
            await remote.cmd_setScalars.set_start(**scalars, timeout=TIMEOUT)
            await remote.tel_scalars.next(flush=False, timeout=TIMEOUT)
            await asyncio.sleep(0.5)
            report.check("an unchanged event is not written again", remote.evt_scalars.get_oldest() is None)


async def waiting(report: Report, context: Context) -> None:
    """Acknowledgements over time: in progress, wait_done, several at once, none"""
    index = context.next_index()
    async with salobj.Domain() as domain, salobj.Remote(domain, "Test", index) as remote:
        async with context.start(index, "--state", "enabled"):
            await peers.reach(remote, State.ENABLED)
            loop = asyncio.get_running_loop()
            ack = await remote.cmd_wait.set_start(duration=2, timeout=1)
            report.equal("in progress extends the time", (ack.ack, ack.result), (Ack.CMD_COMPLETE, "Done"))
            ack = await remote.cmd_wait.set_start(duration=1, timeout=TIMEOUT, wait_done=False)
            report.equal("first acknowledgement", (ack.ack, ack.timeout, ack.result), (Ack.CMD_INPROGRESS, 1.0, ""))
            ack = await remote.cmd_wait.next_ackcmd(ack, timeout=TIMEOUT)
            report.equal("last acknowledgement", ack.ack, Ack.CMD_COMPLETE)
            start = loop.time()
            await asyncio.gather(*(remote.cmd_wait.set_start(duration=1, timeout=TIMEOUT) for _ in range(3)))
            report.check("three at once", loop.time() - start < 2, loop.time() - start)
            try:
                await remote.cmd_wait.set_start(duration=-3, timeout=1)
                report.check("no acknowledgement in time", False, "a final acknowledgement")
            except salobj.AckTimeoutError as error:
                seen = (error.ackcmd.ack, error.ackcmd.result)
                report.equal("no acknowledgement in time", seen, (Ack.CMD_NOACK, "No command acknowledgement seen"))


async def indices(report: Report, context: Context) -> None:
    """The index filter, and history of two instances"""
    one, two = context.next_index(), context.next_index()
    async with context.start(one, "--state", "enabled"), context.start(two):
        async with salobj.Domain() as domain, salobj.Remote(domain, "Test", one) as remote, salobj.Remote(domain, "Test", two) as other:
            await peers.reach(remote, State.ENABLED)
            await peers.reach(other, State.STANDBY)
            report.check("only the own index", all(s.salIndex == two for s in iter(other.evt_summaryState.get_oldest, None)))
        async with salobj.Domain() as domain, salobj.Remote(domain, "Test", 0) as every:
            states = {s.salIndex: s.summaryState for s in iter(every.evt_summaryState.get_oldest, None)}
            seen = (states.get(one), states.get(two))
            report.equal("history of both with index 0", seen, (State.ENABLED, State.STANDBY))
            ack = await every.cmd_setScalars.set_start(salIndex=one, int0=3, timeout=TIMEOUT)
            report.equal("command with index 0 to one instance", (ack.ack, ack.salIndex), (Ack.CMD_COMPLETE, one))
            try:
                await every.cmd_setScalars.set_start(salIndex=0, int0=3, timeout=3)
                report.check("salIndex 0 is no broadcast", False, "an acknowledgement")
            except salobj.AckTimeoutError:
                report.check("salIndex 0 is no broadcast", True)
        async with salobj.Domain() as domain, salobj.Remote(domain, "Test", two) as late:
            report.equal("history of one instance", late.evt_summaryState.get().summaryState, State.STANDBY)
            try:
                await late.evt_summaryState.next(flush=True, timeout=1)
                report.check("flush leaves history out", False, "history")
            except TimeoutError:
                report.check("flush leaves history out", True)


async def configuration(report: Report, context: Context) -> None:
    """Files, overrides, git references, and the texts of every failure"""
    index, folder = context.next_index(), context.config / "Test" / "v2"
    first = git(folder, "rev-parse", "--short", "HEAD~1")
    bad = [
        ("_test.yaml", "configurationOverride filename='_test.yaml' must not start with '_'"),
        ("missing.yaml", f"Config file '{folder / 'missing.yaml'}' does not exist"),
        ("all_fields.yaml:nope", f"Could not read config file {folder / '_init.yaml'} with git hash nope: "),
        ("bad_yaml.yaml", f"Could not parse data in {folder / 'bad_yaml.yaml'} as a dict: "),
        # What follows is the text of the JSON-schema library.
        ("bad_type.yaml", "Configuration failed validation: "),
        ("bad_field.yaml", "Configuration failed validation: "),
    ]
    good = [
        ("", "_init.yaml,_test.yaml"),
        ("empty.yaml", "_init.yaml,_test.yaml,empty.yaml"),
        ("all_fields.yaml", "_init.yaml,_test.yaml,all_fields.yaml"),
        (f":{first}", "_init.yaml,_test.yaml"),
        (f"all_fields.yaml:{first}", "_init.yaml,_test.yaml,all_fields.yaml"),
    ]
    async with salobj.Domain() as domain, salobj.Remote(domain, "Test", index) as remote:
        async with context.start(index):
            report.equal("starts in STANDBY", await state(remote), State.STANDBY)
            for override, text in bad:
                ack = await refused(remote.cmd_start, configurationOverride=override)
                starts = str(ack.result).startswith(f"Failed: {text}")
                report.check(f"start {override}", ack.ack == Ack.CMD_FAILED and starts, (ack.ack, ack.result))
            report.check("the state is still STANDBY", remote.evt_summaryState.get_oldest() is None)
            for override, files in good:
                remote.evt_configurationApplied.flush()
                await remote.cmd_start.set_start(configurationOverride=override, timeout=TIMEOUT)
                applied = await remote.evt_configurationApplied.next(flush=False, timeout=TIMEOUT)
                seen = (applied.configurations, applied.schemaVersion, applied.url)
                report.equal(f"start {override!r}", seen, (files, "v2", folder.resolve().as_uri()))
                report.equal(f"state after start {override!r}", await state(remote), State.DISABLED)
                await remote.cmd_standby.start(timeout=TIMEOUT)
                report.equal(f"state after standby {override!r}", await state(remote), State.STANDBY)
            (folder / "new.yaml").write_text("int0: 9\n")
            overrides = lambda: remote.evt_configurationsAvailable.get().overrides.split(",")  # noqa: E731
            await until(lambda: "new.yaml" in overrides(), what="a new file is noticed")
            report.check("a new file is noticed", True)
    (folder / "new.yaml").unlink()
    async with salobj.Domain() as domain, salobj.Remote(domain, "Test", index) as remote:
        remote.evt_configurationApplied.flush()
        async with context.start(index, "--state", "disabled", "--override", "all_fields.yaml"):
            applied = await remote.evt_configurationApplied.next(flush=False, timeout=TIMEOUT)
            report.equal("--override", applied.configurations, "_init.yaml,_test.yaml,all_fields.yaml")


async def logging(report: Report, context: Context) -> None:
    """setLogLevel and logMessage"""
    index = context.next_index()
    async with salobj.Domain() as domain, salobj.Remote(domain, "Test", index) as remote:
        async with context.start(index, "--loglevel", "30"):
            await state(remote)
            for level in (10, 20, 40):
                remote.evt_logLevel.flush()
                await remote.cmd_setLogLevel.set_start(level=level, timeout=TIMEOUT)
                seen = await remote.evt_logLevel.next(flush=False, timeout=TIMEOUT)
                report.equal(f"log level {level}", (seen.level, seen.subsystem), (level, ""))
            await remote.cmd_setLogLevel.set_start(level=20, timeout=TIMEOUT)
            remote.evt_logMessage.flush()
            await remote.cmd_fault.start(timeout=TIMEOUT)
            text = "Fault! errorCode=1, errorReport='executing the fault command'"
            messages = []

            def fault_seen() -> bool:
                messages.extend(iter(remote.evt_logMessage.get_oldest, None))
                return any(text in m.message for m in messages)

            await until(fault_seen, what="the fault is logged")
            message = next(m for m in messages if text in m.message)
            report.equal("level of the fault message", message.level, 50)
            report.check("where it was logged", bool(message.filePath and message.lineNumber and message.process), message)
            report.equal("logger", message.name, "Test")


async def wire(report: Report, context: Context) -> None:
    """What lies in Kafka and in the registry: topics, keys, frames, schemas"""
    index = context.next_index()
    async with context.start(index, "--state", "enabled"), salobj.Domain() as domain, salobj.Remote(domain, "Test", index) as remote:
        await peers.reach(remote, State.ENABLED)
        await remote.cmd_setScalars.set_start(int0=1, timeout=TIMEOUT)
    consumer = Consumer({"bootstrap.servers": BROKER, "group.id": f"check-{SUBNAME}-{index}", "enable.auto.commit": False})
    info = ComponentInfo("Test", SUBNAME)
    expected_keys = {
        "logevent_summaryState": f'{{ "name": "Test", "index": {index}, "topic": "logevent_summaryState" }}',
        "ackcmd": f'{{ "name": "Test", "index": {index}, "topic": "ackcmd" }}',
        "scalars": "",
    }
    for name, key in expected_keys.items():
        topic = f"lsst.{SUBNAME}.Test.{name}"
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        consumer.assign([TopicPartition(topic, 0, low)])
        found = None
        while True:
            record = consumer.poll(10)
            if record is None or record.error():
                break
            schema_id = int.from_bytes(record.value()[1:5], "big")
            text = await peers.schema_of(schema_id)
            if record.key() is not None and f'"index": {index},' in record.key().decode() or (name == "scalars"):
                found = (record, text)
            if record.offset() >= high - 1:
                break
        if not report.check(f"a record of {name}", found is not None):
            continue
        record, text = found
        report.equal(f"key of {name}", record.key().decode(), key)
        report.equal(f"headers of {name}", record.headers() or [], [])
        report.equal(f"first byte of {name}", record.value()[0], 0)
        attr = {"logevent_summaryState": "evt_summaryState", "ackcmd": "ack_ackcmd", "scalars": "tel_scalars"}[name]
        report.equal(f"registered schema of {name}", json.loads(text), info.topics[attr].make_avro_schema())
    consumer.close()
    client = AdminClient({"bootstrap.servers": BROKER})
    for name, policy in (("logevent_scalars", "compact"), ("scalars", "delete"), ("command_wait", "delete"), ("ackcmd", "delete")):
        resource = ConfigResource(ResourceType.TOPIC, f"lsst.{SUBNAME}.Test.{name}")
        config = client.describe_configs([resource])[resource].result()
        report.equal(f"cleanup policy of {name}", config["cleanup.policy"].value, policy)


async def command_line(report: Report, context: Context) -> None:
    """--version, bad arguments, a second instance, SIGTERM"""
    index = context.next_index()
    async with Program(context.program, "--version", env=context.environment()) as program:
        report.equal("--version exits with 0", await program.exit_code(), 0)
        report.check("--version prints one", re.search(r"\d+\.\d+", program.output()) is not None, program.output())
    for args in ([], ["text"], [index, "--state", "fault"], [index, "--no-such-option"]):
        async with Program(context.program, *args, env=context.environment()) as program:
            report.equal(f"arguments {args} exit with 2", await program.exit_code(), 2)
            told = "usage" in program.output().lower() or "--help" in program.output()
            report.check("usage is told", told, program.output())
    async with salobj.Domain() as domain, salobj.Remote(domain, "Test", index) as remote:
        async with context.start(index, "--state", "enabled") as program:
            await peers.reach(remote, State.ENABLED)
            async with context.start(index) as second:
                report.equal("a second instance exits with 1", await second.exit_code(), 1)
                told = re.search(rf"Test:{index} with origin=\d+ quitting: found another instance with origin={program.process.pid}\.", second.output())
                report.check("and says why", told is not None, second.output()[-500:])
            remote.evt_summaryState.flush()
            program.terminate()
            report.equal("SIGTERM ends with 0", await program.exit_code(), 0)
            report.check("SIGTERM publishes no state", remote.evt_summaryState.get_oldest() is None)


PARTS = [start_sequence, transitions, failures, values, waiting, indices, configuration, logging, wire, command_line]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="command that starts the CSC; the index is added")
    parser.add_argument("--only", nargs="*", default=[], help="names of parts")
    arguments = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        context = Context(arguments.program, make_config(pathlib.Path(folder).resolve()))
        for part in PARTS:
            if not arguments.only or part.__name__ in arguments.only:
                await report.part(part, context)
    await peers.delete_topics()
    report.finish()


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    asyncio.run(main())
