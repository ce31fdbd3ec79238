"""A stand-in for LOVE-manager: groups of subscribers, `initial_state` when somebody subscribes, and a browser beside it.

What it does is what LOVE-manager's consumer does with the messages of producers and browsers; where a real one runs, the checks use that.
"""

import asyncio
import json
import os
import typing

from aiohttp import ClientSession, WSMsgType, web

PASSWORD = "love_test"
PATH = "/manager/ws/subscription"


class Manager:
    """The stand-in. It can be stopped and started again at the same port."""

    def __init__(self) -> None:
        self.groups: dict[str, set[web.WebSocketResponse]] = {}
        self.runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """As a producer is told."""
        return f"ws://127.0.0.1:{self.port}{PATH}"

    async def __aenter__(self) -> "Manager":
        app = web.Application()
        app.router.add_get(PATH, self.serve)
        app.router.add_get(PATH + "/", self.serve)
        self.runner = web.AppRunner(app, shutdown_timeout=1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # noqa: SLF001
        return self

    async def __aexit__(self, *error: object) -> None:
        for members in list(self.groups.values()):
            for socket in list(members):
                await socket.close()
        await self.runner.cleanup()
        self.groups = {}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection."""
        if request.query.get("password") != PASSWORD:
            return web.Response(status=403)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await self.receive(socket, json.loads(message.data))
        finally:
            for members in self.groups.values():
                members.discard(socket)
        return socket

    async def receive(self, socket: web.WebSocketResponse, message: dict[str, typing.Any]) -> None:
        """A message of a client."""
        if message.get("option") == "subscribe":
            category, csc, index, stream = (message[key] for key in ("category", "csc", "salindex", "stream"))
            self.groups.setdefault(f"{category}-{csc}-{index}-{stream}", set()).add(socket)
            await socket.send_json({"data": f"Successfully subscribed to {category}-{csc}-{index}-{stream}"})
            if category == "event":
                salindex = index if index == "all" else int(index)
                data = [{"csc": csc, "salindex": salindex, "data": {"event_name": stream}}]
                await self.send(f"initial_state-{csc}-all-all", "initial_state", data)
        elif "data" in message:
            for one in message["data"]:
                for stream, payload in one["data"].items():
                    data = [{"csc": one["csc"], "salindex": one["salindex"], "data": {stream: payload}}]
                    await self.send(f"{message['category']}-{one['csc']}-{one['salindex']}-{stream}", message["category"], data)

    async def send(self, group: str, category: str, data: list[typing.Any]) -> None:
        """To everybody in a group."""
        for socket in list(self.groups.get(group, ())):
            await socket.send_json({"category": category, "data": data, "subscription": group})


class RealManager:
    """One that runs already."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def __aenter__(self) -> "RealManager":
        return self

    async def __aexit__(self, *error: object) -> None:
        pass


def manager() -> Manager | RealManager:
    """The real one that CATCHER_TEST_LOVE_URL names (its password is PASSWORD), else the stand-in."""
    url = os.environ.get("CATCHER_TEST_LOVE_URL")
    return RealManager(url) if url else Manager()


class Browser:
    """Subscribes as LOVE-frontend does, and keeps what LOVE-frontend keeps of alarms: `alarm` adds or replaces one, `stream`
    replaces all. Of other streams it keeps the last message."""

    def __init__(self, url: str, *streams: str) -> None:
        self.url = f"{url}/?password={PASSWORD}"
        self.streams = streams
        self.last: dict[str, typing.Any] = {}
        self.alarms: dict[str, dict[str, typing.Any]] = {}
        self.plain: dict[str, dict[str, typing.Any]] = {}
        """Alarms in messages that do not have the Watcher's field name: those of a LOVE-producer that does not know the Catcher."""
        self.lists = 0

    async def __aenter__(self) -> "Browser":
        self.session = ClientSession()
        self.socket = await self.session.ws_connect(self.url, max_msg_size=0)
        for stream in self.streams:
            category, csc, index, name = stream.split("-")
            message = {"option": "subscribe", "category": category, "csc": csc, "salindex": index, "stream": name}
            await self.socket.send_json(message)
        self.task = asyncio.create_task(self.read())
        return self

    async def __aexit__(self, *error: object) -> None:
        self.task.cancel()
        await self.socket.close()
        await self.session.close()

    async def read(self) -> None:
        """Take messages until the end."""
        async for message in self.socket:
            content = json.loads(message.data)
            if "category" not in content:
                continue
            one = content["data"][0]
            for stream, payload in one["data"].items():
                self.take(f"{content['category']}-{one['csc']}-{one['salindex']}-{stream}", payload)

    def take(self, stream: str, payload: typing.Any) -> None:
        """A payload of a stream."""
        self.last[stream] = payload
        if stream.startswith("event-Heartbeat"):
            self.last[f"heartbeat-{payload['csc']}-{payload['salindex']}"] = payload
        elif stream.endswith("-stream"):
            self.alarms = dict(payload["alarms"])
            self.lists += 1
        elif stream.endswith("-alarm"):
            field, book = ("name", self.alarms) if "name" in payload[0] else ("alarmName", self.plain)
            book[payload[0][field]["value"]] = payload[0]

    def severity(self, name: str) -> int:
        """Severity that is shown for an alarm; 0 if none is."""
        return self.alarms.get(name, {}).get("severity", {}).get("value", 0)
