"""What guides and messages tell people to type."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("apps", "benchmarks", "bundles", "ci", "custom_components", "examples", "tests")
GUIDES = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))])


def test_nobody_is_told_to_install_this_package_from_a_registry():
    """It is in none, so that whoever takes its name there would be installed."""
    sources = sorted(path for folder in FOLDERS[:-1] for path in (ROOT / folder).rglob("*.py"))
    install = re.compile(r"pip install [^`\n]*custom_components")
    assert [path.name for path in (*GUIDES, *sources) if install.search(path.read_text(encoding="utf-8"))] == []


def test_a_server_of_monai_label_listens_to_this_machine_alone():
    """Its own default is every network that the machine is in, without a password."""
    text = "\n".join(path.read_text(encoding="utf-8").replace("\\\n", " ") for path in GUIDES)
    commands = re.findall(r"^monailabel start_server .*$", text, re.MULTILINE)
    assert len(commands) == 3
    assert [command for command in commands if "--host 127.0.0.1" not in command] == []
