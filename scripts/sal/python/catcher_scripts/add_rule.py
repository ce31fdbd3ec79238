"""Add a rule, or replace the one of that name."""

import pathlib

from lsst.ts import salobj

from . import judge, schemas
from .base import CatcherScript


class AddRule(CatcherScript):
    """Adds a rule, from its configuration or from a file."""

    schema = schemas.ADD_RULE

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.definition = ""

    async def check(self) -> None:
        # A file that cannot be read is told before the script has its turn.
        path = getattr(self.config, "path", "")
        self.definition = pathlib.Path(path).read_text() if path else self.config.definition
        problem = judge.problem_of_definition(self.definition)
        if problem:
            raise salobj.ExpectedError(problem)

    async def act(self) -> None:
        await self.command("addRule", definition=self.definition, enabled=self.config.enabled)
