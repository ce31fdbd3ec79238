"""Enable and disable rules."""

from lsst.ts import salobj

from . import schemas
from .base import CatcherScript


class EnableRules(CatcherScript):
    """Enables some rules and disables others. All are tried; the script fails if one was refused."""

    schema = schemas.ENABLE_RULES

    async def check(self) -> None:
        both = sorted(set(self.config.enable) & set(self.config.disable))
        if both:
            raise salobj.ExpectedError(f"to be enabled and disabled: {', '.join(both)}")
        if not self.config.enable and not self.config.disable:
            raise salobj.ExpectedError("no rule is named: give enable or disable")

    def expected_duration(self) -> float:
        return 1.0 + len(self.config.enable) + len(self.config.disable)

    async def act(self) -> None:
        problems = []
        work = [("disableRule", {"ruleName": name, "reason": self.config.reason}) for name in self.config.disable]
        work += [("enableRule", {"ruleName": name}) for name in self.config.enable]
        for command, fields in work:
            try:
                await self.command(command, **fields)
            except salobj.ExpectedError as error:
                problems.append(f"{fields['ruleName']}: {error}")
        if problems:
            raise salobj.ExpectedError("; ".join(problems))
