from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImaged

from custom_components.data.layout import segmentation_path
from custom_components.data.writers import (
    AtomicNibabelWriter,
    case_output_name,
)
from custom_components.files import partial_path

LABELS = torch.arange(60, dtype=torch.uint8).reshape(1, 3, 4, 5)
OBLIQUE = torch.tensor(
    [[-0.8, 0.05, 0, 100.3], [-0.05, -0.8, 0, 80.7], [0, 0, 1.5, -300.1], [0, 0, 0, 1]], dtype=torch.float64
)


def save(output_dir: Path, affine: torch.Tensor = OBLIQUE, **meta: object) -> Path:
    image = MetaTensor(LABELS, affine=affine, meta={"case_id": "a.1", "filename_or_obj": "x.nii.gz", **meta})
    SaveImaged(
        "pred",
        writer=AtomicNibabelWriter,
        output_dir=output_dir,
        output_postfix="seg",
        output_ext=".nii.gz",
        output_dtype=np.uint8,
        output_name_formatter=case_output_name,
        resample=False,
        print_log=False,
    )({"pred": image})
    return segmentation_path(output_dir, "a.1")


def test_file_is_named_after_the_case_and_holds_labels_as_they_are(tmp_path: Path) -> None:
    path = save(tmp_path)
    assert path.as_posix().endswith("a.1/a.1_seg.nii.gz")
    image = nib.load(path)
    assert image.get_data_dtype() == np.uint8
    assert image.header.get_slope_inter() == (None, None) or image.header.get_slope_inter() == (1.0, 0.0)
    np.testing.assert_array_equal(np.asarray(image.dataobj), LABELS[0].numpy())
    assert list(path.parent.iterdir()) == [path]


def test_affine_stands_in_sform_and_qform_with_the_inputs_code(tmp_path: Path) -> None:
    header = nib.load(save(tmp_path, sform_code=np.array(2), qform_code=np.array(1))).header
    np.testing.assert_array_equal(header.get_sform(), OBLIQUE.numpy().astype(np.float32))
    np.testing.assert_allclose(header.get_qform(), OBLIQUE.numpy(), atol=1e-3)
    assert (int(header["sform_code"]), int(header["qform_code"])) == (2, 2)


def test_sheared_axes_stand_in_sform_alone(tmp_path: Path) -> None:
    affine = OBLIQUE.clone()
    affine[1, 2] = 0.4
    header = nib.load(save(tmp_path, affine)).header
    np.testing.assert_array_equal(header.get_sform(), affine.numpy().astype(np.float32))
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)


def test_without_a_case_id_the_name_is_monais(tmp_path: Path) -> None:
    assert case_output_name({"filename_or_obj": "x.nii.gz"}, SaveImaged("pred")) == {
        "subject": "x.nii.gz",
        "idx": None,
    }


def test_a_failed_write_leaves_nothing_and_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RuntimeError) as caught:
        save(tmp_path)
    assert "No space left on device" in f"{caught.value}{caught.value.__cause__}"
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == before


def test_leftover_of_a_killed_run_is_replaced(tmp_path: Path) -> None:
    leftover = partial_path(segmentation_path(tmp_path, "a.1"))
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    path = save(tmp_path)
    assert list(path.parent.iterdir()) == [path]


def test_only_a_complete_file_gets_the_final_name(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:  # a run that dies in the middle of writing
        os.fsync = lambda _: os._exit(9)  # type: ignore[assignment]
        save(tmp_path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert [file.name for file in (tmp_path / "a.1").iterdir()] == [".partial_a.1_seg.nii.gz"]
