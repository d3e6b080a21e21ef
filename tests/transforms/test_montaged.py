from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from custom_components.data.montage_png import read_montage_png
from custom_components.transforms.montage import ALPHA, DISCRIMINATOR_SIZE, montage
from custom_components.transforms.montaged import LoadMontaged, Montaged, RandMontaged, SaveMontaged


def item(seed: int = 0, shape: tuple[int, int, int] = (20, 18, 9), **more: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, *shape, generator=generator)
    segmentation = torch.randint(0, 13, (1, *shape), generator=generator).to(torch.uint8)
    return {"image": MetaTensor(image), "segmentation": MetaTensor(segmentation), **more}


def made(data: dict[str, Any], **options: Any) -> torch.Tensor:
    return montage(data["image"][None].as_tensor(), data["segmentation"][None].as_tensor(), **options)[0]


@pytest.mark.parametrize("size", [None, (32, 24)])
@pytest.mark.parametrize("alpha", [0.2, ALPHA])
def test_it_adds_the_montage_of_image_and_segmentation(size: tuple[int, int] | None, alpha: float):
    data = item(case_id="a")
    result = Montaged(size=size, alpha=alpha)(data)
    assert torch.equal(result["montage"], made(data, size=size, alpha=alpha))
    assert type(result["montage"]) is torch.Tensor
    assert result["montage"].shape == (3, *(size or (54, 60)))
    assert set(result) == {"image", "segmentation", "montage", "case_id"}
    assert "montage" not in data


def test_by_default_it_is_what_the_discriminator_sees():
    data = item()
    assert torch.equal(Montaged()(data)["montage"], made(data, size=DISCRIMINATOR_SIZE, alpha=ALPHA))


def test_a_coronal_montage_is_that_of_the_turned_volumes():
    data = item()
    turned = {key: data[key].transpose(-1, -2) for key in ("image", "segmentation")}
    assert torch.equal(Montaged(size=None, view="coronal")(data)["montage"], made(turned))
    drawn = RandMontaged(alpha_range=(0.3, 0.5), prob=0.0, size=None, view="coronal")(data)
    assert torch.equal(drawn["montage"], made(turned))
    with pytest.raises(ValueError, match="view is 'oblique', expected axial or coronal"):
        Montaged(view="oblique")


def test_the_size_may_be_a_list_as_configurations_have_it():
    assert Montaged(size=[16, 20])(item())["montage"].shape == (3, 16, 20)


def test_keys_have_the_names_that_are_given():
    data = item()
    other = {"ct": data["image"], "pred": data["segmentation"]}
    result = Montaged("ct", "pred", montage_key="picture", size=(16, 16))(other)
    assert torch.equal(result["picture"], made(data, size=(16, 16)))


def test_a_label_that_no_organ_has_is_refused():
    data = item()
    data["segmentation"][0, 0, 0, 0] = 13
    with pytest.raises(ValueError, match="segmentation holds label 13, expected 0 to 12"):
        Montaged()(data)


def test_the_share_of_colour_is_drawn_within_its_range():
    data = item()
    transform = RandMontaged(alpha_range=(0.3, 0.5), prob=1.0, size=(24, 24)).set_random_state(0)
    drawn = []
    for _ in range(50):
        result = transform(data)
        drawn.append(transform.drawn)
        assert torch.equal(result["montage"], made(data, size=(24, 24), alpha=transform.drawn))
    assert 0.3 <= min(drawn) < 0.33
    assert 0.47 < max(drawn) <= 0.5
    assert len(set(drawn)) == 50


def test_the_share_of_colour_stays_where_nothing_is_drawn():
    data = item()
    transform = RandMontaged(alpha_range=(0.9, 1.0), prob=0.0, size=(24, 24), alpha=0.25).set_random_state(0)
    for _ in range(5):
        assert torch.equal(transform(data)["montage"], made(data, size=(24, 24), alpha=0.25))


def test_some_shares_are_drawn_and_the_seed_decides_which():
    def drawn(seed: int) -> list[float]:
        transform = RandMontaged(alpha_range=(0.6, 0.9), prob=0.5, size=(8, 8)).set_random_state(seed)
        return [(transform(item()), transform.drawn)[1] for _ in range(40)]

    one = drawn(1)
    assert one == drawn(1) != drawn(2)
    assert 10 < one.count(ALPHA) < 30
    assert all(alpha == ALPHA or 0.6 <= alpha <= 0.9 for alpha in one)


@pytest.mark.parametrize(
    ("shape", "size"), [((20, 18, 9), (32, 24)), ((16, 16, 4), (32, 32)), ((24, 24, 9), (256, 256))]
)
def test_a_picture_that_was_saved_is_loaded_as_what_the_volumes_give(
    shape: tuple[int, int, int], size: tuple[int, int], tmp_path: Path
):
    data = item(shape=shape, case_id="a")
    SaveMontaged(tmp_path)(data)
    loaded = LoadMontaged(size=size)({"montage": str(tmp_path / "a.png"), "code": 1})
    direct = Montaged(size=size)(data)["montage"]
    assert loaded["montage"].dtype == torch.float32
    assert loaded["montage"].shape == direct.shape
    assert (loaded["montage"] - direct).abs().max() < 1 / 255
    assert loaded["code"] == 1


def test_a_foreign_picture_is_loaded_at_the_discriminators_size(tmp_path: Path):
    Image.fromarray(np.full((60, 80, 3), (255, 51, 0), np.uint8)).save(tmp_path / "a.png")
    loaded = LoadMontaged()({"montage": tmp_path / "a.png"})["montage"]
    assert loaded.shape == (3, *DISCRIMINATOR_SIZE)
    assert loaded.mean((1, 2)).tolist() == pytest.approx([1, 0.2, 0])


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"a\.png: no picture of a known format"):
        LoadMontaged()({"montage": tmp_path / "a.png"})


def test_the_picture_has_the_name_of_its_case_and_full_size(tmp_path: Path):
    data = item(case_id="a.1")
    result = SaveMontaged(tmp_path / "png")(data)
    assert [path.name for path in (tmp_path / "png").iterdir()] == ["a.1.png"]
    assert (read_montage_png(tmp_path / "png" / "a.1.png") - made(data)).abs().max() <= 0.5 / 255 + 1e-6
    assert result == data


def test_without_a_case_id_the_picture_is_named_after_the_image(tmp_path: Path):
    data = item()
    data["image"].meta["filename_or_obj"] = "/data/b.2.nii.gz"
    SaveMontaged(tmp_path)(data)
    assert [path.name for path in tmp_path.iterdir()] == ["b.2.png"]


def test_items_without_an_image_pass(tmp_path: Path):
    data = {"montage": torch.rand(3, 8, 8), "case_id": "a"}
    for transform in (
        Montaged(allow_missing_keys=True),
        RandMontaged(alpha_range=(0.3, 0.5), prob=1.0, allow_missing_keys=True),
        SaveMontaged(tmp_path),
    ):
        assert transform(data) == data
    assert list(tmp_path.iterdir()) == []
    assert LoadMontaged(allow_missing_keys=True)({"case_id": "a"}) == {"case_id": "a"}
    for transform in (Montaged(), RandMontaged(alpha_range=(0.3, 0.5)), LoadMontaged()):
        with pytest.raises(KeyError):
            transform({"case_id": "a"})
