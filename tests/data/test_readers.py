import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom_components.data import readers
from custom_components.data.readers import VolumeReader


def written(folder: Path, name: str = "a.nii.gz", slope: float | None = None) -> Path:
    voxels = np.random.default_rng(0).integers(-1000, 1000, (12, 11, 10)).astype(np.int16)
    image = nib.Nifti1Image(voxels, np.diag([-2.0, -2.0, 5.0, 1.0]))
    image.header.set_slope_inter(slope, None if slope is None else 3.0)
    nib.save(image, folder / name)
    return folder / name


def read(path: Path) -> np.ndarray:
    reader = VolumeReader()
    return reader.get_data(reader.read(path))[0]


@pytest.mark.parametrize("unpack", [gzip, readers.gzip])
@pytest.mark.parametrize("slope", [None, 0.5])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_voxels_are_those_of_nibabel(tmp_path, monkeypatch, unpack, slope, name):
    monkeypatch.setattr(readers, "gzip", unpack)
    path = written(tmp_path, name, slope)
    voxels = read(path)
    assert voxels.dtype == np.float32
    assert voxels.flags.c_contiguous
    np.testing.assert_array_equal(voxels, np.asarray(nib.load(path).dataobj, np.float32))


@pytest.mark.parametrize("unpack", [gzip, readers.gzip])
def test_a_damaged_file_is_one_line_that_names_it(tmp_path, monkeypatch, unpack):
    monkeypatch.setattr(readers, "gzip", unpack)
    whole = written(tmp_path).read_bytes()
    damaged = tmp_path / "damaged.nii.gz"
    for place in range(400, len(whole), 150):
        for content in (whole[:place], whole[:place] + b"\xff" * 40 + whole[place + 40 :]):
            damaged.write_bytes(content)
            with pytest.raises(ValueError, match=r"damaged\.nii\.gz: [^\n]*(truncated|damaged)[^\n]*$"):
                read(damaged)
