"""What holds for each of the bundles."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from bundle_runs import monai_bundle, parsed
from monai.bundle import ConfigParser

from custom_components.anatomy import ORGAN_NAMES
from custom_components.data.organ_codes import ORGAN_CODES

BUNDLES = sorted(
    path.parent.parent for path in Path(__file__).resolve().parents[2].glob("bundles/*/configs/train.yaml")
)
every_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)


def test_the_bundles_are_found():
    assert [bundle.name for bundle in BUNDLES] == ["baseline_seg", "qa_discriminator", "qa_semi_seg"]


@every_bundle
def test_files_of_the_layout_are_there(bundle: Path):
    names = [
        "LICENSE", "configs/metadata.json", "configs/train.yaml", "configs/inference.yaml", "configs/evaluate.yaml",
        "configs/multi_gpu_train.yaml", "configs/phantom.yaml", "configs/logging.conf", "docs/README.md",
    ]  # fmt: skip
    assert [name for name in names if not (bundle / name).is_file()] == []


@every_bundle
def test_only_what_reports_is_left_out_by_the_other_processes(bundle: Path):
    train = parsed(bundle / "configs" / "train.yaml")
    handlers = train["train#handlers"] + [one for one in train["validate#handlers"] if isinstance(one, dict)]
    assert sorted(one["_target_"].rpartition(".")[2] for one in handlers if one.get("_disabled_") == "@quiet") == [
        "EpochProgress", "StatsHandler", "TensorBoardStatsHandler", "TensorBoardStatsHandler",
    ]  # fmt: skip
    multi = ConfigParser.load_config_file(bundle / "configs" / "multi_gpu_train.yaml")
    assert multi["quiet"] == "$dist.get_rank() > 0"


@every_bundle
def test_several_processes_run_the_steps_of_one(bundle: Path):
    train, multi = (
        ConfigParser.load_config_file(bundle / "configs" / f"{name}.yaml") for name in ("train", "multi_gpu_train")
    )
    assert multi["run"][-len(train["run"]) :] == train["run"]
    assert all("dist." in step or "cuda" in step for step in multi["run"][: -len(train["run"])])


@every_bundle
def test_the_overlay_of_torchrun_without_it_ends_before_anything_is_read(bundle: Path):
    config = parsed(*(bundle / "configs" / f"{name}.yaml" for name in ("train", "multi_gpu_train")))
    assert config.get_parsed_content("device").type in ("cpu", "cuda")
    with pytest.raises(SystemExit, match="^error: RANK, .* not set: start several processes with torchrun"):
        config.get_parsed_content("run")


@every_bundle
def test_a_handler_that_is_put_before_the_others_moves_none(bundle: Path):
    """As MONAI Label does, with a loader of the weights that it trains on."""
    places = re.findall(r"@train#handlers#\d+", (bundle / "configs" / "train.yaml").read_text(encoding="utf-8"))
    assert places == []
    train = ConfigParser.load_config_file(bundle / "configs" / "train.yaml")
    assert all("_target_" in one for one in train["train"]["handlers"])


@every_bundle
def test_the_guide_has_the_order_of_the_model_zoo(bundle: Path):
    guide = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.+)$", guide, re.MULTILINE)
    assert heads[:4] == ["Model description", "Data", "Performance", "Commands"]
    assert heads[-5:] == ["System configuration", "Limitations", "Citation", "References", "License"]
    assert (bundle / "docs" / "data_license.txt").is_file()


@every_bundle
def test_metadata_has_what_the_bundle_specification_wants(bundle: Path):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert set(metadata) >= {
        "schema", "version", "changelog", "monai_version", "pytorch_version", "numpy_version",
        "required_packages_version", "name", "task", "description", "authors", "copyright", "network_data_format",
    }  # fmt: skip
    assert metadata["name"] == bundle.name
    assert re.fullmatch(r"\d+\.\d+\.\d+", metadata["version"])
    assert metadata["version"] in metadata["changelog"]
    for tensors in metadata["network_data_format"].values():
        for tensor in tensors.values():
            assert set(tensor) - {"modality"} == {
                "type", "format", "num_channels", "spatial_shape",
                "dtype", "value_range", "is_patch_data", "channel_def",
            }  # fmt: skip
            assert list(tensor["channel_def"]) == [str(channel) for channel in range(tensor["num_channels"])]


@every_bundle
def test_metadata_names_the_packages_that_this_one_needs(bundle: Path):
    """Or the guide does: those of the rating page."""
    root = Path(__file__).resolve().parents[2]
    block = re.search(r"^dependencies = \[(.*?)^\]", (root / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    needed = {re.match(r"[\w-]+", name)[0] for name in re.findall(r'"(.+?)"', block[1])}
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    spared = {"monai", "torch", "numpy", "jinja2", "isal"}  # torch brings jinja2; without isal gzip does it
    others = needed - spared - set(metadata["required_packages_version"])
    assert f"`pip install {' '.join(sorted(others))}`" in (root / "README.md").read_text(encoding="utf-8")


@every_bundle
def test_metadata_is_valid_against_the_schema_that_it_names(bundle: Path, tmp_path: Path):
    metadata = bundle / "configs" / "metadata.json"
    done = monai_bundle("verify_metadata", "--meta_file", metadata, "--filepath", tmp_path / "schema.json")
    if not (tmp_path / "schema.json").is_file():
        pytest.skip("the schema cannot be downloaded here")
    assert done.returncode == 0, done.stderr


@every_bundle
def test_network_fits_the_metadata(bundle: Path):
    done = monai_bundle(
        "verify_net_in_out", "network_def", "--device", "cpu", "--meta_file", bundle / "configs" / "metadata.json",
        "--config_file", bundle / "configs" / "inference.yaml",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "verified with no error" in done.stdout + done.stderr


def test_the_guide_has_the_codes_of_the_organs():
    guide = (BUNDLES[0] / "docs" / "README.md").read_text(encoding="utf-8")
    table = guide.split("| segment | type (SNOMED CT) | side |")[1].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    assert rows == [
        [name.replace("_", " "), " ".join(code.type), " ".join(code.side) if code.side else ""]
        for name, code in ORGAN_CODES.items()
    ]
    assert list(ORGAN_CODES) == list(ORGAN_NAMES)
