"""How the tests run bundles: through `monai.bundle`, as users do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
"""What starts two processes, for `launcher`."""


def arguments(run_id: str, *configs: Path, **override: object) -> list[str]:
    pairs = {"config_file": [str(config) for config in configs], **override}
    return ["run", run_id, *(item for name, value in pairs.items() for item in (f"--{name}", str(value)))]


def monai_bundle(*words: object, launcher: tuple[str, ...] = (), **kwargs: Any) -> subprocess.CompletedProcess:
    command = [sys.executable, *launcher, "-m", "monai.bundle", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **kwargs)


def bundle_run(run_id: str, *configs: Path, cwd: Path | None = None, **override: object) -> subprocess.CompletedProcess:
    return monai_bundle(*arguments(run_id, *configs, **override), cwd=cwd)


def parsed(*configs: Path, **override: object) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(config) for config in configs])
    for name, value in override.items():
        parser[name] = value
    parser.parse()
    return parser


def settings_of(parser: ConfigParser, item: str) -> dict[str, object]:
    """What a component of the configuration is and gets, with its references resolved."""
    return parser.get_parsed_content(item, instantiate=False).get_config()
