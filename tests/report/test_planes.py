import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from custom_components.anatomy import INDEX
from custom_components.report.planes import blend, draw_planes


def test_blend_leaves_background_grey_and_mixes_colour_elsewhere():
    grey = np.full((2,), 0.5, np.float32)
    mixed = blend(grey, np.array([0, INDEX["liver"]], np.uint8), alpha=0.4)
    assert mixed[0] == pytest.approx([0.5, 0.5, 0.5])
    from custom_components.anatomy import ORGANS

    colour = np.asarray(ORGANS[INDEX["liver"] - 1].colour) / 255
    assert mixed[1] == pytest.approx(0.6 * 0.5 + 0.4 * colour)


def write(path, array, affine):
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.mark.parametrize("flip", [1, -1])
def test_patients_right_is_on_the_viewers_left_whatever_the_storage(tmp_path, flip):
    affine = np.diag([2.0 * flip, 2, 2, 1])
    image, label = np.full((40, 30, 20), -1000, np.int16), np.zeros((40, 30, 20), np.uint8)
    right = slice(25, 35) if flip == 1 else slice(5, 15)  # RAS+: world x grows towards the patient's right
    image[right], label[right, 10:20, 5:15] = 50, INDEX["liver"]
    picture = draw_planes(
        write(tmp_path / "ct.nii.gz", image, affine),
        write(tmp_path / "seg.nii.gz", label, affine),
        tmp_path / "p.png",
    )
    pixels = np.asarray(Image.open(picture).convert("L"), float)
    axial = pixels[60:500, :500]
    bright = np.nonzero(axial > 60)[1]
    assert bright.mean() < 250


def test_other_grid_is_refused(tmp_path):
    image = write(tmp_path / "ct.nii.gz", np.zeros((8, 8, 8), np.int16), np.eye(4))
    label = write(tmp_path / "seg.nii.gz", np.zeros((8, 8, 9), np.uint8), np.eye(4))
    with pytest.raises(ValueError, match="seg.nii.gz has 8 x 8 x 9 voxels, expected 8 x 8 x 8 as .*ct.nii.gz"):
        draw_planes(image, label, tmp_path / "p.png")
    moved = np.eye(4)
    moved[2, 3] = 4
    label = write(tmp_path / "seg.nii.gz", np.zeros((8, 8, 8), np.uint8), moved)
    with pytest.raises(ValueError, match="seg.nii.gz lies up to 4.00 mm off the grid of .*ct.nii.gz, expected at most"):
        draw_planes(image, label, tmp_path / "p.png")
