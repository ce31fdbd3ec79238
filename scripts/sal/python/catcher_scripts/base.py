"""What all scripts share: the Remote of the Catcher, and commands that fail with the Catcher's own words."""

import time
import typing

from lsst.ts import salobj

from .schemas import SEVERITIES as SEVERITIES

COMMAND_TIMEOUT = 60.0
"""Seconds until a command has to be done. Adding a rule may wait for history."""


class CatcherScript(salobj.BaseScript):
    """A script that commands one Catcher.

    A child names its schema, its events, and writes `act`.

    Parameters
    ----------
    index : `int`
        SAL index of the script.
    """

    schema: typing.ClassVar[dict]
    """The configuration schema."""

    events: typing.ClassVar[tuple[str, ...]] = ()
    """Events of the Catcher that the script hears."""

    def __init__(self, index: int) -> None:
        super().__init__(index=index, descr=self.schema["description"])
        self.config: typing.Any = None
        self.catcher: typing.Any = None

    @classmethod
    def get_schema(cls) -> dict:
        return cls.schema

    def expected_duration(self) -> float:
        """About how long it takes, seconds."""
        return 5.0

    async def check(self) -> None:
        """Check what the schema cannot say; an error makes the script refuse its configuration."""

    async def configure(self, config: typing.Any) -> None:
        self.config = config
        await self.check()
        if self.catcher is None:
            self.catcher = salobj.Remote(self.domain, "Catcher", config.catcher, include=["summaryState", *self.events])
            await self.catcher.start_task

    def set_metadata(self, metadata: typing.Any) -> None:
        metadata.duration = self.expected_duration()
        metadata.totalCheckpoints = 2

    async def run(self) -> None:
        await self.checkpoint("command")
        await self.act()
        await self.checkpoint("done")

    async def act(self) -> None:
        """Do what the script is for."""
        raise NotImplementedError

    def by(self) -> str:
        """Who asks."""
        return self.config.by or f"Script:{self.salinfo.index}"

    async def command(self, name: str, **fields: typing.Any) -> str:
        """Send a command; the text of its acknowledgement."""
        try:
            ack = await getattr(self.catcher, f"cmd_{name}").set_start(timeout=COMMAND_TIMEOUT, **fields)
        except salobj.AckTimeoutError as error:
            raise salobj.ExpectedError(
                f"Catcher:{self.config.catcher} did not answer {name} within {COMMAND_TIMEOUT} s"
            ) from error
        except salobj.AckError as error:
            raise salobj.ExpectedError(
                f"Catcher:{self.config.catcher} refused {name}: {error.ackcmd.result}"
            ) from error
        self.log.info(f"{name}: {ack.result}")
        return ack.result

    async def next_event(self, name: str, wanted: typing.Callable[[typing.Any], bool], timeout: float) -> typing.Any:
        """The next event that is wanted. What came since the last look counts: flush before the command.

        Raises
        ------
        lsst.ts.salobj.ExpectedError
            If none comes in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            try:
                data = await getattr(self.catcher, f"evt_{name}").next(flush=False, timeout=max(left, 0.01))
            except TimeoutError as error:
                raise salobj.ExpectedError(
                    f"Catcher:{self.config.catcher}: what was waited for did not come within {timeout} s"
                ) from error
            if wanted(data):
                return data
