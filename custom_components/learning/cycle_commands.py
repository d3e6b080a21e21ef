"""The commands of a cycle: words for `python`, with the options of the settings."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from custom_components.body_part.body_part_crop import body_part_weights
from custom_components.learning.cycle_settings import CycleSettings
from custom_components.learning.cycle_steps import Command

BODY_PART = ("body_part_path", "body_part_scores", "body_part_repair")
GRID: Mapping[str, Sequence[str]] = {
    "montage": ("pixdim", "roi_size", "hu_window", *BODY_PART),
    "review": ("pixdim", "roi_size", "hu_window", *BODY_PART),
    "adversarial": ("pixdim", "roi_size", "hu_window", "montage_size", *BODY_PART),
    "report": ("pixdim", "roi_size", *BODY_PART),
}
"""What commands of this package must have as the discriminator has it, whose configuration they do not read."""

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
        options = {**{name: self._grid(name) for name in GRID.get(command, ())}, **options}
        return Command(name, (*OURS, *group, command, *map(str, arguments), *self._flags(command, options)))

    def bundle(
        self,
        name: str,
        step: str,
        run_id: str,
        bundle: str,
        configs: Sequence[str],
        *,
        numbers: Mapping[str, Any] | None = None,
        fixed: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Command:
        """A run of a bundle with so many of its configurations.

        Numbers count more than options, those of the settings more than both, and what is fixed most.
        """
        listed = f"[{','.join(repr(file) for file in self._files(bundle, configs))}]"
        flags = self._flags(step, {**options, **(numbers or {})}, fixed)
        return Command(name, (*MONAI, run_id, "--config_file", listed, *flags))

    def configured(self, bundle: str, configs: Sequence[str], name: str) -> Any:
        """What stands under a name at the top of a bundle's configurations, the overlays included; None if nothing."""
        contents = (_content(file) for file in reversed(self._files(bundle, configs)))
        return next((content[name] for content in contents if name in content), None)

    def _grid(self, name: str) -> Any:
        """A setting of the discriminator's grid; the weights that its configuration would find as their path."""
        chosen = self.settings.options.get("discriminator", {})
        value = chosen[name] if name in chosen else self.configured("qa_discriminator", ("train",), name)
        if name != "body_part_path":
            return value
        if value is not None and str(value).startswith("$"):
            value = body_part_weights(Path(self.settings.bundles_dir) / "qa_discriminator")
        return value or "none"

    def _files(self, bundle: str, configs: Sequence[str]) -> list[str]:
        folder = Path(self.settings.bundles_dir) / bundle / "configs"
        return [*(str(folder / f"{config}.yaml") for config in configs), *self.settings.overlays.get(bundle, [])]

    def _flags(self, step: str, options: Mapping[str, Any], fixed: Mapping[str, Any] | None = None) -> list[str]:
        merged = {**options, **self.settings.options.get(step, {}), **(fixed or {})}
        return [word for name, value in merged.items() if value is not None for word in (f"--{name}", _word(value))]


@functools.lru_cache
def _content(file: str) -> Mapping[str, Any]:
    """A configuration as it stands there; nothing of one that cannot be read, which the step before tells."""
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, Mapping) else {}


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_word(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
