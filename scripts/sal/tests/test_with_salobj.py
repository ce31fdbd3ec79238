"""The scripts against a Catcher that is played here, on a real Kafka.

Needs lsst.ts.salobj, a ts_xml that has the Catcher, and LSST_KAFKA_BROKER_ADDR, LSST_SCHEMA_REGISTRY_URL;
`tests/interop/run script_queue` sets all of that up.

    python -m unittest discover -s scripts/sal/tests
"""

import asyncio
import contextlib
import json
import os
import pathlib
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python"))

MISSING = [n for n in ("LSST_KAFKA_BROKER_ADDR", "LSST_SCHEMA_REGISTRY_URL") if not os.environ.get(n)]
WHY = f"{MISSING[0]} is not set" if MISSING else ""
try:
    from lsst.ts import salobj
    from lsst.ts.xml.enums.Script import ScriptState
except ImportError as error:
    WHY = f"salobj cannot be imported: {error}"

if not WHY:
    from catcher_scripts.acknowledge import Acknowledge
    from catcher_scripts.add_rule import AddRule
    from catcher_scripts.enable_rules import EnableRules
    from catcher_scripts.mute import Mute
    from catcher_scripts.trigger_rule import TriggerRule
    from catcher_scripts.wait_for_result import WaitForResult

INDEX = 7
COMMANDS = "trigger addRule enableRule disableRule mute unmute acknowledge unacknowledge".split()


@unittest.skipIf(WHY, WHY)
class ScriptsTestCase(unittest.IsolatedAsyncioTestCase):
    next_script = 900_000 + os.getpid() % 10_000 * 10

    async def asyncSetUp(self) -> None:
        os.environ.setdefault("LSST_SITE", "test")
        if "LSST_TOPIC_SUBNAME" not in os.environ:
            salobj.set_test_topic_subname()
        self.asked: list[tuple[str, types.SimpleNamespace]] = []
        self.refuse: dict[str, str] = {}
        self.runs: list[dict] = []
        self.catcher = salobj.Controller("Catcher", INDEX)
        for name in COMMANDS:
            getattr(self.catcher, f"cmd_{name}").callback = self.answer(name)
        await self.catcher.start_task

    async def asyncTearDown(self) -> None:
        await self.catcher.close()

    def answer(self, name: str):
        async def answer(data):
            fields = {k: v for k, v in vars(data).items() if not k.startswith("private_")}
            self.asked.append((name, types.SimpleNamespace(**fields)))
            subject = getattr(data, "ruleName", getattr(data, "alarmName", ""))
            if subject in self.refuse:
                raise salobj.ExpectedError(self.refuse[subject])
            if name == "trigger":
                # The end comes before the acknowledgement: it must not be missed.
                for run in self.runs:
                    await self.catcher.evt_task.set_write(**run)
                return self.catcher.salinfo.make_ackcmd(
                    private_seqNum=data.private_seqNum, ack=salobj.SalRetCode.CMD_COMPLETE, result="run1"
                )

        return answer

    @contextlib.asynccontextmanager
    async def script(self, kind, **config):
        """A configured script."""
        type(self).next_script += 1
        script = kind(index=self.next_script)
        script.final_state_delay = 0
        try:
            await script.start_task
            data = script.cmd_configure.DataType()
            data.config = json.dumps({"catcher": INDEX, **config})
            await script.do_configure(data)
            group = script.cmd_setGroupId.DataType()
            group.groupId = "2026-11-21T03:00:00.000"
            await script.do_setGroupId(group)
            yield script
        finally:
            await script.close()

    async def until(self, condition) -> None:
        """Wait until something is the case."""
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.02)

    async def run_one(self, kind, expected, **config) -> str:
        """Run a script to its end; its reason."""
        async with self.script(kind, **config) as script:
            await script.do_run(script.cmd_run.DataType())
            self.assertEqual(script.state.state, expected, script.state.reason)
            return script.state.reason

    async def test_trigger(self) -> None:
        self.runs = [
            dict(taskId="other", ruleName="R", step="", state=5, severity=1, result="", reportUrl="", error="x"),
            dict(taskId="run1", ruleName="R", step="isr", state=4, severity=1, result="", reportUrl="", error=""),
            dict(taskId="run1", ruleName="R", step="", state=4, severity=2, result="", reportUrl="", error=""),
        ]
        await self.run_one(TriggerRule, ScriptState.DONE, rule="R", parameters={"a": 1}, timeout=20)
        name, fields = self.asked[0]
        self.assertEqual((name, fields.ruleName, json.loads(fields.parameters)), ("trigger", "R", {"a": 1}))
        reason = await self.run_one(TriggerRule, ScriptState.FAILED, rule="R", timeout=20, fail_from="warning")
        self.assertIn("ended with severity warning", reason)
        self.runs[-1] |= dict(state=5, error="no data")
        reason = await self.run_one(TriggerRule, ScriptState.FAILED, rule="R", timeout=20)
        self.assertIn("run run1 of rule R failed: no data", reason)
        self.runs = []
        await self.run_one(TriggerRule, ScriptState.DONE, rule="R", wait=False)
        reason = await self.run_one(TriggerRule, ScriptState.FAILED, rule="R", timeout=1)
        self.assertIn("did not come within 1", reason)

    async def test_a_refusal_is_told_in_the_catchers_words(self) -> None:
        self.refuse["Nosuch"] = "there is no rule Nosuch"
        reason = await self.run_one(TriggerRule, ScriptState.FAILED, rule="Nosuch")
        self.assertIn("Catcher:7 refused trigger: Failed: there is no rule Nosuch", reason)

    async def test_enable(self) -> None:
        await self.run_one(EnableRules, ScriptState.DONE, enable=["A"], disable=["B", "C"], reason="wind")
        asked = [(name, fields.ruleName) for name, fields in self.asked]
        self.assertEqual(asked, [("disableRule", "B"), ("disableRule", "C"), ("enableRule", "A")])
        self.assertEqual(self.asked[0][1].reason, "wind")
        self.refuse["B"] = "no"
        reason = await self.run_one(EnableRules, ScriptState.FAILED, enable=["A"], disable=["B"])
        self.assertIn("B: Catcher:7 refused disableRule: Failed: no", reason)
        self.assertEqual(self.asked[-1][1].ruleName, "A")
        for bad in ({}, {"enable": ["A"], "disable": ["A"]}):
            with self.subTest(bad=bad), self.assertRaises(salobj.ExpectedError):
                async with self.script(EnableRules, **bad):
                    pass

    async def test_add(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write("rules: []\n")
            file.flush()
            await self.run_one(AddRule, ScriptState.DONE, path=file.name, enabled=False)
        name, fields = self.asked[0]
        self.assertEqual((name, fields.definition, fields.enabled), ("addRule", "rules: []\n", False))
        await self.run_one(AddRule, ScriptState.DONE, definition="rules: [1]")
        self.assertEqual((self.asked[1][1].definition, self.asked[1][1].enabled), ("rules: [1]", True))
        for bad in ({}, {"path": "/nosuch.yaml"}, {"definition": "x" * 60_001}):
            with self.subTest(bad=list(bad)), self.assertRaises(salobj.ExpectedError):
                async with self.script(AddRule, **bad):
                    pass

    async def test_alarms(self) -> None:
        await self.run_one(Mute, ScriptState.DONE, alarm="Dome.*", duration=60, severity="serious", by="me")
        await self.run_one(Mute, ScriptState.DONE, alarm="Dome.*", duration=0)
        await self.run_one(Acknowledge, ScriptState.DONE, alarm="Wind")
        await self.run_one(Acknowledge, ScriptState.DONE, alarm="Wind", take_back=True)
        self.assertEqual([name for name, _ in self.asked], ["mute", "unmute", "acknowledge", "unacknowledge"])
        mute, acknowledge = self.asked[0][1], self.asked[2][1]
        self.assertEqual((mute.muteDuration, mute.severity, mute.mutedBy), (60, 3, "me"))
        self.assertEqual(acknowledge.severity, 4)
        self.assertTrue(acknowledge.acknowledgedBy.startswith("Script:9"))

    async def test_wait_for_result(self) -> None:
        async def publish(rule: str, task: str, severity: int) -> None:
            await self.catcher.evt_result.set_write(
                taskId=task, ruleName=rule, severity=severity, value=1.0, result="{}", force_output=True
            )

        for severity, expected in ((2, ScriptState.DONE), (3, ScriptState.FAILED)):
            config = dict(rule="R", task="run2", timeout=20, fail_from="serious")
            async with self.script(WaitForResult, **config) as script:
                # Of before it runs: does not count.
                await publish("R", "run2", 4)
                await self.until(lambda: getattr(script.catcher.evt_result.get(), "severity", 0) == 4)
                running = asyncio.create_task(script.do_run(script.cmd_run.DataType()))
                await self.until(lambda: script.catcher.evt_result.nqueued == 0)
                await publish("R", "run1", 4)
                await publish("Other", "run2", 4)
                await publish("R", "run2", severity)
                await running
                self.assertEqual(script.state.state, expected, script.state.reason)


if __name__ == "__main__":
    unittest.main()
