"""Run a cycle of learning from QA codes: its steps one after the other, each once, wherever it was interrupted."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from custom_components.case_ids import CASE_ID
from custom_components.data.case_table import is_finished
from custom_components.data.cases import read_datalist
from custom_components.engines import SET_ASIDE
from custom_components.files import complete_file
from custom_components.learning.cycle_actions import (
    CodesMissing,
    RoundRefused,
    act,
    check_configs,
    keep_changed,
    refuse_if_stopped,
)
from custom_components.learning.cycle_plan import Plan, config_files
from custom_components.learning.cycle_settings import BUNDLES, CycleSettings, Learner
from custom_components.learning.cycle_steps import Command, Configs, Step

SETTINGS = "cycle.json"
RECORD = "steps.txt"
"""In the folder of a round: its steps in the order in which they were done, with all options, seeds too."""

MAY_CHANGE = ("rounds", "code_files", "bundles_dir")
"""Settings that a cycle which goes on may have otherwise."""

_BUNDLE = re.compile(rf"'[^',]*?({'|'.join(BUNDLES)})/configs/")

CODES_MISSING = 3
"""Exit code of a cycle that waits for codes."""


def run_cycle(settings: CycleSettings, *, dry_run: bool = False, tell: Callable[[str], None] = print) -> str:
    """Run the steps of a cycle that are not done yet.

    Every command is told before it runs, so that it can be run by hand.

    Args:
        settings: of the cycle; those of an interrupted one must be the same, but for `MAY_CHANGE` and what makes no
            difference to the steps that are done.
        dry_run: only tell.
        tell: what to tell with.

    Returns:
        A line that says where the weights are.

    Raises:
        ValueError: an interrupted cycle in the same folder has other settings, or a file is missing or cannot be read.
        SystemExit: a command failed, with its exit code; or codes are missing, with exit code 3; one line each.
    """
    out = Path(settings.output_dir)
    steps = Plan(settings)
    if dry_run:
        for step in steps:
            tell(_text(step))
        return f"{sum(1 for _ in steps)} steps; nothing was run"
    _check_files(settings)
    _check_settings(settings, out)
    try:
        _run(steps, settings, tell)
    except CodesMissing as pause:
        print(f"waiting for codes: {pause}", file=sys.stderr)
        raise SystemExit(CODES_MISSING) from None
    except RoundRefused as end:
        return f"the cycle ends: {end}"
    return f"{settings.rounds} rounds are done; the weights are {out / 'model.pt'}"


def _run(steps: Plan, settings: CycleSettings, tell: Callable[[str], None]) -> None:
    out = Path(settings.output_dir)
    for step in steps:
        mark = _mark(out, step)
        if mark.is_file():
            tell(f"# done before: {step.name}")
            if isinstance(step, Configs) and not (mark.parent / f"{_round(step)}.keep.txt").is_file():
                for line in keep_changed(step):
                    print(f"warning: {line}", file=sys.stderr)
            continue
        tell(f"\n# {step.name}\n{_text(step)}")
        line = _run_command(step) if isinstance(step, Command) else act(step)
        if line:
            tell(line)
        text = "\n".join(filter(None, (_text(step), line))) + "\n"
        with complete_file(mark) as partial:
            partial.write_text(text, encoding="utf-8")
        if (out / _round(step)).is_dir():
            with (out / _round(step) / RECORD).open("a", encoding="utf-8") as file:
                file.write(f"# {step.name}\n{text}")
        _keep_settings(settings, out / SETTINGS)


def _round(step: Step) -> str:
    """The round that a step is of, or what is before the first one."""
    return step.name.split("/")[0]


def _mark(out: Path, step: Step) -> Path:
    return out / "steps" / f"{step.name.replace('/', '.')}.txt"


def _run_command(step: Command) -> str:
    """Run a command; say what was set aside, if the rest is there."""
    sys.stdout.flush()
    verdict = step.guard.verdict if step.guard else None
    before = _written_at(step.summary), _written_at(verdict)
    code = subprocess.run([sys.executable, *step.words], check=False).returncode
    if not code:
        return ""
    is_summary_new, is_verdict_new = _written_at(step.summary) != before[0], _written_at(verdict) != before[1]
    if code == 1 and is_summary_new and (line := _set_aside(step)):
        return line
    if code == 1 and is_verdict_new and step.guard:
        refuse_if_stopped(step.guard)
    print(f"error: {step.name} ended with exit code {code}; the cycle goes on from it", file=sys.stderr)
    raise SystemExit(code if code > 0 else 1)


def _written_at(path: Path | None) -> int | None:
    return path.stat().st_mtime_ns if path is not None and path.is_file() else None


def _set_aside(step: Command) -> str:
    """How many cases an inference set aside; nothing if it did not come to its end, or none is left."""
    if step.summary is None or step.cases is None or not is_finished(step.summary):
        return ""
    datalist, section = step.cases
    table = pd.read_csv(step.summary, dtype=str)
    is_bad = table["status"] == SET_ASIDE
    missing = {case[CASE_ID] for case in read_datalist(datalist, section=section)} - set(table[CASE_ID])
    if missing or not is_bad.any() or is_bad.all():
        return ""
    return f"{is_bad.sum()} of {len(table)} cases were set aside, see {step.summary}; the cycle goes on without them"


def _text(step: Step) -> str:
    if isinstance(step, Command):
        return f"+ python {shlex.join(step.words)}"
    fields: dict[str, Any] = {one.name: getattr(step, one.name) for one in dataclasses.fields(step)}
    shown = ", ".join(
        f"{name}: {_in_words(value)}" for name, value in fields.items() if name not in ("name", "code_files", "page")
    )
    return f"+ {type(step).__name__.lower()} ({shown})"


def _in_words(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(_in_words(one) for one in value)
    return str(value)


def _check_files(settings: CycleSettings) -> None:
    """Make sure of what all steps need, before the first one runs for hours."""
    for name in ("datalist", "baseline_path"):
        path = Path(getattr(settings, name))
        if not path.is_file():
            raise ValueError(f"{name} is {path}: no such file")
    check_configs(config_files(settings))


def _check_settings(settings: CycleSettings, out: Path) -> None:
    """Refuse other settings than those that an interrupted cycle had, where a step was done with them."""
    path = out / SETTINGS
    if not path.is_file():
        return
    before, now = json.loads(path.read_text(encoding="utf-8")), _plain(settings)
    changed = [name for name, value in now.items() if name not in MAY_CHANGE and before.get(name) != value]
    for step in Plan(settings) if changed else ():
        mark = _mark(out, step)
        if mark.is_file() and (done := _comparable(mark.read_text(encoding="utf-8").splitlines()[0])) != _text_of(step):
            name = next((one for one in changed if done == _text_with(settings, step.name, one, before)), changed[0])
            raise ValueError(
                f"{path}: {name} is {before.get(name)!r}, this run has {now[name]!r}, but {step.name} was done: "
                "go on with the same settings, or name another output_dir"
            )


def _text_of(step: Step) -> str:
    return _comparable(_text(step))


def _comparable(text: str) -> str:
    """The text of a step whatever folder the bundles are in."""
    return _BUNDLE.sub(r"'\1/configs/", text)


def _text_with(settings: CycleSettings, step_name: str, name: str, before: Mapping[str, Any]) -> str:
    """The text of a step if one of the settings was what it was before; nothing if it was not there."""
    value: Any = before.get(name, getattr(settings, name))
    changes: dict[str, Any] = {name: Learner(**value) if name == "learner" else value}
    try:
        steps = Plan(dataclasses.replace(settings, **changes))
        return next((_text_of(step) for step in steps if step.name == step_name), "")
    except ValueError:  # the two do not go together
        return ""


def _keep_settings(settings: CycleSettings, path: Path) -> None:
    with complete_file(path) as partial:
        partial.write_text(json.dumps(_plain(settings), indent=2) + "\n", encoding="utf-8")


def _plain(settings: CycleSettings) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(settings)))
    return plain
