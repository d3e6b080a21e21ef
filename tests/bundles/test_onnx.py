"""The networks as ONNX: what `monai.bundle onnx_export` writes in a bundle's own folder gives what torch gives."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from bundle_runs import monai_bundle, parsed

import custom_components
from custom_components.bundle_root import package_files

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
SMALL = {"baseline_seg": [1, 1, 32, 32, 16], "qa_discriminator": [1, 3, 64, 64], "qa_semi_seg": [1, 1, 32, 32, 16]}
"""Shapes at which the fast tests export."""


class Exported(NamedTuple):
    """The file, the network that it was made from, and the shape at which it was exported."""

    path: Path
    network: torch.nn.Module
    shape: list[int]


def export(name: str, folder: Path, shape: list[int] | None = None) -> Exported:
    """Export random weights from a bundle that lies alone in a folder, as it does unzipped."""
    bundle = folder / name
    shutil.copytree(BUNDLES / name / "configs", bundle / "configs")
    package = Path(custom_components.__file__).parent
    for path in package_files(package):
        target = bundle / package.name / path.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    torch.manual_seed(0)
    network = parsed(bundle / "configs" / "inference.yaml").get_parsed_content("network_def")
    tensor = json.loads((bundle / "configs" / "metadata.json").read_text())["network_data_format"]["inputs"]["image"]
    real = [1, tensor["num_channels"], *tensor["spatial_shape"]]
    with torch.no_grad():  # batch norm learns means and variances of its own
        network.train()(torch.rand(2, *(shape or SMALL[name])[1:]))
    (bundle / "models").mkdir()
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    size = ["--input_shape", shape] if shape else []
    done = monai_bundle("onnx_export", "--args_file", "configs/onnx.yaml", *size, cwd=bundle)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (bundle / "models").iterdir() if path.suffix != ".pt"] == ["model.onnx"]
    return Exported(bundle / "models" / "model.onnx", network.eval(), shape or real)


def both(one: Exported, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """What torch and onnxruntime make of a random batch."""
    image = torch.rand(batch, *one.shape[1:], generator=torch.Generator().manual_seed(batch))
    with torch.no_grad():
        ours = one.network(image).numpy()
    session = onnxruntime.InferenceSession(one.path, providers=["CPUExecutionProvider"])
    return ours, session.run(["pred"], {"image": image.numpy()})[0]


@pytest.fixture(scope="module", params=list(SMALL))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(request.param, tmp_path_factory.mktemp("onnx"), SMALL[request.param])


def test_file_is_valid_and_names_its_tensors(exported: Exported):
    model = onnx.load(exported.path)
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 18)]
    shapes = {
        tensor.name: [axis.dim_param or axis.dim_value for axis in tensor.type.tensor_type.shape.dim]
        for tensor in (*model.graph.input, *model.graph.output)
    }
    channels = [13, *exported.shape[2:]] if len(exported.shape) == 5 else [1]
    assert shapes == {"image": ["batch", *exported.shape[1:]], "pred": ["batch", *channels]}


@pytest.mark.parametrize("batch", [1, 3])
def test_onnxruntime_gives_what_torch_gives(exported: Exported, batch: int):
    ours, theirs = both(exported, batch)
    assert theirs.shape == ours.shape
    assert np.abs(ours).max() > 0.1
    assert np.abs(ours - theirs).max() < 1e-4
    assert np.array_equal(ours.argmax(1), theirs.argmax(1))


def test_a_result_does_not_depend_on_the_batch_that_it_is_in(exported: Exported):
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).random((5, *exported.shape[1:]), dtype=np.float32)
    together = session.run(["pred"], {"image": images})[0]
    alone = np.concatenate([session.run(["pred"], {"image": image[None]})[0] for image in images])
    assert np.abs(together - together[:1]).max() > 1e-4  # they are different images
    assert np.abs(together - alone).max() < 1e-5


def test_the_command_of_the_guide_takes_the_paths_of_the_installation_out(exported: Exported, tmp_path: Path):
    guide = (BUNDLES / "baseline_seg" / "docs" / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in guide.splitlines() if line.startswith('python -c "import onnx')]
    (tmp_path / "models").mkdir()
    path = Path(shutil.copy2(exported.path, tmp_path / "models"))
    assert b"site-packages" in path.read_bytes()  # else the line in the guide has become needless
    subprocess.run([sys.executable, *shlex.split(line)[1:]], cwd=tmp_path, check=True)
    assert b"site-packages" not in path.read_bytes()
    assert b"stack_trace" not in path.read_bytes()
    ours, theirs = both(exported._replace(path=path), 1)
    assert np.abs(ours - theirs).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SMALL))
def test_onnxruntime_gives_what_torch_gives_at_the_size_of_the_metadata(name: str, tmp_path: Path):
    """Where logits of random weights are nearly equal, some voxels of the 1.8 million get another label."""
    one = export(name, tmp_path)
    assert one.shape == {"qa_discriminator": [1, 3, 256, 256]}.get(name, [1, 1, 168, 168, 64])
    ours, theirs = both(one, 1)
    assert np.abs(ours - theirs).max() < 1e-3
    assert (ours.argmax(1) != theirs.argmax(1)).mean() < 1e-4
