"""Run a cycle of learning from QA codes: its steps one after the other, each once, wherever it was interrupted."""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from custom_components.files import complete_file
from custom_components.learning.cycle_actions import CodesMissing, FewerSuccesses, act
from custom_components.learning.cycle_plan import Plan
from custom_components.learning.cycle_settings import CycleSettings
from custom_components.learning.cycle_steps import Command, Step

SETTINGS = "cycle.json"
MAY_CHANGE = ("rounds", "code_files", "bundles_dir")
"""Settings that a cycle which goes on may have otherwise."""

CODES_MISSING = 3
"""Exit code of a cycle that waits for codes."""


def run_cycle(settings: CycleSettings, *, dry_run: bool = False, tell: Callable[[str], None] = print) -> str:
    """Run the steps of a cycle that are not done yet.

    Every command is told before it runs, so that it can be run by hand.

    Args:
        settings: of the cycle; those of an interrupted one must be the same, but for `MAY_CHANGE`.
        dry_run: only tell.
        tell: what to tell with.

    Returns:
        A line that says where the weights are.

    Raises:
        ValueError: an interrupted cycle in the same folder has other settings, or a file cannot be read.
        SystemExit: a command failed, with its exit code; or codes are missing, with exit code 3; one line each.
    """
    out = Path(settings.output_dir)
    steps = Plan(settings)
    if dry_run:
        for step in steps:
            tell(_text(step))
        return f"{sum(1 for _ in steps)} steps; nothing was run"
    _keep_settings(settings, out / SETTINGS)
    try:
        _run(steps, out / "steps", tell)
    except CodesMissing as pause:
        print(f"waiting for codes: {pause}", file=sys.stderr)
        raise SystemExit(CODES_MISSING) from None
    except FewerSuccesses as end:
        return f"the cycle ends: {end}"
    return f"{settings.rounds} rounds are done; the weights are {out / 'model.pt'}"


def _run(steps: Iterable[Step], done: Path, tell: Callable[[str], None]) -> None:
    for step in steps:
        mark = done / f"{step.name.replace('/', '.')}.txt"
        if mark.is_file():
            tell(f"# done before: {step.name}")
            continue
        tell(f"\n# {step.name}\n{_text(step)}")
        if isinstance(step, Command):
            line = _run_command(step)
        else:
            line = act(step)
            tell(line)
        with complete_file(mark) as partial:
            partial.write_text(f"{line}\n", encoding="utf-8")


def _run_command(step: Command) -> str:
    """Run a command; give it as a line."""
    sys.stdout.flush()
    code = subprocess.run([sys.executable, *step.words], check=False).returncode
    if code:
        print(f"error: {step.name} ended with exit code {code}; the cycle goes on from it", file=sys.stderr)
        raise SystemExit(code if code > 0 else 1)
    return _text(step)


def _text(step: Step) -> str:
    if isinstance(step, Command):
        return f"+ python {shlex.join(step.words)}"
    fields: dict[str, Any] = {one.name: getattr(step, one.name) for one in dataclasses.fields(step)}
    shown = ", ".join(f"{name}: {value}" for name, value in fields.items() if name != "name")
    return f"+ {type(step).__name__.lower()} ({shown})"


def _keep_settings(settings: CycleSettings, path: Path) -> None:
    """Write the settings down; refuse others than those that an interrupted cycle had."""
    now = json.loads(json.dumps(dataclasses.asdict(settings)))
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        for name, value in now.items():
            if name not in MAY_CHANGE and before.get(name) != value:
                raise ValueError(
                    f"{path}: {name} is {before.get(name)!r}, this run has {value!r}: "
                    "go on with the same settings, or name another output_dir"
                )
    with complete_file(path) as partial:
        partial.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
