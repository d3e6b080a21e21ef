"""Weights between those of two networks."""

from pathlib import Path

import pytest
import torch
from torch import nn

from custom_components.learning.average_weights import average_weights


def saved(path: Path, network: nn.Module) -> Path:
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2)) for _ in range(2)]
    networks[1][1].num_batches_tracked += 7
    return saved(tmp_path / "first.pt", networks[0]), saved(tmp_path / "second.pt", networks[1])


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_each_weight_lies_between_the_two(files, tmp_path: Path, share: float):
    average_weights(*files, tmp_path / "new" / "model.pt", share=share)
    first, second, found = (torch.load(path, weights_only=True) for path in (*files, tmp_path / "new" / "model.pt"))
    for name in first:
        if first[name].is_floating_point():
            torch.testing.assert_close(found[name], (1 - share) * first[name] + share * second[name])
    assert found["1.num_batches_tracked"] == first["1.num_batches_tracked"] == 0


def test_networks_of_another_kind_are_told(files, tmp_path: Path):
    wide = saved(tmp_path / "wide.pt", nn.Sequential(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4)))
    with pytest.raises(ValueError, match=r"wide\.pt: 0\.weight has shape \(4, .*expected \(2, .*first\.pt"):
        average_weights(files[0], wide, tmp_path / "out.pt")
    short = saved(tmp_path / "short.pt", nn.Sequential(nn.Conv3d(1, 2, 3)))
    with pytest.raises(ValueError, match=r"short\.pt: has no 1\.bias, expected the weights that .*first\.pt has"):
        average_weights(short, files[0], tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()


def test_what_is_no_weights_is_told(files, tmp_path: Path):
    torch.save({"network": {}}, tmp_path / "state.pt")
    (tmp_path / "text.pt").write_text("weights")
    for name in ("state.pt", "text.pt"):
        with pytest.raises(ValueError, match=rf"{name}: .*expected a state dict"):
            average_weights(files[0], tmp_path / name, tmp_path / "out.pt")
    with pytest.raises(ValueError, match="share is 1.5, expected"):
        average_weights(*files, tmp_path / "out.pt", share=1.5)
