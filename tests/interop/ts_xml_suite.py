#!/usr/bin/env python3
"""Run ts_xml's own tests on the Catcher's interface.

Copies the checkout that TS_XML_DIR names to a temporary folder, adds the Catcher there as a new component is added
(XML files, entry in SALSubsystems.xml, list of subsystems, module of enumerations), and runs
`pytest -k "Catcher or salsubsystems or each_csc"`, or the whole suite with `--all`.

Needs a Python with pytest and the requirements of ts_xml (lxml, astropy, fastavro). Without TS_XML_DIR it says SKIPPED.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

XML = pathlib.Path(__file__).resolve().parents[2] / "salobj-interfaces" / "xml"
PACKAGE = pathlib.Path("python/lsst/ts/xml")


def checkout(path: str) -> pathlib.Path:
    """The root of a checkout, also where its data folder was given."""
    root = pathlib.Path(path).resolve()
    return root if (root / PACKAGE).is_dir() else root.parents[4]


def edit(path: pathlib.Path, pattern: str, insert: str) -> None:
    """Insert text after the first match of a pattern."""
    text = path.read_text()
    match = re.search(pattern, text)
    if match is None:
        sys.exit(f"{path}: no {pattern!r}; is this ts_xml of another version?")
    path.write_text(text[: match.end()] + insert + text[match.end() :])


def enum_module() -> str:
    """The module enums/Catcher.py, made of the enumerations in the XML."""
    classes: dict[str, list[str]] = {}
    for file in sorted((XML / "Catcher").glob("*.xml")):
        for element in ElementTree.parse(file).getroot().findall("Enumeration"):
            for item in (element.text or "").split(","):
                name, value = item.strip().split("=")
                prefix, member = name.split("_", 1)
                classes.setdefault(prefix, []).append(f"    {member} = {value}\n")
    names = ", ".join(f'"{name}"' for name in classes)
    body = "".join(f"\n\nclass {name}(enum.IntEnum):\n{''.join(items)}" for name, items in classes.items())
    return f"__all__ = [{names}]\n\nimport enum\n{body}"


def add_catcher(root: pathlib.Path) -> None:
    """Add the component to a copy of ts_xml."""
    package = root / PACKAGE
    shutil.copytree(XML / "Catcher", package / "data/sal_interfaces/Catcher")
    entries = re.findall(r"  <SALSubsystem>.*?</SALSubsystem>\n", (XML / "SALSubsystems.xml").read_text(), re.S)
    entry = next(entry for entry in entries if "<Name>Catcher</Name>" in entry)
    edit(package / "data/sal_interfaces/SALSubsystems.xml", r"<SALSubsystemSet[^>]*>\n", entry)
    edit(package / "testutils.py", r"(?m)^subsystems\b[^=\n]*= \[\n", '    "Catcher",\n')
    (package / "enums/Catcher.py").write_text(enum_module())
    edit(package / "enums/__init__.py", r"from \. import \(\n", "    Catcher,\n")


def main() -> int:
    source = os.environ.get("TS_XML_DIR")
    if not source:
        print("SKIPPED: TS_XML_DIR is not set; it must name a checkout of ts_xml")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "ts_xml"
        shutil.copytree(checkout(source), root, ignore=shutil.ignore_patterns(".git", ".pytest_cache", "__pycache__"))
        add_catcher(root)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
        if "--all" not in sys.argv[1:]:
            command += ["-k", "Catcher or salsubsystems or each_csc"]
        environment = os.environ | {"PYTHONPATH": str(root / "python")}
        return subprocess.run(command, cwd=root, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
