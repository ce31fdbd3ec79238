"""What the peer checks share: finding the real ts_salobj, starting programs, counting results.

Environment:
  TS_SALOBJ_DIR, TS_UTILS_DIR   checkouts of the Python code; not needed where `lsst.ts.salobj` can be imported
  TS_XML_DIR                    a checkout of ts_xml (or its `data` folder)
  LSST_KAFKA_BROKER_ADDR, LSST_SCHEMA_REGISTRY_URL   the servers
Where one of these is missing the checks say SKIPPED and why, and exit with 0.
"""

import asyncio
import os
import pathlib
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import typing

import ts_xml_suite

TIMEOUT = 30.0
"""Seconds until something that should come counts as missing."""


def skip(why: str) -> typing.NoReturn:
    """End the program: it cannot check anything here."""
    print(f"SKIPPED: {why}")
    sys.exit(0)


def prepare() -> pathlib.Path:
    """Make `lsst.ts.salobj` importable, with a ts_xml that has the Catcher. Returns the data folder of that ts_xml.

    Call it before anything of lsst is imported.
    """
    for name in ("LSST_KAFKA_BROKER_ADDR", "LSST_SCHEMA_REGISTRY_URL", "TS_XML_DIR"):
        if not os.environ.get(name):
            skip(f"{name} is not set")
    for name in ("TS_SALOBJ_DIR", "TS_UTILS_DIR"):
        if os.environ.get(name):
            sys.path.insert(0, os.path.join(os.environ[name], "python"))
    xml = pathlib.Path(tempfile.mkdtemp(prefix="ts_xml_")) / "ts_xml"
    source = ts_xml_suite.checkout(os.environ["TS_XML_DIR"])
    shutil.copytree(source / "python", xml / "python", ignore=shutil.ignore_patterns("__pycache__"))
    ts_xml_suite.add_catcher(xml)
    sys.path.insert(0, str(xml / "python"))
    os.environ.setdefault("LSST_TOPIC_SUBNAME", "test_" + secrets.token_hex(6))
    os.environ.setdefault("LSST_SITE", "test")
    try:
        import lsst.ts.salobj  # noqa: F401
    except ImportError as error:
        skip(f"the real ts_salobj cannot be imported ({error}); set TS_SALOBJ_DIR and TS_UTILS_DIR")
    return xml / ts_xml_suite.PACKAGE / "data"


class Report:
    """Counts checks and prints each as it is made."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []

    def check(self, name: str, good: bool, seen: object = "") -> bool:
        """One check; what was seen is printed when it failed."""
        if good:
            self.passed += 1
            print(f"ok    {name}")
        else:
            self.failed.append(name)
            print(f"FAIL  {name}: saw {seen}")
        sys.stdout.flush()
        return good

    def equal(self, name: str, seen: object, expected: object) -> bool:
        """Two values must be equal."""
        return self.check(name, seen == expected, f"{seen!r}, expected {expected!r}")

    async def part(self, function: typing.Callable[..., typing.Awaitable[None]], *args: typing.Any) -> None:
        """Run a group of checks; an error in it is a failed check, and the next group goes on."""
        print(f"--    {function.__name__}: {(function.__doc__ or '').splitlines()[0]}")
        start = time.monotonic()
        try:
            await asyncio.wait_for(function(self, *args), timeout=400)
        except Exception as error:  # noqa: BLE001
            self.failed.append(function.__name__)
            place = traceback.extract_tb(error.__traceback__)
            line = next((f.lineno for f in reversed(place) if pathlib.Path(f.filename).parent == HERE), 0)
            print(f"FAIL  {function.__name__} line {line}: {error!r}")
        print(f"--    {time.monotonic() - start:.1f} s")

    def finish(self) -> typing.NoReturn:
        """Print the sum and exit: 0 only if all checks were good."""
        print(f"{self.passed} checks good, {len(self.failed)} failed")
        for name in self.failed:
            print(f"  failed: {name}")
        sys.stdout.flush()
        os._exit(1 if self.failed or not self.passed else 0)


HERE = pathlib.Path(__file__).resolve().parent


class Program:
    """A program under test, run as its own process; output goes to a file."""

    def __init__(self, command: str, *args: object, env: dict[str, str] | None = None) -> None:
        self.args = [*shlex.split(command), *(str(a) for a in args)]
        self.log = tempfile.NamedTemporaryFile(prefix="peer_", suffix=".log", delete=False)
        self.env = os.environ | (env or {})
        self.process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Program":
        self.process = await asyncio.create_subprocess_exec(
            *self.args, stdout=self.log, stderr=asyncio.subprocess.STDOUT, env=self.env, start_new_session=True
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        if self.process is not None and self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), 15)
            except TimeoutError:
                os.killpg(self.process.pid, signal.SIGKILL)
                await self.process.wait()

    def terminate(self) -> None:
        """Send SIGTERM to the program itself."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    async def exit_code(self, timeout: float = TIMEOUT) -> int:
        """Wait for the end of the program."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), timeout)

    def output(self) -> str:
        """What the program has printed so far."""
        return pathlib.Path(self.log.name).read_text(errors="replace")


async def until(
    condition: typing.Callable[[], typing.Any], timeout: float = TIMEOUT, what: str = "condition"
) -> typing.Any:
    """Wait until a condition is true, and return its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} within {timeout} s")
        await asyncio.sleep(0.05)


async def refused(command: typing.Any, **fields: typing.Any) -> typing.Any:
    """The final acknowledgement of a command that should fail."""
    from lsst.ts import salobj

    try:
        return await command.set_start(**fields, timeout=TIMEOUT)
    except salobj.AckError as error:
        return error.ackcmd


async def next_state(remote: typing.Any) -> int:
    """The next summary state."""
    return (await remote.evt_summaryState.next(flush=False, timeout=TIMEOUT)).summaryState


async def reach(remote: typing.Any, state: int) -> None:
    """Wait until the latest summary state is this one."""

    def there() -> bool:
        sample = remote.evt_summaryState.get()
        return sample is not None and sample.summaryState == state

    await until(there, what=f"summary state {state}")


async def schema_of(schema_id: int) -> str:
    """The text that is registered under an id."""
    import aiohttp

    url = f"{os.environ['LSST_SCHEMA_REGISTRY_URL']}/schemas/ids/{schema_id}"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        return (await reply.json(content_type=None))["schema"]


def git(folder: pathlib.Path, *args: str) -> str:
    """Run git in a folder; what it printed."""
    who = ["-c", "user.name=check", "-c", "user.email=check@localhost"]
    done = subprocess.run(["git", *who, *args], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


async def delete_topics() -> None:
    """Delete all topics and schemas of LSST_TOPIC_SUBNAME, as salobj's own tests do."""
    from lsst.ts import salobj

    # The broker counts a killed process as a consumer until its session ends.
    deadline = time.monotonic() + 60
    while True:
        try:
            return await salobj.testutils.delete_kafka_topics()
        except AssertionError as error:
            if time.monotonic() > deadline:
                return print(f"topics of {os.environ['LSST_TOPIC_SUBNAME']} are left: {error}")
            await asyncio.sleep(2)
