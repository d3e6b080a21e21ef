"""Where the bundles lie, and whether the package that is loaded is the one that they carry."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

import custom_components
from custom_components.user_errors import exit_on_user_error


@exit_on_user_error
def find_bundle_root(name: str, default: str = ".") -> str:
    """Find the bundle `name`: of a configuration on the command line, or here, or in `bundles`, or around this package.

    MONAI gives a configuration no way to know its own path, so that `bundle_root: .` works in the bundle's own
    directory only. This one works from the repository too, and from anywhere for a bundle that carries this package.

    Args:
        name: the bundle's directory and the `name` in its metadata.
        default: what to return if there is none. A bundle that looks for another one names a directory that is not its
            own, or it would take its own weights for those of the other.

    Returns:
        The directory.

    Raises:
        SystemExit: the metadata of a bundle on the way cannot be read; one line that names the file, and exit code 1.
    """
    package_parent = Path(custom_components.__file__).resolve().parent.parent
    around = [root for base in (Path(), package_parent) for root in (base, base / "bundles" / name)]
    for root in (*_roots_on_the_command_line(), *around):
        if _name_in(root / "configs" / "metadata.json") == name:
            return str(root)
    return default


def _name_in(metadata: Path) -> str | None:
    if not os.path.isfile(metadata):  # a word may be too long for a path
        return None
    try:
        found = json.loads(metadata.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{metadata} is no JSON, expected the metadata of a bundle: {error}") from None
    return found.get("name") if isinstance(found, dict) else None


def _roots_on_the_command_line() -> list[Path]:
    """The bundles of what may be configurations, as in `--config_file "['a/configs/train.yaml','b.yaml']"`."""
    words = [word.partition("=")[2] if word.startswith("-") else word for word in sys.argv[1:]]
    paths = [path.strip() for word in words for path in (word, *_listed(word))]
    return [_root_of(path) for path in paths if path.endswith((".yaml", ".yml", ".json"))]


def _root_of(config: str) -> Path:
    """The folder above that of a configuration; a relative path stays one, so that messages stay short."""
    root = Path(os.path.abspath(config)).parent.parent  # a bare name has no parents
    return root if os.path.isabs(config) else Path(os.path.relpath(root))


def _listed(word: str) -> list[str]:
    """The texts of a list, as `monai.bundle` takes it: written in Python, or with commas alone."""
    if word.startswith(("[", "(")):
        with suppress(ValueError, SyntaxError, TypeError):
            return [one for one in ast.literal_eval(word) if isinstance(one, str)]
    return word.split(",")


@exit_on_user_error
def checked_root(bundle_root: str | Path) -> str:
    """Make sure that the package that is loaded is the one that a bundle carries; for use in configs.

    A process loads one package, that of the first bundle (as a server of MONAI Label does, which has several).

    Args:
        bundle_root: of the bundle, with or without a package of its own.

    Returns:
        The same directory.

    Raises:
        SystemExit: it carries another one; one line that names both, and exit code 1.
    """
    carried, loaded = Path(bundle_root) / "custom_components", Path(custom_components.__file__).parent
    if (carried / "__init__.py").is_file() and carried.resolve() != loaded.resolve():
        theirs, ours = _digest(carried), _digest(loaded)
        if theirs != ours:
            raise ValueError(
                f"{bundle_root} carries custom_components {_version(carried)} ({theirs}), "
                f"but {_version(loaded)} ({ours}) of {loaded.parent} is loaded: "
                "use bundles of one version together, and no other one on PYTHONPATH"
            )
    return str(bundle_root)


def package_files(package: Path) -> list[Path]:
    """The files of a package that belong to it, not what Python or a build left there."""
    return sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _digest(package: Path) -> str:
    digest = hashlib.sha256()
    for path in package_files(package):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _version(package: Path) -> str:
    found = re.search(r'^__version__ = "(.+)"$', (package / "__init__.py").read_text(), re.MULTILINE)
    return found[1] if found else "without version"
