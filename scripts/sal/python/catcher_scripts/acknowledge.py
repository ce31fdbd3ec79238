"""Acknowledge alarms, or take that back."""

from . import schemas
from .base import SEVERITIES, CatcherScript


class Acknowledge(CatcherScript):
    """Acknowledges alarms, or unacknowledges them."""

    schema = schemas.ACKNOWLEDGE

    async def act(self) -> None:
        config = self.config
        if config.take_back:
            await self.command("unacknowledge", alarmName=config.alarm)
            return
        severity = SEVERITIES[config.severity]
        await self.command("acknowledge", alarmName=config.alarm, severity=severity, acknowledgedBy=self.by())
