"""Training of the discriminator in MONAI Label, with the codes that people gave to the labels that networks made."""

from __future__ import annotations

from typing import Any

from lib.qa_scoring import ORIGINAL
from monailabel.interfaces.datastore import Datastore
from monailabel.tasks.train.bundle import BundleTrainTask

CODES = "codes.csv"
"""In the folder of studies: what the rating page exports, or any CSV with `case_id` and `code`."""


class DiscriminatorTrainTask(BundleTrainTask):
    """Train on the images whose original label has a QA code; the setting `codes` is the file of these.

    A code that names another segmentation than the label that is there now does not count, and the log says so.

    Raises:
        ValueError: (when called) there is no file of codes, or no label that they are of.
    """

    def _fetch_datalist(self, request: dict[str, Any], datastore: Datastore) -> list[dict[str, Any]]:
        from custom_components.data.label_codes import codes_of_labels

        path = self.conf.get("codes")
        if not path:
            raise ValueError("codes is not given, expected `--conf codes FILE` where the images come from a server")
        labels = {
            image: datastore.get_label_uri(label, ORIGINAL)
            for image in datastore.list_images()
            if (label := datastore.get_label_by_image_id(image, ORIGINAL))
        }
        codes = codes_of_labels(path, labels)
        cases = [
            {"image": datastore.get_image_uri(image), "segmentation": label, "case_id": image, "code": codes[image]}
            for image, label in labels.items()
            if image in codes
        ]
        if not cases:
            raise ValueError(f"{path}: no code is of a label {ORIGINAL!r} that is there now")
        return cases
