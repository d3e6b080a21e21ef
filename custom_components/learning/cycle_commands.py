"""The commands of a cycle: words for `python`, with the options of the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from custom_components.learning.cycle_settings import CycleSettings
from custom_components.learning.cycle_steps import Command

MONAI = ("-m", "monai.bundle", "run")
OURS = ("-m", "custom_components")


class Commands:
    """Make commands of which each can be run by hand; an option that is None is left out.

    Args:
        settings: of the cycle; `options` there count more than those that a step has.
    """

    def __init__(self, settings: CycleSettings) -> None:
        self.settings = settings

    def ours(self, name: str, command: str, *arguments: Any, **options: Any) -> Command:
        """A command of this package, which is also the name of its step."""
        group = ("codes",) if command in ("request", "split") else ()
        return Command(name, (*OURS, *group, command, *map(str, arguments), *self._flags(command, options)))

    def bundle(
        self,
        name: str,
        step: str,
        run_id: str,
        bundle: str,
        configs: Sequence[str],
        *,
        fixed: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Command:
        """A run of a bundle with so many of its configurations; what is fixed, the settings do not change."""
        folder = Path(self.settings.bundles_dir) / bundle / "configs"
        files = [str(folder / f"{config}.yaml") for config in configs]
        files += list(self.settings.overlays.get(bundle, []))
        listed = f"[{','.join(repr(file) for file in files)}]"
        return Command(name, (*MONAI, run_id, "--config_file", listed, *self._flags(step, options, fixed)))

    def _flags(self, step: str, options: Mapping[str, Any], fixed: Mapping[str, Any] | None = None) -> list[str]:
        merged = {**options, **self.settings.options.get(step, {}), **(fixed or {})}
        return [word for name, value in merged.items() if value is not None for word in (f"--{name}", _word(value))]


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_word(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
