"""Mute alarms for a time, or end that."""

from . import schemas
from .base import SEVERITIES, CatcherScript


class Mute(CatcherScript):
    """Mutes alarms; a duration of 0 unmutes them."""

    schema = schemas.MUTE

    async def act(self) -> None:
        config = self.config
        if config.duration == 0:
            await self.command("unmute", alarmName=config.alarm)
            return
        await self.command(
            "mute",
            alarmName=config.alarm,
            muteDuration=config.duration,
            severity=SEVERITIES[config.severity],
            mutedBy=self.by(),
        )
