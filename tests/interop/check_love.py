#!/usr/bin/env python3
"""The real LOVE-producer and the real Watcher beside the Catcher, on a real bus: what does LOVE get to see?

  check_love.py --program "target/debug/catcher run" --catcher target/debug/catcher

LOVE-manager is the stand-in of `love_manager.py`, or a real one: CATCHER_TEST_LOVE_URL=ws://host:port/manager/ws/subscription, started with
PROCESS_CONNECTION_PASS=love_test.
"""

import argparse
import asyncio
import json
import logging
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import typing

import peers
from peers import Program, Report, git, until

XML_DATA = peers.prepare()

import yaml  # noqa: E402
from lsst.ts import salobj  # noqa: E402

try:
    import love.producer  # noqa: F401
    import lsst.ts.watcher  # noqa: F401
except ImportError as error:
    peers.skip(f"LOVE-producer or ts_watcher cannot be imported ({error})")

logging.getLogger().setLevel(logging.ERROR)  # LOVE-producer sets it to DEBUG when it is imported

from love_manager import PASSWORD, Browser, Manager, manager  # noqa: E402

State = salobj.State
INDEX, ESS_INDEX = 1, 902
NONE, WARNING, SERIOUS, CRITICAL = 1, 2, 3, 4
PRODUCER = "import sys; from love.producer import run_love_producer; sys.argv[1:] = {args!r}; run_love_producer()"
STREAMS = ["summaryState", "softwareVersions", "configurationApplied", "logLevel", "summary", "rule"]


def wind_rule(name: str, factor: float = 1.0) -> dict[str, typing.Any]:
    """A rule on the wind speed."""
    return {
        "name": name,
        "inputs": {"wind": {"topic": f"ESS:{ESS_INDEX}.tel_airFlow", "field": "speed"}},
        "alarm": {
            "value": "wind",
            "levels": {"warning": 15.0 * factor, "serious": 20.0 * factor, "critical": 30.0 * factor},
            "reason": "Wind {{ value | round(1) }} m/s",
        },
    }


RULES = yaml.safe_dump({"rules": [wind_rule("Love.Wind"), wind_rule("Love.Gale", 2.0)]}, sort_keys=False)


class Site:
    """Everything that runs."""

    def __init__(self, arguments: argparse.Namespace, root: pathlib.Path) -> None:
        self.arguments = arguments
        self.root = root
        self.manager = manager()
        xml_python = str(XML_DATA.parents[3])
        path = os.pathsep.join([xml_python, os.environ.get("PYTHONPATH", "")])
        self.python = {
            "PYTHONPATH": path,
            "WEBSOCKET_HOST": "",
            "PROCESS_CONNECTION_PASS": PASSWORD,
            "TS_CONFIG_OCS_DIR": str(root / "config"),
        }

    def catcher(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run the program as a user does."""
        command = [*shlex.split(self.arguments.catcher), *args]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TS_XML_DIR": str(XML_DATA)})

    def configure(self) -> None:
        """Configurations of the Catcher and of the Watcher, the latter with the relay that the Catcher makes."""
        catcher = self.root / "config/Catcher/v1"
        watcher = self.root / "config/Watcher/v6"
        (catcher / "rules").mkdir(parents=True)
        watcher.mkdir(parents=True)
        (catcher / "rules/wind.yaml").write_text(RULES)
        init = {"instances": [], "auto_acknowledge_delay_s": 0, "auto_unacknowledge_delay_s": 0, "allowed_commands": []}
        own = {"instances": [{"sal_index": INDEX, "rules": ["wind.yaml"]}]}
        own["love"] = {"url": self.manager.url, "password_env": "CATCHER_TEST_LOVE_PASSWORD"}
        (catcher / "_init.yaml").write_text(yaml.safe_dump(init))
        (catcher / "_test.yaml").write_text(yaml.safe_dump(own))
        init = {
            "disabled_sal_components": [],
            "auto_acknowledge_delay": 0,
            "auto_unacknowledge_delay": 0,
            "escalation": [],
            "escalation_url": "",
            "escalation_timeout": 5,
            "narrative_server_url": "",
            "rules": [],
        }
        (watcher / "_init.yaml").write_text(yaml.safe_dump(init))
        rules = str(catcher / "rules")
        made = self.catcher("love", "watcher-relay", rules, "--output", str(watcher / "_test.yaml"))
        assert made.returncode == 0, made.stdout + made.stderr
        made = self.catcher("love", "watcher-relay", "--module", "--output", str(self.root / "catcher_relay.py"))
        assert made.returncode == 0, made.stdout + made.stderr
        git(self.root / "config", "init", "-q", "-b", "main")
        git(self.root / "config", "add", "-A")
        git(self.root / "config", "commit", "-q", "-m", "first")

    def program(self) -> Program:
        """The Catcher."""
        env = {"TS_XML_DIR": str(XML_DATA), "TS_CONFIG_OCS_DIR": str(self.root / "config"), "CATCHER_HTTP": "127.0.0.1:0"}
        env |= {"CATCHER_DATA_DIR": str(self.root / "data"), "CATCHER_TEST_LOVE_PASSWORD": PASSWORD}
        return Program(self.arguments.program, INDEX, env=env)

    def producer(self, component: str) -> Program:
        """A real LOVE-producer, as LOVE runs one for each component."""
        host = self.manager.url.removeprefix("ws://")
        code = PRODUCER.format(args=[component])
        return Program(f"{sys.executable} -c {shlex.quote(code)}", env=self.python | {"WEBSOCKET_HOST": host})

    def watcher(self) -> Program:
        """The real Watcher, by the file that the Catcher makes."""
        return Program(f"{sys.executable} {self.root / 'catcher_relay.py'}", env=self.python)


class Seen:
    """The last `alarm` event of each alarm on the bus."""

    def __init__(self, remote: typing.Any, field: str) -> None:
        self.alarms: dict[str, typing.Any] = {}
        self.field = field
        remote.evt_alarm.callback = self

    async def __call__(self, sample: typing.Any) -> None:
        self.alarms[getattr(sample, self.field)] = sample

    def is_(self, name: str, **fields: object) -> bool:
        """True if the last event of the alarm has these values."""
        sample = self.alarms.get(name)
        return sample is not None and all(getattr(sample, key) == value for key, value in fields.items())


async def enable(remote: typing.Any) -> None:
    """From STANDBY to ENABLED."""
    await peers.reach(remote, State.STANDBY)
    await remote.cmd_start.set_start(timeout=120)
    await remote.cmd_enable.start(timeout=60)
    await peers.reach(remote, State.ENABLED)


async def command(remote: typing.Any, name: str, /, **params: object) -> str:
    """As LOVE-commander sends one: fields from the parameters, the result of the final acknowledgement back."""
    return (await getattr(remote, f"cmd_{name}").set_start(**params, timeout=10)).result


async def generic_panels(report: Report, site: Site, remote: typing.Any, wind: typing.Any) -> None:
    """The real LOVE-producer shows the Catcher as it shows any CSC."""
    streams = [f"event-Catcher-{INDEX}-{name}" for name in [*STREAMS, "alarm"]]
    streams += [f"telemetry-Catcher-{INDEX}-statistics", "event-Heartbeat-0-stream"]
    async with Browser(site.manager.url, *streams) as browser:
        for name in STREAMS:
            payload = await until(lambda: browser.last.get(f"event-Catcher-{INDEX}-{name}"), 90, f"event {name}")
            topic = getattr(remote, f"evt_{name}").topic_info
            report.equal(f"the producer sends all fields of {name}", set(payload[0]), set(topic.fields))
        state = browser.last[f"event-Catcher-{INDEX}-summaryState"][0]["summaryState"]
        report.equal("summaryState is what it is", state["value"], State.ENABLED)
        report.check("softwareVersions has our version", browser.last[f"event-Catcher-{INDEX}-softwareVersions"][0]["cscVersion"]["value"] != "")
        statistics = await until(lambda: browser.last.get(f"telemetry-Catcher-{INDEX}-statistics"), what="telemetry")
        fields = remote.tel_statistics.topic_info.fields
        units = {name: str(field.units) for name, field in fields.items()}
        report.equal("telemetry statistics has units", {k: v["units"] for k, v in statistics.items()}, units)
        beat = await until(lambda: browser.last.get(f"heartbeat-Catcher-{INDEX}"), what="heartbeat")
        report.equal("the heartbeat is not lost", beat["lost"], 0)
        await wind(16.5)
        await until(lambda: browser.plain.get("Love.Wind", {}).get("severity", {}).get("value") == WARNING, what="its alarm")
        report.check("an alarm comes through the producer", True)
        result = await command(remote, "setLogLevel", level=10)
        await until(lambda: browser.last[f"event-Catcher-{INDEX}-logLevel"][0]["level"]["value"] == 10, what="logLevel")
        report.check("a command of the generic panels works, and its event comes", True, result)
    names = set(remote.salinfo.command_names)
    report.check("LOVE-commander finds the commands", {"acknowledge", "mute", "unmute", "showAlarms", "start", "enable"} <= names, names)


async def own_producer(report: Report, site: Site, remote: typing.Any, wind: typing.Any) -> None:
    """The Catcher's own messages: the alarms as the Watcher's are sent, to whoever comes whenever"""
    both = [f"event-Catcher-{INDEX}-stream", f"event-Catcher-{INDEX}-alarm"]
    async with Browser(site.manager.url, *both) as early:
        await until(lambda: early.severity("Love.Gale") == NONE, what="the list")
        await wind(22.0)
        await until(lambda: early.severity("Love.Wind") == SERIOUS, what="the alarm")
        await until(lambda: early.plain["Love.Wind"]["severity"]["value"] == SERIOUS, what="the producer's")
        ours, theirs = early.alarms["Love.Wind"], early.plain["Love.Wind"]
        same = [field for field in theirs if not field.startswith("private_") or field in ("private_identity", "private_revCode")]
        report.equal("values, types and units equal those of LOVE-producer", {k: ours[k] for k in same}, {k: theirs[k] for k in same})
        shape = [{k: (v["dataType"], v["units"]) for k, v in alarm.items() if k != "name"} for alarm in (ours, theirs)]
        report.equal("fields are those of LOVE-producer, and `name`", shape[0], shape[1])
        async with Browser(site.manager.url, *both) as late:
            await until(lambda: late.severity("Love.Wind") == SERIOUS and late.severity("Love.Gale") == NONE, what="the late browser's alarms")
            report.check("a late browser sees all alarms", True)
        name = early.alarms["Love.Wind"]["name"]["value"]
        result = await command(remote, "acknowledge", alarmName=name, severity=SERIOUS, acknowledgedBy="love_user")
        await until(lambda: early.alarms["Love.Wind"]["acknowledged"]["value"], what="the acknowledgement")
        report.check("an operator acknowledges", "Love.Wind" in result, result)
        report.equal("and is named", early.alarms["Love.Wind"]["acknowledgedBy"]["value"], "love_user")
        await command(remote, "mute", alarmName=name, muteDuration=900, severity=SERIOUS, mutedBy="love_user")
        await until(lambda: early.alarms["Love.Wind"]["mutedSeverity"]["value"] == SERIOUS, what="the mute")
        await command(remote, "unmute", alarmName=name)
        await until(lambda: early.alarms["Love.Wind"]["mutedSeverity"]["value"] == NONE, what="the end of the mute")
        report.check("mute and unmute are shown", True)
        await wind(3.0)
        await until(lambda: early.severity("Love.Wind") == NONE, what="the end")
    if isinstance(site.manager, Manager):
        await site.manager.__aexit__()
        await wind(31.0)
        await asyncio.sleep(2)
        await site.manager.__aenter__()
        async with Browser(site.manager.url, *both) as after:
            await until(lambda: after.severity("Love.Wind") == CRITICAL, 60, "the alarm after LOVE was away")
        report.check("after LOVE was away it sees what happened meanwhile", True)
        await wind(3.0)


async def relay(report: Report, site: Site, remote: typing.Any, wind: typing.Any, domain: typing.Any) -> None:
    """A LOVE that knows the Watcher only: the relay that the Catcher makes, in the real Watcher"""
    include = ["alarm", "summaryState"]
    both = ["event-Watcher-0-stream", "event-Watcher-0-alarm"]
    async with (
        salobj.Remote(domain, "Watcher", 0, include=include) as watcher,
        site.watcher() as program,
        site.producer("Watcher:0"),
        Browser(site.manager.url, *both) as browser,
    ):
        seen = Seen(watcher, "name")
        try:
            await enable(watcher)
        except Exception:
            print(program.output()[-3000:])
            raise
        names = ["Catcher.Love.Gale", "Catcher.Love.Wind", "Catcher.others", "Enabled.Catcher:1", "Heartbeat.Catcher:1"]
        await until(lambda: len(seen.alarms) >= len(names), what="the Watcher's alarms")
        report.equal("the Watcher has an alarm for each of ours", sorted(seen.alarms), names)
        await wind(24.0)
        await until(lambda: seen.is_("Catcher.Love.Wind", severity=SERIOUS), what="SERIOUS in the Watcher")
        report.equal("the reason comes with it", seen.alarms["Catcher.Love.Wind"].reason, "Wind 24.0 m/s")
        report.check("other alarms are not touched", seen.is_("Catcher.Love.Gale", severity=NONE), seen.alarms)
        await until(lambda: browser.severity("Catcher.Love.Wind") == SERIOUS, 60, "the alarm in LOVE")
        report.check("LOVE shows it as an alarm of the Watcher", True)
        await command(watcher, "acknowledge", name="Catcher.Love.Wind", severity=SERIOUS, acknowledgedBy="love_user")
        await until(lambda: browser.alarms["Catcher.Love.Wind"]["acknowledged"]["value"], what="the acknowledgement")
        report.check("it is acknowledged in the Watcher", True)
        await wind(66.0)
        await until(lambda: seen.is_("Catcher.Love.Gale", severity=CRITICAL), what="the other alarm")
        await command(remote, "mute", alarmName="Love.Gale", muteDuration=900, severity=CRITICAL, mutedBy="x")
        await until(lambda: seen.is_("Catcher.Love.Gale", severity=NONE), what="the mute")
        await command(remote, "unmute", alarmName="Love.Gale")
        await until(lambda: seen.is_("Catcher.Love.Gale", severity=CRITICAL), what="the end of the mute")
        report.check("what is muted in the Catcher is none in the Watcher", True)
        added = yaml.safe_dump({"rules": [wind_rule("Love.Added")]}, sort_keys=False)
        await command(remote, "addRule", definition=added, enabled=True)
        await wind(17.0)
        await until(lambda: seen.is_("Catcher.others", severity=WARNING), what="the alarm of a new rule")
        report.equal("a rule that was added is shown with its name", seen.alarms["Catcher.others"].reason, "Love.Added: Wind 17.0 m/s")
        await watcher.cmd_disable.start(timeout=60)
        await watcher.cmd_enable.start(timeout=60)
        await command(remote, "showAlarms")
        await until(lambda: seen.is_("Catcher.Love.Wind", severity=WARNING, acknowledged=False), what="the alarm anew")
        report.check("after the Watcher was disabled, showAlarms brings the alarms back", True)
        await wind(3.0)
        for name in names[:3]:
            await until(lambda: seen.is_(name, severity=NONE), what=f"the end of {name}")
        await remote.cmd_disable.start(timeout=60)
        await remote.cmd_standby.start(timeout=60)
        await watcher.cmd_disable.start(timeout=60)
        await watcher.cmd_standby.start(timeout=60)


async def names(report: Report, site: Site) -> None:
    """`catcher rules check --watcher` refuses what the Watcher has."""
    clash = site.root / "clash.yaml"
    clash.write_text(yaml.safe_dump({"rules": [wind_rule("Enabled.ATDome:0")]}, sort_keys=False))
    watcher = site.root / "watcher.yaml"
    watcher.write_text("rules:\n- classname: Enabled\n  configs:\n  - name: ATDome\n")
    checked = site.catcher("rules", "check", "--json", "--watcher", str(watcher), str(clash))
    mistake = json.loads(checked.stdout)["mistakes"][0]
    report.equal("exit code and line", (checked.returncode, mistake["line"]), (1, 2))
    report.check("it says where the Watcher has it", f"{watcher}:4" in mistake["message"], mistake)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="command that starts the CSC; the index is added")
    parser.add_argument("--catcher", required=True, help="the program")
    arguments = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(arguments, pathlib.Path(folder).resolve())
        async with site.manager, salobj.Domain() as domain:
            site.configure()
            await report.part(names, site)
            ess = salobj.Controller("ESS", index=ESS_INDEX, write_only=True)
            await ess.start_task

            async def wind(speed: float) -> None:
                await ess.tel_airFlow.set_write(speed=speed, sensorName="love")

            async with (
                salobj.Remote(domain, "Catcher", INDEX) as remote,
                site.program() as catcher,
                site.producer(f"Catcher:{INDEX}") as producer,
            ):
                try:
                    await enable(remote)
                    await report.part(generic_panels, site, remote, wind)
                    await report.part(own_producer, site, remote, wind)
                    await report.part(relay, site, remote, wind, domain)
                finally:
                    log = catcher.output()
                    report.check("no password is in the Catcher's log", PASSWORD not in log)
                    if report.failed:
                        print(f"---- Catcher\n{log[-3000:]}\n---- LOVE-producer\n{producer.output()[-3000:]}")
            await ess.close()
    await peers.delete_topics()
    report.finish()


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    asyncio.run(main())
