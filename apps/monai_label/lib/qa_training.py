"""Training of the discriminator in MONAI Label, with the codes that people gave to the labels that networks made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib.qa_scoring import ORIGINAL
from monailabel.interfaces.datastore import Datastore
from monailabel.tasks.train.bundle import BundleTrainTask

CODES = "codes.csv"
"""In the folder of studies: what the rating page exports, or any CSV with `case_id` and `code`."""


class DiscriminatorTrainTask(BundleTrainTask):
    """Train on the images whose original label has a QA code.

    Raises:
        ValueError: (when called) there is no file of codes, or no label that they are of.
    """

    def _fetch_datalist(self, request: dict[str, Any], datastore: Datastore) -> list[dict[str, Any]]:
        from custom_components.data.codes import read_codes
        from custom_components.data.consensus import consensus

        images = {image: Path(datastore.get_image_uri(image)) for image in datastore.list_images()}
        folder = next(iter(images.values())).parent if images else Path()
        table = consensus(read_codes(folder / CODES).table).dropna(subset="code")
        codes = dict(zip(table["case_id"], table["code"].astype(int), strict=True))
        cases = [
            {
                "image": str(path),
                "segmentation": datastore.get_label_uri(label, ORIGINAL),
                "case_id": image,
                "code": codes[image],
            }
            for image, path in images.items()
            if image in codes and (label := datastore.get_label_by_image_id(image, ORIGINAL))
        ]
        if not cases:
            raise ValueError(f"{folder / CODES}: no code is of an image with a label {ORIGINAL!r}")
        return cases
