from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.anatomy import INDEX, NUM_CLASSES, ORGANS
from custom_components.data.phantom.scan import make_phantom
from custom_components.transforms.montage import in_view, montage, montage_grid

SHAPE = (6, 5, 9)


def case(shape: tuple[int, int, int] = SHAPE, batch: int = 2, classes: int = NUM_CLASSES, seed: int = 0):
    """A CT, probabilities and labels of random numbers."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(batch, 1, *shape, generator=generator)
    probabilities = torch.randn(batch, classes, *shape, generator=generator).mul(3).softmax(1)
    return image, probabilities, probabilities.argmax(1, keepdim=True)


def plain(image: torch.Tensor, probabilities: torch.Tensor, size: tuple[int, int], alpha: float = 0.4) -> torch.Tensor:
    """Colour the volume, tile it slice by slice, interpolate: the definition, written out."""
    colours = torch.tensor([organ.colour for organ in ORGANS], dtype=image.dtype) / 255
    organs = probabilities[:, 1:]
    volume = (1 - alpha * organs.sum(1, keepdim=True)) * image
    volume = volume + alpha * torch.einsum("bcxyz,ck->bkxyz", organs, colours)
    side = int(np.ceil(np.sqrt(image.shape[-1])))
    slices = [volume[..., z].flip(2, 3).transpose(2, 3) for z in range(image.shape[-1])]
    slices += [torch.zeros_like(slices[0])] * (side * -(-len(slices) // side) - len(slices))
    rows = [torch.cat(slices[start : start + side], dim=3) for start in range(0, len(slices), side)]
    return F.interpolate(torch.cat(rows, dim=2), size=size, mode="bilinear", antialias=True, align_corners=False)


def test_the_grid_of_the_paper_is_8_by_8_slices_of_168_by_168():
    image = torch.zeros(1, 1, 168, 168, 64)
    assert montage_grid(64) == (8, 8)
    assert montage(image, image.to(torch.uint8)).shape == (1, 3, 1344, 1344)


@pytest.mark.parametrize("voxel", [(0, 0, 0), (5, 4, 8), (1, 3, 4), (4, 0, 2)])
def test_a_marker_voxel_shows_at_its_place(voxel):
    image = torch.zeros(1, 1, *SHAPE)
    image[(0, 0, *voxel)] = 1
    x, y, z = voxel
    picture = montage(image, torch.zeros(1, 1, *SHAPE, dtype=torch.uint8))
    row, column = 5 * (z // 3) + 4 - y, 6 * (z % 3) + 5 - x  # slices 3 in a row; anterior up, right on the left
    assert (picture[0].sum(0) > 0).nonzero().tolist() == [[row, column]]


@pytest.mark.parametrize("voxel", [(0, 0, 0), (5, 4, 8), (1, 3, 4), (4, 0, 2)])
def test_a_marker_voxel_shows_at_its_place_in_coronal_slices(voxel):
    image = torch.zeros(1, 1, *SHAPE)
    image[(0, 0, *voxel)] = 1
    x, y, z = voxel
    coronal = in_view(image, "coronal")
    picture = montage(coronal, torch.zeros_like(coronal, dtype=torch.uint8))
    row, column = 9 * (y // 3) + 8 - z, 6 * (y % 3) + 5 - x  # 5 slices, 3 in a row; superior up, right on the left
    assert (picture[0].sum(0) > 0).nonzero().tolist() == [[row, column]]


def test_other_views_are_refused():
    assert in_view(torch.zeros(2, 3, 4), "axial").shape == (2, 3, 4)
    with pytest.raises(ValueError, match="view is 'sagittal', expected axial or coronal"):
        in_view(torch.zeros(2, 3, 4), "sagittal")


def test_the_liver_is_on_the_viewers_left_and_slices_go_up_from_inferior():
    phantom = make_phantom((0, 0, 0), 0.0, grid="small")
    label = torch.from_numpy(phantom.label.astype(np.uint8))[None, None]
    black = torch.zeros(label.shape)
    colours = [(255 * (index == INDEX["liver"]), 255 * (index == INDEX["aorta"]), 0) for index in range(1, 13)]
    picture = montage(black, label, colours=colours, alpha=1.0)[0]
    tiles = picture.reshape(3, 6, 64, 6, 64).movedim(3, 2).flatten(1, 2)  # (3, 36 slices, 64, 64)
    columns = torch.arange(64.0)
    liver, aorta = tiles[0].sum(1), tiles[1].sum((1, 2))
    assert (liver * columns).sum() / liver.sum() < 28
    shown = liver.sum(1)
    assert (shown * torch.arange(36.0)).sum() / shown.sum() > 16  # the liver is in the upper half of the scan
    assert aorta[-4:].sum() == 0  # places without a slice
    rows = torch.arange(64.0)
    assert (tiles[1].sum((0, 2)) * rows).sum() / aorta.sum() > 32  # before the spine, in the posterior half


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_the_overlay_is_the_formula(alpha):
    image, probabilities, _ = case((2, 3, 1), batch=1)
    x, y = 1, 2
    p, ct = probabilities[0, :, x, y, 0], image[0, 0, x, y, 0]
    colours = torch.tensor([organ.colour for organ in ORGANS]) / 255
    expected = (1 - alpha * (1 - p[0])) * ct + alpha * (p[1:, None] * colours).sum(0)
    assert montage(image, probabilities, alpha=alpha)[0, :, 0, 0] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 14)),
    size=st.tuples(st.integers(1, 40), st.integers(2, 40)),  # torch's own is wrong where the result is 1 pixel wide
    batch=st.integers(1, 2),
    seed=st.integers(0, 9),
)
def test_the_fused_way_equals_the_plain_way(shape, size, batch, seed):
    image, probabilities, labels = case(shape, batch, seed=seed)
    one = probabilities.clone().requires_grad_()
    other = probabilities.clone().requires_grad_()
    fused, expected = montage(image, one, size=size), plain(image, other, size)
    assert torch.allclose(fused, expected, atol=1e-5)
    weights = torch.rand(fused.shape, generator=torch.Generator().manual_seed(seed))
    (fused * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.allclose(one.grad[:, 1:], other.grad[:, 1:], atol=1e-5 * float(other.grad.abs().max()) + 1e-6)
    one_hot = F.one_hot(labels[:, 0], NUM_CLASSES).movedim(-1, 1)
    hard = plain(image, one_hot.float(), size)
    for kind in (labels, labels.to(torch.uint8), one_hot, one_hot.float(), one_hot.bool()):
        assert torch.allclose(montage(image, kind, size=size), hard, atol=1e-5)


def test_the_fused_way_equals_the_plain_way_at_the_papers_size():
    image, probabilities, _ = case((168, 168, 64), batch=1)
    assert torch.allclose(
        montage(image, probabilities, size=(256, 256)), plain(image, probabilities, (256, 256)), atol=1e-5
    )


@pytest.mark.parametrize("size", [None, (7, 8), (12, 13)])
def test_the_gradient_is_that_of_the_numbers(size):
    image, probabilities, _ = case((3, 2, 5), batch=2, classes=4)
    image, probabilities = image.double(), probabilities.double().requires_grad_()
    colours = [organ.colour for organ in ORGANS[:3]]
    assert torch.autograd.gradcheck(lambda p: montage(image, p, size=size, colours=colours), probabilities)


def test_a_gradient_that_is_kept_is_not_overwritten_by_the_next():
    image, probabilities, _ = case()
    probabilities.requires_grad_()
    gradients, copies = [], []
    for weight in (1.0, 2.0, 3.0):
        (gradient,) = torch.autograd.grad(weight * montage(image, probabilities, size=(8, 8)).sum(), probabilities)
        gradients.append(gradient[:, 3:5])  # a view keeps the memory as the whole does
        copies.append(gradient[:, 3:5].clone())
        del gradient
    assert all(torch.equal(kept, copy) for kept, copy in zip(gradients, copies, strict=True))
    assert torch.allclose(gradients[2], 3 * gradients[0])


def test_an_image_has_a_gradient_too():
    image, probabilities, _ = case((3, 2, 5), batch=1)
    image = image.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda ct: montage(ct, probabilities.double(), size=(7, 8)), image)


def test_the_gradient_is_zero_where_the_montage_does_not_show_a_voxel():
    image, probabilities, _ = case((16, 16, 4), batch=1)
    probabilities.requires_grad_()
    picture = montage(image, probabilities, size=(16, 16))  # 2 x 2 slices of 16 x 16 voxels to 8 x 8 pixels
    picture[..., :3, 10:13].sum().backward()  # inside of the second tile
    per_slice = probabilities.grad.abs().sum((0, 1, 2, 3))
    assert per_slice[1] > 0
    assert per_slice[[0, 2, 3]].sum() == 0
    seen = probabilities.grad.abs().sum((0, 1))[:, :, 1] > 0
    # 3 pixels are 6 voxels; the triangle reaches half a pixel's width of 2 voxels, less a half, further on both sides
    assert seen.any(1).nonzero().flatten().tolist() == list(range(5, 13))
    assert seen.any(0).nonzero().flatten().tolist() == list(range(9, 16))


def test_the_background_has_no_gradient():
    image, probabilities, _ = case()
    probabilities.requires_grad_()
    montage(image, probabilities, size=(8, 8)).sum().backward()
    assert probabilities.grad[:, 0].abs().sum() == 0
    assert (probabilities.grad[:, 1:].abs().sum((0, 2, 3, 4)) > 0).all()


@pytest.mark.parametrize("size", [None, (11, 10)])
def test_straight_through_shows_the_hard_result_and_has_the_soft_gradient(size):
    image, probabilities, labels = case()
    probabilities[0, :, 0, 0, 0] = 1 / NUM_CLASSES  # a tie is of the first class
    labels[0, 0, 0, 0, 0] = 0
    soft, hard = (probabilities.clone().requires_grad_() for _ in range(2))
    shown = montage(image, hard, size=size, straight_through=True)
    assert torch.allclose(shown, montage(image, labels, size=size), atol=1e-6)
    weights = torch.rand(shown.shape)
    (shown * weights).sum().backward()
    (montage(image, soft, size=size) * weights).sum().backward()
    assert torch.allclose(hard.grad, soft.grad, atol=1e-6)


@pytest.mark.parametrize("size", [None, (9, 9)])
@pytest.mark.parametrize("kinds", [("image",), ("segmentation",), ("image", "segmentation")])
def test_bfloat16_is_near_to_float32_and_gives_back_its_own_type(size, kinds):
    image, probabilities, _ = case()
    expected = montage(image, probabilities, size=size)
    image = image.bfloat16() if "image" in kinds else image
    probabilities = probabilities.bfloat16() if "segmentation" in kinds else probabilities
    probabilities.requires_grad_()
    picture = montage(image, probabilities, size=size)
    assert picture.dtype == image.dtype
    assert torch.allclose(picture.float(), expected, atol=0.01)
    picture.float().sum().backward()
    assert probabilities.grad.dtype == probabilities.dtype


def test_autocast_does_not_change_the_montage():
    image, probabilities, _ = case()
    expected = montage(image, probabilities, size=(9, 9))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(montage(image, probabilities, size=(9, 9)), expected)


def test_a_batch_is_its_cases():
    image, probabilities, _ = case(batch=3)
    together = montage(image, probabilities, size=(12, 12))
    for k in range(3):
        assert torch.allclose(together[k : k + 1], montage(image[k : k + 1], probabilities[k : k + 1], size=(12, 12)))


@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:FutureWarning")
@pytest.mark.parametrize("size", [None, (9, 11)])
def test_a_traced_montage_is_the_montage_and_can_be_saved(size, tmp_path):
    image, probabilities, _ = case()
    traced = torch.jit.trace(lambda ct, p: montage(ct, p, size=size), (image, probabilities))
    torch.jit.save(traced, str(tmp_path / "montage.ts"))
    loaded = torch.jit.load(tmp_path / "montage.ts")
    other, others, _ = case(seed=1)
    assert torch.allclose(loaded(other, others), montage(other, others, size=size), atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("size", [None, (256, 256)])
def test_a_gpu_makes_the_same_montage(size):
    image, probabilities, _ = case((168, 168, 64), batch=1)
    on_cpu, on_gpu = (probabilities.detach().to(device).requires_grad_() for device in ("cpu", "cuda"))
    one, other = montage(image, on_cpu, size=size), montage(image.cuda(), on_gpu, size=size)
    assert torch.allclose(one, other.cpu(), atol=1e-5)
    one.sum().backward()
    other.sum().backward()
    assert torch.allclose(on_cpu.grad, on_gpu.grad.cpu(), atol=1e-5)


@pytest.mark.parametrize(
    ("image", "segmentation", "message"),
    [
        (torch.zeros(1, 2, 3, 3, 3), torch.zeros(1, 1, 3, 3, 3, dtype=torch.uint8), "image has shape"),
        (
            torch.zeros(1, 1, 3, 3, 3),
            torch.zeros(1, 7, 3, 3, 3),
            r"\(1, 7, 3, 3, 3\), expected \(1, 13 or 1, 3,",
        ),
        (torch.zeros(1, 1, 3, 3, 3), torch.zeros(1, 13, 3, 3, 4), r"expected \(1, 13 or 1, 3, 3, 3\)"),
        (torch.zeros(1, 1, 3, 3, 3), torch.zeros(1, 1, 3, 3, 3), "1 channel of torch.float32, expected labels"),
        (torch.zeros(1, 1, 3, 3, 3), torch.full((1, 1, 3, 3, 3), 13), "label 13, expected 0 to 12"),
        (torch.zeros(1, 1, 3, 3, 3), torch.full((1, 1, 3, 3, 3), -1), "label -1, expected 0 to 12"),
    ],
)
def test_what_does_not_fit_is_refused(image, segmentation, message):
    with pytest.raises(ValueError, match=message):
        montage(image, segmentation)


@pytest.mark.parametrize("slices", [1, 2, 5, 64, 65])
@pytest.mark.parametrize("columns", [None, 1, 3])
def test_every_slice_has_a_place(slices, columns):
    grid = montage_grid(slices, columns)
    assert grid.rows * grid.columns >= slices > (grid.rows - 1) * grid.columns


def test_a_grid_without_columns_is_refused():
    with pytest.raises(ValueError, match="columns is 0"):
        montage_grid(4, columns=0)


@pytest.mark.parametrize("size", [None, (20, 20)])
def test_a_voxel_without_a_number_stays_visible_in_the_straight_through_mode(size: tuple[int, int] | None):
    image, probabilities = torch.rand(1, 1, 8, 8, 4), torch.rand(1, 13, 8, 8, 4).softmax(1)
    probabilities[0, :, 4, 4, 1] = torch.nan
    found = montage(image, probabilities, size=size, straight_through=True)
    assert found.isnan().any()
    assert not found.isnan().all()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.uint16, torch.int64])
@pytest.mark.parametrize("size", [None, (20, 20)])
def test_one_hot_of_whole_numbers_and_labels_of_every_type_are_the_same_montage(
    dtype: torch.dtype, size: tuple[int, int] | None
):
    image, labels = torch.rand(1, 1, 8, 8, 4), torch.randint(0, 13, (1, 1, 8, 8, 4))
    one_hot = torch.nn.functional.one_hot(labels[:, 0], 13).movedim(-1, 1)
    wanted = montage(image, labels, size=size)
    torch.testing.assert_close(montage(image, one_hot.to(dtype), size=size), wanted, atol=0, rtol=0)
    if dtype != torch.bool:
        torch.testing.assert_close(montage(image, labels.to(dtype), size=size), wanted, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (0, 4)}, "size is .0, 4., expected rows and columns of 1 or more"),
        ({"alpha": 5.0}, "alpha is 5.0, expected a number from 0 to 1"),
        ({"image": torch.zeros(1, 1, 4, 4, 2, dtype=torch.uint8)}, "image is of torch.uint8, expected floating point"),
        ({"columns": 0}, "columns is 0, expected 1 or more"),
    ],
)
def test_settings_that_cannot_be_are_errors(change: dict, message: str):
    given = {
        "image": torch.rand(1, 1, 4, 4, 2),
        "segmentation": torch.zeros(1, 1, 4, 4, 2, dtype=torch.uint8),
        **change,
    }
    with pytest.raises(ValueError, match=message):
        montage(given.pop("image"), given.pop("segmentation"), **given)


def test_the_size_may_be_a_list_as_in_a_configuration():
    image, labels = torch.rand(1, 1, 4, 4, 2), torch.zeros(1, 1, 4, 4, 2, dtype=torch.uint8)
    assert montage(image, labels, size=[6, 5]).shape == (1, 3, 6, 5)
