"""Trigger a rule by hand, and wait until its run is over."""

import json

from lsst.ts import salobj

from . import judge, schemas
from .base import CatcherScript


class TriggerRule(CatcherScript):
    """Triggers a rule; fails if the run does not end well."""

    schema = schemas.TRIGGER_RULE
    events = ("task",)

    def expected_duration(self) -> float:
        return self.config.timeout if self.config.wait else 5.0

    async def act(self) -> None:
        config = self.config
        self.catcher.evt_task.flush()
        task = await self.command("trigger", ruleName=config.rule, parameters=json.dumps(config.parameters))
        if not config.wait:
            return
        await self.checkpoint("wait")

        def is_over(data) -> bool:
            return data.taskId == task and data.step == "" and judge.is_final(data.state)

        run = await self.next_event("task", is_over, config.timeout)
        report = f", report {run.reportUrl}" if run.reportUrl else ""
        self.log.info(f"run {task} is over: severity {judge.severity_name(run.severity)}{report}")
        problem = judge.problem_of_run(config.rule, task, run.state, run.severity, run.error, config.fail_from)
        if problem:
            raise salobj.ExpectedError(problem)
