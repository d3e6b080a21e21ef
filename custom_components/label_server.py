"""What lets a server of MONAI Label score segmentations with `qa_discriminator`: its request in, its answer out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.transforms import LoadImage, Transform

from custom_components.case_ids import CASE_ID, case_id_of
from custom_components.data.conformal import read_interval
from custom_components.data.readers import VolumeReader
from custom_components.handlers.qa_scores import score_row

TAGS = ("final", "original")
"""Labels that the server keeps of an image: what a person has approved, and what a network has made."""


class MontageOfRequest(Transform):
    """Make the discriminator's input of a request; for `pre_transforms` of the bundle.

    What is scored is the `label` of the request, a file that came with it, or else what the server keeps of the image:
    the label with the `label_tag` of the request, or the final or the original one.

    Args:
        preprocessing: `qa_preprocessing`.
        montage: `qa_montage`.

    Raises:
        ValueError: (when called) there is no segmentation, or it cannot be used.
    """

    def __init__(self, preprocessing: Callable, montage: Callable) -> None:
        self.preprocessing, self.montage = preprocessing, montage

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request with the montage (3, rows, columns) as `image`, and the path of what is scored."""
        image = str(data["image"])
        path = data.get("label") or kept_label(image, data.get("label_tag"))
        item = {"image": image, "segmentation": str(path), CASE_ID: case_id_of(image)}
        return {**data, "image": self.montage(self.preprocessing(item))["montage"], "segmentation": str(path)}


class AnswerWithScore(Transform):
    """Turn the network's output into the answer to a request; for `post_transforms` of the bundle.

    Args:
        weights: the discriminator's, beside which the interval of its scores lies.
    """

    def __init__(self, weights: str | Path) -> None:
        self.weights = weights

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request with `score`, `code` and `interval` in `result`, and with what was scored as `pred`."""
        scored = LoadImage(reader=VolumeReader, image_only=True, ensure_channel_first=True)(data["segmentation"])
        return {**data, "result": score_params(float(data["pred"]), self.weights), "pred": scored, "image": scored}


def score_params(score: float, weights: str | Path) -> dict[str, Any]:
    """Score, code and the interval of the code as `qa_scores.csv` has them; the interval is None if none was measured.

    Raises:
        ValueError: the score is no finite number.
    """
    row = score_row(score, read_interval(weights))
    if "reason" in row:
        raise ValueError(row["reason"])
    ends = [float(row["low"]), float(row["high"])] if row["low"] else None
    return {"score": float(row["score"]), "code": int(row["code"]), "interval": ends}


def kept_label(image: str | Path, tag: str | None = None) -> Path:
    """Find the label that a server with a folder of studies keeps of an image: `labels/<tag>/<image>.*` beside it.

    Raises:
        ValueError: there is none, or the tag is no name of a folder.
    """
    image, name = Path(image), case_id_of(str(image))
    tags = label_tags(tag)
    for one in tags:
        folder = image.parent / "labels" / one
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if case_id_of(str(path)) == name:
                return path
    raise no_label(name, tags)


def label_tags(tag: Any = None) -> tuple[str, ...]:
    """Give the tags of the labels that may be scored, the first one that is there counts: that of a request, or `TAGS`.

    Raises:
        ValueError: the tag is no name of a folder.
    """
    if tag is None:
        return TAGS
    if not isinstance(tag, str) or not tag or tag != Path(tag).name or tag.startswith("."):
        raise ValueError(f"label_tag is {tag!r}, expected a name without slashes and leading dot")
    return (tag,)


def no_label(case_id: str, tags: Sequence[str]) -> ValueError:
    """Make the error of a case of which no label is kept."""
    expected = f"a label with the tag {' or '.join(tags)}"
    return ValueError(f"case {case_id}: no segmentation to score, expected {expected}")
