"""Wait for the next result of a rule, which something else triggers."""

from lsst.ts import salobj

from . import judge, schemas
from .base import CatcherScript


class WaitForResult(CatcherScript):
    """Waits for a result; one from before the script runs does not count."""

    schema = schemas.WAIT_FOR_RESULT
    events = ("result",)

    def expected_duration(self) -> float:
        return self.config.timeout

    async def act(self) -> None:
        config = self.config
        self.catcher.evt_result.flush()

        def is_wanted(data) -> bool:
            return data.ruleName == config.rule and config.task in ("", data.taskId)

        result = await self.next_event("result", is_wanted, config.timeout)
        severity = judge.severity_name(result.severity)
        self.log.info(f"result of {config.rule}, run {result.taskId}: severity {severity}, {result.result}")
        if judge.too_bad(result.severity, config.fail_from):
            raise salobj.ExpectedError(f"run {result.taskId} of rule {config.rule} ended with severity {severity}")
