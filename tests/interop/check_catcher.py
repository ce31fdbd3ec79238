#!/usr/bin/env python3
"""The real Python Remote against the Catcher, on a real bus.

  check_catcher.py --program target/debug/run_catcher [--ocps "command that starts the real OCPS CSC in simulation"]

Other components are played by Python Controllers (ESS) and, for the runs, by the real OCPS CSC.
"""

import argparse
import asyncio
import json
import os
import pathlib
import signal
import sys
import tempfile
import typing

import peers
from peers import TIMEOUT, Program, Report, git, next_state, refused, until

XML_DATA = peers.prepare()

import yaml  # noqa: E402
from confluent_kafka import Consumer, TopicPartition  # noqa: E402
from lsst.ts import salobj  # noqa: E402
from lsst.ts.xml.component_info import ComponentInfo  # noqa: E402

SUBNAME = os.environ["LSST_TOPIC_SUBNAME"]
BROKER = os.environ["LSST_KAFKA_BROKER_ADDR"]
State, Ack = salobj.State, salobj.sal_enums.SalRetCode
NONE, WARNING, SERIOUS, CRITICAL = 1, 2, 3, 4
SUCCEEDED, FAILED, ABORTED, TIMED_OUT, SKIPPED = 4, 5, 6, 7, 8
ESS_INDEX, OCPS_INDEX = 901, 1
INDICES = range(1, 10)
IN_DISABLED = ["addRule", "removeRule", "enableRule", "disableRule", "explain", "showAlarms", "showRules", "showTasks"]


def wind_rule(name: str, warning: float = 15.0) -> dict[str, object]:
    """A rule without tasks: three levels on the wind speed."""
    return {
        "name": name,
        "description": "Wind is strong",
        "inputs": {"wind": {"topic": f"ESS:{ESS_INDEX}.tel_airFlow", "field": "speed"}},
        "alarm": {
            "value": "wind",
            "levels": {"warning": warning, "serious": 20.0, "critical": 30.0},
            "hysteresis": 1.0,
            "reason": "Wind {{ value | round(1) }} m/s",
        },
    }


def job_rule(name: str, index: int = OCPS_INDEX) -> dict[str, object]:
    """A rule that runs a pipeline, by hand only."""
    return {
        "name": name,
        "description": "Runs a pipeline",
        "parameters": {"pipeline": "true.yaml"},
        "trigger": {"manual": True},
        "tasks": {
            "job": {
                "ocps": {"index": index, "pipeline": "{{ parameters.pipeline }}", "data_query": "exposure=1"},
                "timeout": "60s",
            }
        },
    }


def definition(*rules: dict[str, object]) -> str:
    """Rules as the text of a definition."""
    return yaml.safe_dump({"rules": list(rules)}, sort_keys=False)


class Context:
    """The program, its configuration, and the wind that it sees."""

    def __init__(self, program: str, ocps: str, config: pathlib.Path, journal: pathlib.Path) -> None:
        self.program, self.ocps, self.config, self.journal = program, ocps, config, journal
        self.indices = iter(INDICES)

    def start(self, index: int, *args: str) -> Program:
        """The Catcher with that index."""
        env = {"TS_XML_DIR": str(XML_DATA), "TS_CONFIG_OCS_DIR": str(self.config), "CATCHER_HTTP": "127.0.0.1:0"}
        env["CATCHER_DATA_DIR"] = str(self.journal / str(index))
        return Program(self.program, index, *args, env=env)


def make_config(root: pathlib.Path) -> pathlib.Path:
    """A configuration repository with one rule file, and files that are wrong."""
    folder = root / "Catcher" / "v1"
    (folder / "rules").mkdir(parents=True)
    instances = [{"sal_index": i, "rules": ["wind.yaml"]} for i in INDICES]
    allowed = [{"component": "OCPS", "commands": ["execute", "abort_job"]}]
    base = {"instances": [], "auto_acknowledge_delay_s": 0, "auto_unacknowledge_delay_s": 0, "allowed_commands": []}
    files = {
        "_init.yaml": base,
        "_test.yaml": {"instances": instances, "allowed_commands": allowed},
        "empty.yaml": {},
        "five_errors.yaml": {
            "auto_acknowledge_delay_s": -1,
            "auto_unacknowledge_delay_s": "never",
            "allowed_commands": [{"component": "OCPS"}],
            "max_concurrent_steps": {"ocps": -3},
            "no_such_key": 1,
        },
        "no_such_rules.yaml": {"instances": [{"sal_index": i, "rules": ["nope.yaml"]} for i in INDICES]},
        "bad_rules.yaml": {"instances": [{"sal_index": i, "rules": ["bad.txt"]} for i in INDICES]},
    }
    for name, values in files.items():
        (folder / name).write_text(yaml.safe_dump(values) if values else "")
    (folder / "rules" / "wind.yaml").write_text(definition(wind_rule("Peer.Wind")))
    (folder / "rules" / "bad.txt").write_text(definition(wind_rule("A") | {"inputs": {"wind": {"topic": "ESS.tel_nope"}}}))
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


class Ess:
    """A weather station, played by a Python Controller."""

    def __init__(self) -> None:
        self.controller = salobj.Controller("ESS", index=ESS_INDEX, write_only=True)

    async def __aenter__(self) -> "Ess":
        await self.controller.start_task
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.controller.close()

    async def wind(self, speed: float) -> None:
        """Publish a wind speed."""
        now = salobj.current_tai() if hasattr(salobj, "current_tai") else 0.0
        await self.controller.tel_airFlow.set_write(speed=speed, sensorName="peer", timestamp=now)


async def alarm(remote: typing.Any, name: str, **fields: object) -> typing.Any:
    """Wait for an alarm event of that name with those fields."""
    while True:
        sample = await remote.evt_alarm.next(flush=False, timeout=TIMEOUT)
        if sample.alarmName == name and all(getattr(sample, k) == v for k, v in fields.items()):
            return sample


async def rule_event(remote: typing.Any, name: str, **fields: object) -> typing.Any:
    """Wait for a rule event of that name with those fields."""
    while True:
        sample = await remote.evt_rule.next(flush=False, timeout=TIMEOUT)
        if sample.ruleName == name and all(getattr(sample, k) == v for k, v in fields.items()):
            return sample


async def enable(remote: typing.Any) -> None:
    """From STANDBY to ENABLED."""
    await peers.reach(remote, State.STANDBY)
    await remote.cmd_start.set_start(timeout=60)
    await remote.cmd_enable.start(timeout=60)
    await peers.reach(remote, State.ENABLED)


async def life_cycle(report: Report, context: Context) -> None:
    """States, configuration and its failures, every command in every state"""
    index = next(context.indices)
    async with salobj.Domain() as domain, salobj.Remote(domain, "Catcher", index) as remote:
        async with context.start(index) as program:
            report.equal("starts in STANDBY", await next_state(remote), State.STANDBY)
            available = await remote.evt_configurationsAvailable.next(flush=False, timeout=TIMEOUT)
            files = "bad_rules.yaml,empty.yaml,five_errors.yaml,no_such_rules.yaml"
            report.equal("overrides", (available.overrides, available.schemaVersion), (files, "v1"))
            ack = await refused(remote.cmd_start, configurationOverride="five_errors.yaml")
            wrong = ["auto_acknowledge_delay_s", "auto_unacknowledge_delay_s", "allowed_commands", "max_concurrent_steps", "no_such_key"]
            told = [key for key in wrong if key in ack.result]
            report.check("five errors are all told", ack.ack == Ack.CMD_FAILED and told == wrong, ack.result)
            ack = await refused(remote.cmd_start, configurationOverride="no_such_rules.yaml")
            report.check("a glob without files", ack.ack == Ack.CMD_FAILED and "nope.yaml" in ack.result, ack.result)
            ack = await refused(remote.cmd_start, configurationOverride="bad_rules.yaml")
            report.check("a bad rule file", ack.ack == Ack.CMD_FAILED and "tel_nope" in ack.result, ack.result)
            report.check("the state is still STANDBY", remote.evt_summaryState.get_oldest() is None)
            acks: list[int] = []
            first = await remote.cmd_start.set_start(timeout=60, wait_done=False)
            acks.append(first.ack)
            if first.ack == Ack.CMD_INPROGRESS:
                acks.append((await remote.cmd_start.next_ackcmd(first, timeout=60)).ack)
            report.equal("a long start tells that it is in progress", acks, [Ack.CMD_INPROGRESS, Ack.CMD_COMPLETE])
            report.equal("after start", await next_state(remote), State.DISABLED)
            applied = await remote.evt_configurationApplied.next(flush=False, timeout=TIMEOUT)
            report.equal("configurationApplied", applied.configurations, "_init.yaml,_test.yaml")
            await refused_commands(report, remote, State.DISABLED, ["enable", "standby", "setLogLevel", *IN_DISABLED])
            await remote.cmd_enable.start(timeout=60)
            report.equal("after enable", await next_state(remote), State.ENABLED)
            rule = await rule_event(remote, "Peer.Wind")
            report.check("the rule is published", rule.state == 2 and len(rule.revision) == 16 and bool(rule.definition), rule)
            sample = await alarm(remote, "Peer.Wind", severity=NONE)
            stamp = remote.evt_summaryState.get().private_sndStamp
            report.check("nominal alarms before ENABLED is published", sample.private_sndStamp <= stamp)
            await refused_commands(report, remote, State.ENABLED, ["disable", "setLogLevel", *own_commands(remote)])
            await remote.cmd_disable.start(timeout=60)
            report.equal("after disable", await next_state(remote), State.DISABLED)
            await remote.cmd_standby.start(timeout=60)
            report.equal("after standby", await next_state(remote), State.STANDBY)
            await refused_commands(report, remote, State.STANDBY, ["start", "exitControl", "setLogLevel"])
            ack = await remote.cmd_exitControl.start(timeout=TIMEOUT)
            report.equal("exitControl is acknowledged", ack.ack, Ack.CMD_COMPLETE)
            report.equal("after exitControl", await next_state(remote), State.OFFLINE)
            report.equal("the program ends", await program.exit_code(), 0)


def own_commands(remote: typing.Any) -> list[str]:
    """The Catcher's own commands."""
    generic = {"start", "enable", "disable", "standby", "exitControl", "setLogLevel"}
    return sorted(set(remote.salinfo.command_names) - generic)


async def refused_commands(report: Report, remote: typing.Any, state: int, allowed: list[str]) -> None:
    """All other commands fail because of the state, before their empty arguments are looked at."""
    wrong = []
    for name in sorted(set(remote.salinfo.command_names) - set(allowed)):
        ack = await refused(getattr(remote, f"cmd_{name}"))
        if ack.ack != Ack.CMD_FAILED or "not allowed in state" not in ack.result.lower():
            wrong.append((name, int(ack.ack), ack.result))
    report.equal(f"commands refused in {State(state).name}", wrong, [])


async def rules_by_command(report: Report, context: Context) -> None:
    """addRule, its failures, replacement, disable, enable, remove"""
    index = next(context.indices)
    async with salobj.Domain() as domain, salobj.Remote(domain, "Catcher", index) as remote, Ess() as ess:
        async with context.start(index):
            await enable(remote)
            first = await remote.cmd_addRule.set_start(definition=definition(wind_rule("Peer.Added")), enabled=True, timeout=30, wait_done=False)
            acks = [first.ack]
            if first.ack == Ack.CMD_INPROGRESS:
                acks.append((await remote.cmd_addRule.next_ackcmd(first, timeout=TIMEOUT)).ack)
            report.equal("addRule tells that it is in progress", acks, [Ack.CMD_INPROGRESS, Ack.CMD_COMPLETE])
            added = await rule_event(remote, "Peer.Added")
            report.check("the added rule is enabled", added.state == 2, added)
            base = wind_rule("Peer.Bad")
            bad = {
                "unknown field": (base | {"inputs": {"wind": {"topic": "ESS.tel_airFlow", "field": "sped"}}}, "sped"),
                "unknown topic": (base | {"inputs": {"wind": {"topic": "ESS.tel_airFlo", "field": "speed"}}}, "airFlo"),
                "type clash": (base | {"inputs": {"wind": {"topic": "ESS.tel_airFlow", "field": "sensorName"}}}, "wind"),
                "cyclic tasks": (
                    job_rule("Peer.Cycle") | {"tasks": {
                        "a": {"needs": ["b"], "ocps": {"index": 1, "pipeline": "x"}},
                        "b": {"needs": ["a"], "ocps": {"index": 1, "pipeline": "x"}},
                    }},
                    "cycl",
                ),
            }
            for what, (rule, text) in bad.items():
                ack = await refused(remote.cmd_addRule, definition=definition(rule), enabled=True)
                report.check(f"addRule: {what}", ack.ack == Ack.CMD_FAILED and text in ack.result.lower().replace("airflo", "airFlo"), ack.result)
            ack = await refused(remote.cmd_addRule, definition="rules: [", enabled=True)
            report.check("addRule: no YAML", ack.ack == Ack.CMD_FAILED and ack.result.startswith("Failed: "), ack.result)
            ack = await refused(remote.cmd_addRule, definition="# " + "x" * 70_000, enabled=True)
            report.check("addRule: too long", ack.ack == Ack.CMD_FAILED and "bytes" in ack.result, ack.result)
            await remote.cmd_addRule.set_start(definition=definition(wind_rule("Peer.Added", 5.0)), enabled=True, timeout=TIMEOUT)
            # An event of the old revision may come in between: its error has changed, now that it is judged.
            replaced = added
            while replaced.revision == added.revision:
                replaced = await rule_event(remote, "Peer.Added")
            report.check("addRule replaces", replaced.state == 2, replaced)
            await ess.wind(7.0)
            sample = await alarm(remote, "Peer.Added", severity=WARNING)
            report.equal("the new levels count", sample.ruleRevision, replaced.revision)
            await remote.cmd_disableRule.set_start(ruleName="Peer.Added", reason="check", timeout=TIMEOUT)
            report.check("disabled", await rule_event(remote, "Peer.Added", state=3))
            await remote.cmd_enableRule.set_start(ruleName="Peer.Added", timeout=TIMEOUT)
            report.check("enabled", await rule_event(remote, "Peer.Added", state=2))
            await remote.cmd_removeRule.set_start(ruleName="Peer.Added", timeout=TIMEOUT)
            report.check("removed", await rule_event(remote, "Peer.Added", state=6))
            await alarm(remote, "Peer.Added", severity=NONE)
            report.check("a final nominal event", True)
            ack = await refused(remote.cmd_removeRule, ruleName="Peer.Wind")
            report.check("a configured rule cannot be removed", "disableRule" in ack.result and ack.ack == Ack.CMD_FAILED, ack.result)
            for command in ("removeRule", "enableRule", "disableRule", "trigger"):
                ack = await refused(getattr(remote, f"cmd_{command}"), ruleName="Peer.Nobody")
                report.check(f"{command}: unknown rule", ack.ack == Ack.CMD_FAILED and "Peer.Nobody" in ack.result, ack.result)
            for command in ("explain", "promoteRule"):
                ack = await refused(getattr(remote, f"cmd_{command}"), ruleName="Peer.Nobody")
                report.check(f"{command}: unknown rule", ack.ack == Ack.CMD_FAILED and "Peer.Nobody" in ack.result, ack.result)
            for command in ("cancelTask", "rerunTask"):
                ack = await refused(getattr(remote, f"cmd_{command}"), taskId="0123456789abcdef", reason="check")
                report.check(f"{command}: unknown run", ack.ack == Ack.CMD_FAILED and "0123456789abcdef" in ack.result, ack.result)
            ack = await remote.cmd_makeLogEntry.set_start(alarmName="Peer.Nobody", timeout=TIMEOUT)
            report.check("makeLogEntry: nobody's alarm", "no alarm matches" in ack.result, ack.result)
            remote.evt_explanation.flush()
            await remote.cmd_explain.set_start(ruleName="Peer.Wind", timeout=TIMEOUT)
            told = await remote.evt_explanation.next(flush=False, timeout=TIMEOUT)
            report.check("explain", told.ruleName == "Peer.Wind" and json.loads(told.explanation)["inputs"], told)


async def alarms_by_command(report: Report, context: Context) -> None:
    """An alarm rises and falls; acknowledge, unacknowledge, mute, unmute, showAlarms"""
    index = next(context.indices)
    async with salobj.Domain() as domain, salobj.Remote(domain, "Catcher", index) as remote, Ess() as ess:
        async with context.start(index):
            await enable(remote)
            await ess.wind(25.0)
            sample = await alarm(remote, "Peer.Wind", severity=SERIOUS)
            report.equal("reason", sample.reason, "Wind 25.0 m/s")
            report.equal("maxSeverity", (sample.maxSeverity, sample.acknowledged), (SERIOUS, False))
            ack = await refused(remote.cmd_acknowledge, alarmName="Peer.Wind", severity=WARNING, acknowledgedBy="check")
            report.check("acknowledge below the severity fails", ack.ack == Ack.CMD_FAILED, ack.result)
            await remote.cmd_acknowledge.set_start(alarmName="Peer.W.*", severity=SERIOUS, acknowledgedBy="check", timeout=TIMEOUT)
            sample = await alarm(remote, "Peer.Wind", acknowledged=True)
            report.equal("acknowledged by", (sample.acknowledgedBy, sample.maxSeverity), ("check", SERIOUS))
            await remote.cmd_unacknowledge.set_start(alarmName="Peer.Wind", timeout=TIMEOUT)
            await alarm(remote, "Peer.Wind", acknowledged=False)
            await remote.cmd_mute.set_start(alarmName="Peer.Wind", muteDuration=60, severity=SERIOUS, mutedBy="check", timeout=TIMEOUT)
            sample = await alarm(remote, "Peer.Wind", mutedSeverity=SERIOUS)
            report.equal("muted by", sample.mutedBy, "check")
            await remote.cmd_unmute.set_start(alarmName="Peer.Wind", timeout=TIMEOUT)
            await alarm(remote, "Peer.Wind", mutedSeverity=NONE)
            ack = await refused(remote.cmd_acknowledge, alarmName="Nobody", severity=SERIOUS, acknowledgedBy="check")
            report.check("no match succeeds and says so", ack.ack == Ack.CMD_COMPLETE and ack.result != "Done", ack.result)
            ack = await refused(remote.cmd_acknowledge, alarmName="(", severity=SERIOUS, acknowledgedBy="check")
            report.check("a bad expression fails", ack.ack == Ack.CMD_FAILED, ack.result)
            await ess.wind(3.0)
            sample = await alarm(remote, "Peer.Wind", severity=NONE)
            report.equal("it falls, and is latched", sample.maxSeverity, SERIOUS)
            await remote.cmd_acknowledge.set_start(alarmName="Peer.Wind", severity=SERIOUS, acknowledgedBy="check", timeout=TIMEOUT)
            await alarm(remote, "Peer.Wind", maxSeverity=NONE)
            report.check("acknowledging resets it", True)
            remote.evt_alarm.flush()
            await remote.cmd_showAlarms.start(timeout=TIMEOUT)
            await alarm(remote, "Peer.Wind", severity=NONE)
            report.check("showAlarms publishes", True)
            statistics = await remote.tel_statistics.next(flush=True, timeout=TIMEOUT)
            report.check("statistics", statistics.memoryUsed > 0, statistics)


async def late_joiners(report: Report, context: Context) -> None:
    """A Remote with history starts beside a running Catcher, and beside one that has just stopped"""
    index = next(context.indices)
    async with context.start(index) as program:
        async with salobj.Domain() as domain, salobj.Remote(domain, "Catcher", index) as remote:
            await enable(remote)
        async with salobj.Domain() as domain:
            late = salobj.Remote(domain, "Catcher", index)
            await asyncio.wait_for(late.start_task, TIMEOUT)
            report.equal("history of a running one", late.evt_summaryState.get().summaryState, State.ENABLED)
        program.terminate()
        report.equal("SIGTERM ends with 0", await program.exit_code(), 0)
    async with salobj.Domain() as domain:
        late = salobj.Remote(domain, "Catcher", index)
        await asyncio.wait_for(late.start_task, TIMEOUT)
        report.equal("history of a stopped one", late.evt_summaryState.get().summaryState, State.ENABLED)
        report.check("history of its own events", late.evt_rule.get() is not None and late.evt_alarm.get() is not None)


async def restart(report: Report, context: Context) -> None:
    """An acknowledgement and an added rule survive kill -9"""
    index = next(context.indices)
    async with salobj.Domain() as domain, salobj.Remote(domain, "Catcher", index) as remote, Ess() as ess:
        async with context.start(index) as program:
            await enable(remote)
            await remote.cmd_addRule.set_start(definition=definition(wind_rule("Peer.Kept")), enabled=True, timeout=TIMEOUT)
            await ess.wind(25.0)
            await alarm(remote, "Peer.Kept", severity=SERIOUS)
            await remote.cmd_acknowledge.set_start(alarmName="Peer.Kept", severity=SERIOUS, acknowledgedBy="check", timeout=TIMEOUT)
            program.process.kill()
            await program.exit_code()
        for topic in (remote.evt_alarm, remote.evt_rule, remote.evt_summaryState):
            topic.flush()
        async with context.start(index):
            # State and configuration are in the journal: it goes back to where it was by itself.
            states = [await next_state(remote) for _ in range(3)]
            report.equal("states after kill -9", states, [State.STANDBY, State.DISABLED, State.ENABLED])
            report.check("the rule is there", (await rule_event(remote, "Peer.Kept")).state == 2)
            sample = await alarm(remote, "Peer.Kept")
            report.equal("the acknowledgement is there", (sample.acknowledged, sample.acknowledgedBy), (True, "check"))


async def task_end(remote: typing.Any, task_id: str) -> list[typing.Any]:
    """The task events of a run up to the final one of the run itself."""
    seen = []
    while True:
        sample = await remote.evt_task.next(flush=False, timeout=90)
        if sample.taskId == task_id:
            seen.append(sample)
            if sample.step == "" and sample.state in (SUCCEEDED, FAILED, ABORTED, TIMED_OUT, SKIPPED):
                return seen


async def job_started(remote: typing.Any, task_id: str) -> None:
    """Wait until OCPS has given the job of a run its id."""
    while True:
        sample = await remote.evt_task.next(flush=False, timeout=TIMEOUT)
        if sample.taskId == task_id and sample.step == "job" and sample.backendId:
            return


async def runs_on_ocps(report: Report, context: Context) -> None:
    """The real OCPS CSC runs the jobs that the Catcher commands"""
    if not context.ocps:
        print("SKIPPED: --ocps was not given")
        return
    index = next(context.indices)
    async with salobj.Domain() as domain, salobj.Remote(domain, "Catcher", index) as remote, salobj.Remote(domain, "OCPS", OCPS_INDEX) as ocps:
        async with context.start(index), Program(context.ocps, OCPS_INDEX) as ocps_program:
            await peers.reach(ocps, State.STANDBY)
            await salobj.set_summary_state(ocps, State.ENABLED)
            await enable(remote)
            await remote.cmd_addRule.set_start(definition=definition(job_rule("Peer.Job")), enabled=True, timeout=TIMEOUT)
            ids = {}
            for pipeline, state in (("true.yaml", SUCCEEDED), ("false.yaml", FAILED), ("fault.yaml", FAILED), ("nope.yaml", FAILED)):
                remote.evt_task.flush()
                parameters = json.dumps({"pipeline": pipeline})
                ack = await remote.cmd_trigger.set_start(ruleName="Peer.Job", parameters=parameters, timeout=TIMEOUT)
                report.check(f"{pipeline}: the id is the result", len(ack.result) == 16, ack.result)
                ids[pipeline] = ack.result
                events = await task_end(remote, ack.result)
                steps = [e for e in events if e.step == "job"]
                report.equal(f"{pipeline}: state of the run", events[-1].state, state)
                report.check(f"{pipeline}: the step has its job id", pipeline == "nope.yaml" or any(e.backendId for e in steps), steps)
                report.check(f"{pipeline}: the error is told", bool(steps[-1].error) == (state == FAILED), steps[-1])
                if pipeline == "fault.yaml":
                    await peers.reach(ocps, State.FAULT)
                    await salobj.set_summary_state(ocps, State.ENABLED)
            ack = await remote.cmd_rerunTask.set_start(taskId=ids["true.yaml"], reason="check", timeout=TIMEOUT)
            report.check("rerunTask: another id is the result", len(ack.result) == 16 and ack.result not in ids.values(), ack.result)
            events = await task_end(remote, ack.result)
            report.equal("rerunTask: state of the run", events[-1].state, SUCCEEDED)
            report.check("rerunTask: its parent is told", all(e.parentTaskId == ids["true.yaml"] for e in events), events)
            ack = await refused(remote.cmd_trigger, ruleName="Peer.Job", parameters="not JSON")
            report.check("trigger: bad parameters", ack.ack == Ack.CMD_FAILED, ack.result)

            ack = await remote.cmd_trigger.set_start(ruleName="Peer.Job", parameters="", timeout=TIMEOUT)
            await job_started(remote, ack.result)
            ocps.evt_job_result.flush()
            await remote.cmd_cancelTask.set_start(taskId=ack.result, reason="check", timeout=TIMEOUT)
            events = await task_end(remote, ack.result)
            report.equal("cancelTask: state of the run", events[-1].state, ABORTED)
            result = await ocps.evt_job_result.next(flush=False, timeout=TIMEOUT)
            report.equal("cancelTask: OCPS has aborted the job", result.exit_code, 255)
            ack = await refused(remote.cmd_cancelTask, taskId=ack.result, reason="check")
            report.check("cancelTask: a run that has ended", ack.ack == Ack.CMD_FAILED, ack.result)

            # No process has this index: nobody answers.
            await remote.cmd_addRule.set_start(definition=definition(job_rule("Peer.Nobody", 3)), enabled=True, timeout=TIMEOUT)
            ack = await remote.cmd_trigger.set_start(ruleName="Peer.Nobody", timeout=TIMEOUT)
            events = await task_end(remote, ack.result)
            report.equal("no OCPS: state of the run", events[-1].state, FAILED)
            report.check("no OCPS: the error is told", any(e.error for e in events), events)

            ack = await remote.cmd_trigger.set_start(ruleName="Peer.Job", parameters="", timeout=TIMEOUT)
            await job_started(remote, ack.result)
            os.killpg(ocps_program.process.pid, signal.SIGKILL)
            events = await task_end(remote, ack.result)
            report.check("OCPS dies: state of the run", events[-1].state in (FAILED, TIMED_OUT), events[-1])
            report.check("OCPS dies: the error is told", any(e.error for e in events), events)


async def wire(report: Report, context: Context) -> None:
    """Keys and registered schemas of the Catcher's own topics"""
    index = next(context.indices)
    async with context.start(index), salobj.Domain() as domain, salobj.Remote(domain, "Catcher", index) as remote:
        await enable(remote)
        await remote.tel_statistics.next(flush=True, timeout=TIMEOUT)
        info = ComponentInfo("Catcher", SUBNAME)
        consumer = Consumer({"bootstrap.servers": BROKER, "group.id": f"check-{SUBNAME}", "enable.auto.commit": False})
        for attr in ("evt_alarm", "evt_rule", "evt_summaryState", "tel_statistics"):
            topic = info.topics[attr]
            low, high = consumer.get_watermark_offsets(TopicPartition(topic.kafka_name, 0), timeout=10)
            consumer.assign([TopicPartition(topic.kafka_name, 0, high - 1)])
            record = consumer.poll(10)
            if not report.check(f"a record of {attr}", record is not None and not record.error()):
                continue
            text = await peers.schema_of(int.from_bytes(record.value()[1:5], "big"))
            report.equal(f"registered schema of {attr}", json.loads(text), topic.make_avro_schema())
            if attr.startswith("evt_"):
                key = f'{{ "name": "Catcher", "index": {index}, "topic": "{topic.sal_name}" }}'
                report.equal(f"key of {attr}", record.key().decode(), key)
        consumer.close()


PARTS = [life_cycle, rules_by_command, alarms_by_command, late_joiners, restart, runs_on_ocps, wire]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="command that starts the CSC; the index is added")
    parser.add_argument("--ocps", default="", help="command that starts the real OCPS CSC; the index is added")
    parser.add_argument("--only", nargs="*", default=[], help="names of parts")
    arguments = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        (root / "journal").mkdir()
        context = Context(arguments.program, arguments.ocps, make_config(root / "config"), root / "journal")
        for part in PARTS:
            if not arguments.only or part.__name__ in arguments.only:
                await report.part(part, context)
    await peers.delete_topics()
    report.finish()


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    asyncio.run(main())
