#!/usr/bin/env python3
"""The real ScriptQueue runs our scripts, which command the Catcher, whose rules add scripts to the real ScriptQueue.

  check_script_queue.py --program "target/debug/catcher run" --queue "command that starts the real ScriptQueue"

Two queues run: AuxTel (2), on which we add scripts as an observer does, and OCS (3), which rules may use.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import sys
import tempfile
import typing

import peers
from peers import Program, Report, reach, until

XML_DATA = peers.prepare()

import yaml  # noqa: E402
from lsst.ts import salobj  # noqa: E402
from lsst.ts.xml.enums.Script import ScriptState  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts" / "sal"
CATCHER, AUXTEL, OCS = 1, 2, 3
SLOW = 120.0
"""Seconds for what starts Python programs."""


def script_rule(name: str, path: str, config: dict, **more: object) -> dict:
    """A rule that adds a script to the queue OCS, by hand only."""
    step = {"queue": OCS, "path": path, "standard": False, "config": config, **more}
    return {"name": name, "trigger": {"manual": True}, "tasks": {"script": {"script_queue": step, "timeout": "2m"}}}


RULES = [
    {
        "name": "Peer.Wind",
        "inputs": {"wind": {"topic": "ESS:901.tel_airFlow", "field": "speed"}},
        "alarm": {"value": "wind", "levels": {"warning": 15.0}},
    },
    script_rule("Peer.Mute", "catcher/mute.py", {"catcher": CATCHER, "alarm": "Peer.Wind", "duration": 600}),
    script_rule("Peer.Fails", "catcher/enable_rules.py", {"catcher": CATCHER, "enable": ["No.Such.Rule"]}),
    script_rule("Peer.BadConfig", "catcher/mute.py", {"catcher": CATCHER, "alarm": "A", "severity": "high"}),
    {
        "name": "Peer.Pause",
        "trigger": {"manual": True},
        "tasks": {
            "pause": {
                "sal": {
                    "component": "ScriptQueue",
                    "index": AUXTEL,
                    "command": "pause",
                    "then": {"event": "queue", "where": {"running": False}, "timeout": "20s"},
                }
            },
            "resume": {
                "needs": ["pause"],
                "sal": {
                    "component": "ScriptQueue",
                    "index": AUXTEL,
                    "command": "resume",
                    "then": {"event": "queue", "where": {"running": True}, "timeout": "20s"},
                },
            },
        },
    },
]


def make_config(root: pathlib.Path) -> pathlib.Path:
    """A configuration repository."""
    folder = root / "Catcher" / "v1"
    (folder / "rules").mkdir(parents=True)
    base = {"instances": [], "auto_acknowledge_delay_s": 0, "auto_unacknowledge_delay_s": 0, "allowed_commands": []}
    site = {
        "instances": [{"sal_index": CATCHER, "rules": ["rules.yaml"]}],
        "allowed_commands": [{"component": "ScriptQueue", "indices": [AUXTEL], "commands": ["pause", "resume"]}],
        "backends": {"script_queue": {"queues": [{"index": OCS, "scripts": ["catcher/*.py"]}]}},
    }
    (folder / "_init.yaml").write_text(yaml.safe_dump(base))
    (folder / "_test.yaml").write_text(yaml.safe_dump(site))
    (folder / "rules" / "rules.yaml").write_text(yaml.safe_dump({"rules": RULES}))
    peers.git(root, "init", "-q", "-b", "main")
    peers.git(root, "add", "-A")
    peers.git(root, "commit", "-q", "-m", "first")
    return root


class World:
    """Remotes of everything that runs."""

    def __init__(self, domain: salobj.Domain, restart: typing.Callable[[], typing.Awaitable[None]]) -> None:
        self.restart = restart
        self.catcher = salobj.Remote(domain, "Catcher", CATCHER)
        self.auxtel = salobj.Remote(domain, "ScriptQueue", AUXTEL)
        self.ocs = salobj.Remote(domain, "ScriptQueue", OCS)
        self.scripts = salobj.Remote(domain, "Script", 0, include=["state"], readonly=True)
        self.states: dict[int, list[typing.Any]] = {}
        self.runs: dict[str, list[typing.Any]] = {}
        self.scripts.evt_state.callback = self.heard
        self.catcher.evt_task.callback = self.told

    async def heard(self, data: typing.Any) -> None:
        self.states.setdefault(data.salIndex, []).append(data)

    async def told(self, data: typing.Any) -> None:
        self.runs.setdefault(data.ruleName, []).append(data)

    async def add(self, path: str, config: dict) -> typing.Any:
        """Add a script to AuxTel as an observer does; its last word."""
        ack = await self.auxtel.cmd_add.set_start(
            isStandard=False, path=path, config=yaml.safe_dump(config), descr="peer check", location=2, timeout=SLOW
        )
        index = int(ack.result)
        final = {ScriptState.DONE, ScriptState.STOPPED, ScriptState.FAILED, ScriptState.CONFIGURE_FAILED}

        def over() -> typing.Any:
            return next((s for s in self.states.get(index, []) if s.state in final), None)

        return await until(over, SLOW, f"the end of script {index}")

    async def run(self, rule: str) -> dict[str, typing.Any]:
        """Trigger a rule from here; its run and its steps, when it is over."""
        ack = await self.catcher.cmd_trigger.set_start(ruleName=rule, parameters="{}", timeout=30)
        return await self.ended(rule, ack.result)

    async def ended(self, rule: str, task: str) -> dict[str, typing.Any]:
        def over() -> typing.Any:
            mine = [t for t in self.runs.get(rule, []) if t.taskId == task]
            return {t.step: t for t in mine} if any(t.step == "" and t.state >= 4 for t in mine) else None

        return await until(over, SLOW, f"the end of run {task} of {rule}")


async def full_circle(report: Report, world: World) -> None:
    """A script on AuxTel triggers a rule, which adds a script to OCS, which mutes an alarm of the Catcher."""
    last = await world.add("catcher/trigger_rule.py", {"catcher": CATCHER, "rule": "Peer.Mute", "timeout": SLOW})
    report.equal("trigger_rule.py is done", (last.state, last.reason), (ScriptState.DONE, ""))
    run = world.runs["Peer.Mute"][-1].taskId
    steps = await world.ended("Peer.Mute", run)
    report.equal("the run succeeded", steps[""].state, 4)
    report.equal("its script has an index of OCS", int(steps["script"].backendId) // 100_000, OCS)
    result = json.loads(steps["script"].result)
    report.equal("its outcome", (result["outcome"], result["checkpoints"] >= 2), ("done", True))
    print(f"      result: {result}")
    muted = world.catcher.evt_alarm.get()
    report.equal("the alarm is muted by the script", (muted.alarmName, muted.mutedSeverity), ("Peer.Wind", 4))
    report.check("by its index", muted.mutedBy == f"Script:{steps['script'].backendId}", muted.mutedBy)


async def rules_by_script(report: Report, world: World) -> None:
    """Scripts add, disable and enable rules, and take the Catcher's refusals."""
    new = {"rules": [{"name": "Peer.New", "inputs": {"w": {"topic": "ESS:901.tel_airFlow", "field": "speed"}},
                      "alarm": {"value": "w", "levels": {"warning": 9.0}}}]}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(yaml.safe_dump(new))
        file.flush()
        last = await world.add("catcher/add_rule.py", {"path": file.name})
    report.equal("add_rule.py is done", (last.state, last.reason), (ScriptState.DONE, ""))
    last = await world.add("catcher/enable_rules.py", {"disable": ["Peer.New"], "reason": "check"})
    report.equal("enable_rules.py is done", (last.state, last.reason), (ScriptState.DONE, ""))
    rule = world.catcher.evt_rule.get()
    report.equal("the rule is disabled", (rule.ruleName, rule.state), ("Peer.New", 3))
    last = await world.add("catcher/mute.py", {"alarm": "Peer.Wind", "severity": "high"})
    report.equal("a bad configuration is refused", last.state, ScriptState.CONFIGURE_FAILED)


async def failures(report: Report, world: World) -> None:
    """Scripts of rules that fail: the outcome is told, and the queue goes on."""
    steps = await world.run("Peer.Fails")
    report.equal("the run failed", steps[""].state, 5)
    error = steps["script"].error
    report.check("the reason is the Catcher's", "No.Such.Rule" in error and "was resumed" in error, error)
    print(f"      error: {error}")
    await until(lambda: world.ocs.evt_queue.get().running, 30, "OCS runs again")
    report.equal("nothing is left in its place", world.ocs.evt_queue.get().currentSalIndex, 0)
    steps = await world.run("Peer.BadConfig")
    error = steps["script"].error
    report.check("a bad configuration is told as that", "does not take its configuration" in error, error)
    print(f"      error: {error}")


async def guard(report: Report, world: World) -> None:
    """An observer's script is on the queue: nothing is added."""
    ack = await world.ocs.cmd_add.set_start(
        isStandard=False, path="catcher/wait_for_result.py", config="{rule: Peer.Wind, timeout: 300}", location=2, timeout=SLOW
    )
    observer = int(ack.result)
    steps = await world.run("Peer.Mute")
    error = steps["script"].error
    report.check("the queue is observing", "is observing" in error, error)
    print(f"      error: {error}")
    indices = [observer] + [0] * 399
    await world.ocs.cmd_stopScripts.set_start(length=1, salIndices=indices, terminate=True, timeout=SLOW)
    await until(lambda: world.ocs.evt_queue.get().length == 0, 30, "the observer's script is gone")


async def commands(report: Report, world: World) -> None:
    """The step `sal` with an event after each command."""
    steps = await world.run("Peer.Pause")
    report.equal("the run succeeded", steps[""].state, 4)
    events = {name: json.loads(steps[name].result)["event"]["running"] for name in ("pause", "resume")}
    report.equal("the events that were waited for", events, {"pause": False, "resume": True})


async def stop(report: Report, world: World) -> None:
    """A run that is cancelled takes its script out of the queue."""
    definition = {"rules": [script_rule("Peer.Long", "catcher/wait_for_result.py", {"rule": "Peer.Wind", "timeout": 300})]}
    await world.catcher.cmd_addRule.set_start(definition=yaml.safe_dump(definition), enabled=True, timeout=30)
    ack = await world.catcher.cmd_trigger.set_start(ruleName="Peer.Long", parameters="{}", timeout=30)
    await until(lambda: world.ocs.evt_queue.get().currentSalIndex, SLOW, "the script runs")
    index = world.ocs.evt_queue.get().currentSalIndex
    await world.catcher.cmd_cancelTask.set_start(taskId=ack.result, reason="not needed", timeout=30)
    steps = await world.ended("Peer.Long", ack.result)
    error = steps["script"].error
    report.check("it was stopped", f"script {index}" in error and "was stopped" in error, error)
    print(f"      error: {error}")
    await until(lambda: world.ocs.evt_queue.get().currentSalIndex == 0, 30, "the queue is empty")
    report.check("the queue runs", world.ocs.evt_queue.get().running)


async def restart(report: Report, world: World) -> None:
    """The Catcher is killed while its script waits behind a long one; both live on, and nothing is added twice."""
    before = {index for index in world.states if index // 100_000 == OCS}
    long = await world.catcher.cmd_trigger.set_start(ruleName="Peer.Long", parameters="{}", timeout=30)
    await until(lambda: world.ocs.evt_queue.get().currentSalIndex, SLOW, "the long script runs")
    mute = await world.catcher.cmd_trigger.set_start(ruleName="Peer.Mute", parameters="{}", timeout=30)

    def waits() -> bool:
        queue = world.ocs.evt_queue.get()
        known = any(t.taskId == mute.result and t.backendId for t in world.runs.get("Peer.Mute", []))
        states = world.states.get(queue.salIndices[0], []) if queue.length == 1 else []
        return known and bool(states) and states[-1].state == ScriptState.CONFIGURED

    await until(waits, SLOW, "the other one waits, configured")
    await world.restart()
    report.equal("the Catcher is back", world.catcher.evt_summaryState.get().summaryState, salobj.State.ENABLED)
    # Long enough for what would be wrong to be done.
    await asyncio.sleep(15)
    await world.catcher.cmd_cancelTask.set_start(taskId=long.result, reason="not needed", timeout=30)
    steps = await world.ended("Peer.Mute", mute.result)
    report.equal("the script that waited was followed to its end", steps[""].state, 4)
    report.equal("the first attempt did it", steps["script"].attempt, 1)
    steps = await world.ended("Peer.Long", long.result)
    report.equal("the long one was stopped", steps[""].state, 6)
    added = {index for index in world.states if index // 100_000 == OCS} - before
    report.equal("two scripts were added in all", len(added), 2)


PARTS = [full_circle, rules_by_script, failures, guard, commands, stop, restart]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="command that starts the Catcher; the index is added")
    parser.add_argument("--queue", required=True, help="command that starts the real ScriptQueue; the index is added")
    arguments = parser.parse_args()
    report = Report()
    paths = [p for p in sys.path if p and pathlib.Path(p).is_dir()]
    python = {"PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        (root / "standard").mkdir()
        env = {
            "TS_XML_DIR": str(XML_DATA),
            "TS_CONFIG_OCS_DIR": str(make_config(root / "config")),
            "CATCHER_HTTP": "127.0.0.1:0",
            "CATCHER_DATA_DIR": str(root / "journal"),
        }
        queue = ["--state", "enabled", "--standard", root / "standard", "--external", SCRIPTS / "scripts"]
        catcher = Program(arguments.program, CATCHER, "--state", "enabled", env=env)
        auxtel = Program(arguments.queue, AUXTEL, *queue, env=python)
        ocs = Program(arguments.queue, OCS, *queue, env=python)
        # One after the other: where two processes make the same topics at once, salobj's readers may die.
        async with salobj.Domain() as domain, contextlib.AsyncExitStack() as stack:

            async def again() -> None:
                """Kill the Catcher, and start it on the same data folder."""
                catcher.process.kill()
                await catcher.process.wait()
                await asyncio.sleep(5)
                world.catcher.evt_summaryState.flush()
                await stack.enter_async_context(Program(arguments.program, CATCHER, "--state", "enabled", env=env))
                state = None
                while state != salobj.State.ENABLED:
                    state = (await world.catcher.evt_summaryState.next(flush=False, timeout=SLOW)).summaryState

            world = World(domain, again)
            for remote in (world.catcher, world.auxtel, world.ocs, world.scripts):
                await remote.start_task
            try:
                for program, remote in ((auxtel, world.auxtel), (ocs, world.ocs), (catcher, world.catcher)):
                    await stack.enter_async_context(program)
                    await until(lambda: remote.evt_summaryState.get() is not None, SLOW, "a summary state")
                    await reach(remote, salobj.State.ENABLED)
                for part in PARTS:
                    await report.part(part, world)
            except TimeoutError as error:
                report.check("everything starts", False, error)
                for program in (catcher, auxtel, ocs):
                    print(program.output()[-3000:])
            if report.failed:
                print(catcher.output()[-6000:])
    await peers.delete_topics()
    report.finish()


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    asyncio.run(main())
