from __future__ import annotations

import logging
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torchvision.models import get_model, get_model_weights

from custom_components.networks import IMAGENET_MEAN, IMAGENET_STD, QADiscriminator, load_imagenet_weights


def imagenet(path: Path, backbone: str = "resnet18", seed: int = 1, drop: str = "-") -> dict[str, torch.Tensor]:
    """Save what torchvision's weights look like: 1000 classes; without the tensors whose name has `drop`."""
    torch.manual_seed(seed)
    state = {name: tensor for name, tensor in get_model(backbone).state_dict().items() if drop not in name}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return state


def discriminator(backbone: str = "resnet18") -> tuple[QADiscriminator, dict[str, torch.Tensor]]:
    """A network, and a copy of its weights as they are before anything is loaded."""
    torch.manual_seed(0)
    network = QADiscriminator(backbone)
    return network, {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}


def assert_taken_over(network: QADiscriminator, state: dict[str, torch.Tensor], before: dict[str, torch.Tensor]):
    """All layers are those of the file, but the last one is as before."""
    found = network.backbone.state_dict()
    last = [name for name in found if name.startswith("fc.")]
    assert len(last) == 2
    assert all(torch.equal(found[name], before[name]) for name in last)
    assert all(torch.equal(found[name], state[name]) for name in state if name not in last)
    assert not torch.equal(found["conv1.weight"], before["conv1.weight"])


def assert_untouched(network: QADiscriminator, before: dict[str, torch.Tensor]):
    found = network.backbone.state_dict()
    assert all(torch.equal(found[name], before[name]) for name in before)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torchvision keeps resnet18's weights, not there yet; and no network."""

    def unreachable(*_: object, **__: object) -> None:
        raise URLError("Temporary failure in name resolution")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    return tmp_path / "torch" / "hub" / "checkpoints" / Path(get_model_weights("resnet18").DEFAULT.url).name


@pytest.mark.parametrize("backbone", ["resnet18", "resnet34"])
def test_montages_get_a_score_each_and_are_normalised_inside(backbone: str):
    network = discriminator(backbone)[0].eval()
    montages = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        scores = network(montages)
        expected = network.backbone((montages - mean) / std)
    assert scores.shape == (2, 1)
    assert torch.allclose(scores, expected)
    assert not torch.allclose(scores, network.backbone(montages))


def test_a_state_dict_holds_the_backbone_alone():
    assert {name.partition(".")[0] for name in QADiscriminator().state_dict()} == {"backbone"}


@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:FutureWarning")
def test_it_can_be_scripted_and_gives_the_same_scores(tmp_path: Path):
    network = discriminator()[0].eval()
    torch.jit.script(network).save(str(tmp_path / "model.ts"))
    montages = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(torch.jit.load(str(tmp_path / "model.ts"))(montages), network(montages), atol=1e-5)


@pytest.mark.parametrize(
    "drop", ["-", "num_batches_tracked"], ids=["of today", "of torch 0.3, as torchvision has them"]
)
def test_all_layers_but_the_last_come_from_the_file(drop: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    state = imagenet(tmp_path / "imagenet.pth", drop=drop)
    network, before = discriminator()
    with caplog.at_level(logging.INFO):
        assert load_imagenet_weights(network, tmp_path / "imagenet.pth") == "imagenet.pth"
    assert_taken_over(network, state, before)
    assert f"the discriminator starts from ImageNet weights of {tmp_path}/imagenet.pth" in caplog.text


def test_a_file_fits_the_network_that_it_is_of(tmp_path: Path):
    state = imagenet(tmp_path / "34.pth", "resnet34")
    network, before = discriminator("resnet34")
    assert load_imagenet_weights(network, str(tmp_path / "34.pth")) == "34.pth"
    assert_taken_over(network, state, before)


@pytest.mark.parametrize(
    "content", ["no file", "text", "empty", "resnet34", "resnet50", "own", "list", "numbers", "conv1 of grey"]
)
def test_a_file_that_was_named_and_does_not_do_ends_the_run_with_one_line(content: str, tmp_path: Path):
    path = tmp_path / "named.pth"
    if content == "text":
        path.write_text("no weights")
    elif content == "empty":
        path.touch()
    elif content.startswith("resnet"):
        imagenet(path, content)
    elif content == "own":
        torch.save(QADiscriminator().state_dict(), path)
    elif content == "list":
        torch.save([1, 2], path)
    elif content == "numbers":
        torch.save(dict.fromkeys(get_model("resnet18").state_dict(), 1.0), path)
    elif content == "conv1 of grey":
        state = get_model("resnet18", num_classes=1).state_dict()
        torch.save({**state, "conv1.weight": state["conv1.weight"][:, :1]}, path)
    network, before = discriminator()
    with pytest.raises(SystemExit) as end:
        load_imagenet_weights(network, path)
    said = (
        f"no ImageNet weights at {path}" if content == "no file" else f"{path} holds no weights of resnet18, expected"
    )
    assert str(end.value.code).startswith(f"error: {said}")
    assert "\n" not in str(end.value.code)
    assert len(str(end.value.code)) < 400
    assert_untouched(network, before)


def test_auto_takes_torchvisions_weights_from_its_cache(cache: Path, tmp_path: Path):
    state = imagenet(cache, drop="num_batches_tracked")
    imagenet(tmp_path / "fallback.pth", seed=2)
    network, before = discriminator()
    assert load_imagenet_weights(network, fallback=tmp_path / "fallback.pth") == "torchvision"
    assert_taken_over(network, state, before)


@pytest.mark.parametrize("content", [None, b"", b"no weights"], ids=["no network", "empty cache", "damaged cache"])
def test_auto_takes_the_file_beside_where_torchvision_has_none(
    content: bytes | None, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    if content is not None:
        cache.parent.mkdir(parents=True)
        cache.write_bytes(content)
    state = imagenet(tmp_path / "fallback.pth")
    network, before = discriminator()
    with caplog.at_level(logging.INFO):
        assert load_imagenet_weights(network, "auto", tmp_path / "fallback.pth") == "fallback.pth"
    assert_taken_over(network, state, before)
    assert "ImageNet weights of torchvision cannot be had" in caplog.text
    assert content is not None or "Temporary failure in name resolution" in caplog.text


@pytest.mark.parametrize("fallback", ["", "absent.pth"])
def test_auto_stays_random_where_there_is_neither_and_says_so(
    fallback: str, cache: Path, caplog: pytest.LogCaptureFixture
):
    network, before = discriminator()
    with caplog.at_level(logging.INFO):
        assert load_imagenet_weights(network, "auto", fallback) == "random"
    assert_untouched(network, before)
    said = "random weights, as there is no absent.pth either" if fallback else "random weights"
    assert f"the discriminator starts from {said}" in [record.getMessage() for record in caplog.records]


def test_a_file_beside_that_does_not_fit_ends_the_run(cache: Path, tmp_path: Path):
    (tmp_path / "fallback.pth").write_text("no weights")
    with pytest.raises(SystemExit, match="^error: .*fallback.pth holds no weights of resnet18"):
        load_imagenet_weights(discriminator()[0], fallback=tmp_path / "fallback.pth")


@pytest.mark.parametrize("source", ["none", None, "None"])
def test_random_weights_are_had_for_the_asking(source: str | None, cache: Path, caplog: pytest.LogCaptureFixture):
    imagenet(cache)
    network, before = discriminator()
    with caplog.at_level(logging.INFO):
        assert load_imagenet_weights(network, source) == "random"
    assert_untouched(network, before)
    assert "the discriminator starts from random weights, as asked" in caplog.text
