"""Montages of two networks' segmentations, mixed under new names: who codes them cannot tell which is whose."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from custom_components.case_ids import CASE_ID
from custom_components.data.case_files import montage_files, sha256_of, volume_files
from custom_components.data.layout import montage_png_path
from custom_components.data.montage_png import read_montage_png, write_montage_png
from custom_components.files import complete_file

NAME, SIDE, SHA256 = "name", "side", "segmentation_sha256"
"""Columns of the key, with `case_id`: the new name, 0 for before and 1 for after, and what the segmentation is."""


def mix_montages(segmentations: Sequence[Path], montages: Sequence[Path], output: Path, key: Path, *, seed: int) -> int:
    """Draw the montages of the cases that both networks segmented again, under new names, in random order.

    Args:
        segmentations: folders before and after, of `<case>/<case>_seg.nii.gz`.
        montages: their montages, `<case>.png`.
        output: folder of `<name>.png`; what it holds is replaced.
        key: CSV with `name`, `case_id`, `side` and `segmentation_sha256`, to be kept from who codes.
        seed: of the order.

    Returns:
        How many montages there are.

    Raises:
        ValueError: no case has a segmentation and a montage on both sides, or a folder cannot be read.
    """
    volumes, pictures = [volume_files(folder) for folder in segmentations], [montage_files(one) for one in montages]
    common = sorted(set.intersection(*(set(found) for found in (*volumes, *pictures))))
    if not common:
        raise ValueError(f"{montages[1]}: no case has a montage here and in {montages[0]}, expected some")
    sides = [(case_id, side) for case_id in common for side in (0, 1)]
    sides.sort(key=lambda one: hashlib.sha256(f"{seed} {one[0]} {one[1]}".encode()).digest())
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    rows = []
    digests = {(case_id, side): sha256_of(volumes[side][case_id][-1]) for case_id, side in sides}
    mix = hashlib.sha256(f"{seed} {sorted(digests.items())}".encode()).hexdigest()[:4]  # names of no other mix
    for number, (case_id, side) in enumerate(sides, start=1):
        name = f"m{number:0{len(str(len(sides)))}d}-{mix}"
        write_montage_png(montage_png_path(output, name), read_montage_png(pictures[side][case_id][-1]), case_id=name)
        rows.append((name, case_id, side, digests[case_id, side]))
    with complete_file(key) as partial:
        pd.DataFrame(rows, columns=[NAME, CASE_ID, SIDE, SHA256]).to_csv(partial, index=False)
    return len(rows)


def read_key(path: Path) -> pd.DataFrame:
    """Read the key that `mix_montages` wrote.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return pd.read_csv(path, dtype={NAME: str, CASE_ID: str})
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or 'no CSV'}") from None


def sides_of(key: pd.DataFrame, ratings: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the ratings of mixed montages to the cases that they are of.

    A rating counts by the new name only: earlier ones of the same segmentation were not blind, or made by other eyes on
    another day, and to ask for the rest would tell which side they are of.

    Args:
        key: see `read_key`.
        ratings: codes as `custom_components.data.codes.read_codes` gives them, with new names in `case_id`.

    Returns:
        Those before and those after, with the cases' own ids.
    """
    sides = []
    for side in (0, 1):
        part = key[key[SIDE] == side].set_index(NAME)
        found = ratings[ratings[CASE_ID].isin(part.index)].copy()
        for column in (SHA256, CASE_ID):
            found[column] = found[CASE_ID].map(part[column]).astype("string")
        sides.append(found)
    return sides[0], sides[1]
