import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom_components.anatomy import INDEX
from custom_components.data.datalist import labelled_cases
from custom_components.preprocessing import ct_preprocessing


@pytest.mark.parametrize(("label_set", "number", "organs"), [("amos", 6, 11), (["liver"], 6, 1), (None, 6, 12)])
def test_case_of_any_label_set_is_prepared(tmp_path: Path, label_set: object, number: int, organs: int):
    image, label = np.full((20, 20, 10), -1000, np.int16), np.zeros((20, 20, 10), np.uint8)
    image[5:15, 5:15, 2:8], label[5:15, 5:15, 2:8] = 50, number
    for name, array in (("ct", image), ("seg", label)):
        nib.save(nib.Nifti1Image(array, np.diag([-4.0, -4, 6, 1])), tmp_path / f"{name}.nii.gz")
    entry = {"image": "ct.nii.gz", "label": "seg.nii.gz", **({"label_set": label_set} if label_set else {})}
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [entry]}))
    (case,) = labelled_cases(tmp_path / "dataset.json")
    item = ct_preprocessing(pixdim=(4, 4, 6), roi_size=(24, 24, 16), with_label=True)(case)
    assert item["annotated"].sum() == organs + 1
    assert item["label"].unique().tolist() == [0, INDEX["liver"]]
    assert (item["label"] > 0).equal(item["image"] > 0)
    assert item["image"][0, 0, 0, 0] == 0
