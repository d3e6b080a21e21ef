from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from custom_components.data.montage_area import AREA
from custom_components.data.montage_png import STRIP_HEIGHT, read_montage_png, write_montage_png
from custom_components.transforms.montage import montage


def test_a_montage_read_back_is_the_tensor(tmp_path):
    image, labels = torch.rand(1, 1, 40, 30, 20), torch.randint(0, 13, (1, 1, 40, 30, 20))
    picture = montage(image, labels)[0]
    write_montage_png(tmp_path / "a.png", picture, case_id="a")
    back = read_montage_png(tmp_path / "a.png")
    assert back.shape == picture.shape
    assert (back - picture).abs().max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("width", [384, 1344])
def test_strip_and_legend_are_outside_of_the_picture(width, tmp_path):
    write_montage_png(tmp_path / "a.png", torch.zeros(3, 200, width), case_id="case_07")
    whole = np.asarray(Image.open(tmp_path / "a.png"))
    area = whole[STRIP_HEIGHT : STRIP_HEIGHT + 200]
    assert whole.shape[1] == width
    assert not area.any()
    assert whole[:STRIP_HEIGHT].any()
    legend = whole[STRIP_HEIGHT + 200 :]
    assert legend.any()
    assert not legend[:, -2:].any()  # no text runs out of it


def test_the_file_tells_nothing_but_the_case_id(tmp_path):
    write_montage_png(tmp_path / "a.png", torch.zeros(3, 20, 384), case_id="case_07")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info == {"montage_area": f"[0, {STRIP_HEIGHT}, 384, 20]"}


def test_a_long_case_id_is_shortened_in_its_middle(tmp_path):
    write_montage_png(tmp_path / "a.png", torch.zeros(3, 20, 384), case_id="1.2.840." + "113654." * 40)
    strip = np.asarray(Image.open(tmp_path / "a.png"))[:STRIP_HEIGHT]
    assert strip[:, 100:300].any()
    assert not strip[:, -4:].any()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_foreign_picture_is_the_montage_as_a_whole(mode, suffix, tmp_path):
    if suffix == ".jpg" and mode in ("RGBA", "P"):
        pytest.skip("no such JPEG")
    grey = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))
    Image.fromarray(grey).convert(mode).save(tmp_path / f"a{suffix}")
    back = read_montage_png(tmp_path / f"a{suffix}")
    assert back.shape == (3, 16, 24)
    assert back.numpy() * 255 == pytest.approx(np.broadcast_to(grey, (3, 16, 24)), abs=0 if suffix == ".png" else 3)


def damaged(path, how):
    write_montage_png(path, torch.rand(3, 64, 384), case_id="a")
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[:2000])
    elif how == "text":
        path.write_text("no picture")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "missing":
        path.unlink()
    else:
        path.write_bytes(content.replace(b"[0, 28, 384, 64]", b"[0, 28, 384, 99]"))


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("how", ["truncated", "text", "empty", "missing", "area"])
def test_a_bad_file_is_refused_with_its_name(how, tmp_path):
    damaged(tmp_path / "a.png", how)
    with pytest.raises(ValueError, match="a.png: .+") as error:
        read_montage_png(tmp_path / "a.png")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("pixels", "text", "message"),
    [
        (np.zeros((4, 4), np.uint16), None, "its pixels are of mode I;16, expected 8 bits a channel"),
        (np.zeros((4, 4), np.uint8), "5", "object is not iterable"),
        (
            np.zeros((4, 4), np.uint8),
            "[0, 0, 0, 0]",
            "montage_area is .0, 0, 0, 0., expected a box inside 4 x 4 pixels",
        ),
    ],
)
def test_a_picture_that_is_no_montage_is_refused_in_one_line(
    tmp_path: Path, pixels: np.ndarray, text: str | None, message: str
):
    info = PngImagePlugin.PngInfo()
    if text is not None:
        info.add_text(AREA, text)
    Image.fromarray(pixels).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(ValueError, match=f"a.png: cannot be read: .*{message}"):
        read_montage_png(tmp_path / "a.png")
