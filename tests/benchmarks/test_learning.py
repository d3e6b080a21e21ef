"""The comparison of ways to learn: its controls are what they are called, and its page counts right."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "benchmarks" / "learning"
CONFIGS = ROOT / "bundles" / "qa_semi_seg" / "configs"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    for name in ("page", "views", "mean_teacher", "methods", "confidence", "shared", "workbench"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def run_of(seed: int, codes: str) -> dict:
    values = [int(code) for code in codes]
    return {
        "seed": seed, "counts": [values.count(code) for code in (0, 1, 2)], "core_dice": 0.8, "dice": 0.7, "score": 0.5,
        "ratings": 10, "seconds": 5.0, "codes": {f"case{number}": code for number, code in enumerate(values)},
    }  # fmt: skip


def test_page_compares_case_by_case_over_all_seeds(tmp_path: Path, capsys):
    import page

    content = {
        "n_test": 4,
        "methods": {
            "continued": {"runs": [run_of(0, "0122"), run_of(1, "2222")]},
            "ranked": {"runs": [run_of(0, "1102"), run_of(1, "0002"), run_of(2, "0000")]},
        },
    }
    table = page.summary(content).set_index("method")
    assert table.loc["continued", "0/1/2"] == "0/0/3"  # rounded means
    assert table.loc["ranked", "failure: gone/new"] == "4/0"
    assert table.loc["ranked", "success: gone/new"] == "1/4"
    assert float(table.loc["ranked", "failure: p"]) == 0.25  # three cases got better, in one seed or in both
    (tmp_path / "learning.json").write_text(json.dumps(content))
    page.main(str(tmp_path / "learning.json"), str(tmp_path))
    assert "| ranked | 3 |" in capsys.readouterr().out
    assert (tmp_path / "codes.png").stat().st_size > 5000
    assert (tmp_path / "scores.png").stat().st_size > 5000


def test_page_tells_the_default_from_each_other_method_and_its_share_of_the_bound(tmp_path: Path, capsys):
    import page

    content = {
        "n_test": 4, "default_method": "ranked",
        "methods": {
            "baseline": {"runs": [run_of(0, "0222"), run_of(1, "0000")]},
            "continued": {"runs": [run_of(0, "0022")]},
            "ranked": {"runs": [run_of(0, "0012")]},
            "oracle": {"runs": [run_of(0, "0001")]},
        },
    }  # fmt: skip
    table = page.against_all(content).set_index("against")
    assert list(table.index) == ["baseline", "continued", "oracle"]
    assert table.loc["baseline", "failure: gone/new"] == "2/0"
    assert table.loc["oracle", "success: gone/new"] == "1/0"
    (tmp_path / "learning.json").write_text(json.dumps(content))
    page.main(str(tmp_path / "learning.json"), str(tmp_path))
    said = capsys.readouterr().out
    assert (
        "from baseline: successes 1.0 to 2.0 (+100%), 50% of the change of oracle; failures 3.0 to 1.0 (-67%), 67%"
        in said
    )
    assert (
        "from continued: successes 2.0 to 2.0 (+0%), 0% of the change of oracle; failures 2.0 to 1.0 (-50%), 50%"
        in said
    )


def test_page_tells_how_sure_the_headroom_is():
    import page

    runs = {"continued": [run_of(0, "0022" * 25), run_of(1, "0022" * 25)], "oracle": [run_of(0, "0002" * 25)]}
    content = {"methods": {name: {"runs": of_name} for name, of_name in runs.items()}}
    said = page.headroom(content, "oracle")
    assert "oracle against continued: successes +50% (95% interval +" in said
    assert "failures -50% (95% interval -" in said
    low, high = re.findall(r"interval \+(\d+)% to \+(\d+)%\), failures", said)[0]
    assert 25 < int(low) < 45 < 55 < int(high) < 90
    assert page.headroom({"methods": {"continued": {"runs": []}, "oracle": {"runs": []}}}, "oracle").startswith(
        "no seed"
    )


def test_page_takes_a_single_change_for_chance_and_no_share_of_nothing():
    import numpy as np
    import page

    assert page.sign_flip_p(np.array([0, 0, -3])) == 1
    assert page.sign_flip_p(np.array([2, 1, 0, 3, 1, 1])) == 2 / 2**5
    codes = {"baseline": "0112", "ranked": "0012", "oracle": "0111"}
    content = {"default_method": "ranked", "methods": {name: {"runs": [run_of(0, codes[name])]} for name in codes}}
    said = page.gain(content, "baseline", "oracle")
    assert "successes 1.0 to 2.0 (+100%), no share of the change of oracle" in said
    assert "failures 1.0 to 1.0 (+0%), 0%" in said


def test_views_are_drawn_as_often_as_the_image_as_it_is():
    from views import RandViewd

    from custom_components.learning.intensity_views import Gamma

    transform = RandViewd([Gamma(2.0), Gamma(0.5)])
    transform.set_random_state(0)
    item = {"image": torch.full((1, 2, 2, 2), 0.25), "label": "kept"}
    seen = [round(float(transform(item)["image"].mean()), 4) for _ in range(600)]
    assert set(seen) == {0.25, 0.0625, 0.5}
    assert all(150 < seen.count(value) < 250 for value in set(seen))
    assert transform(item)["label"] == "kept"


def test_mean_teacher_pulls_towards_the_teacher():
    from mean_teacher import ConsistencyGradient

    torch.manual_seed(0)
    teacher, image = nn.Conv3d(1, 3, 1), torch.rand(1, 1, 4, 4, 4)
    consistency = ConsistencyGradient(teacher, lambda view, network: network(view))
    logits = torch.randn(1, 3, 4, 4, 4)
    first = consistency(image, logits)
    for _ in range(50):
        logits = logits - 200 * consistency(image, logits).gradient
    assert consistency(image, logits).loss < 0.2 * first.loss
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


@pytest.mark.parametrize("overlay", ["plain_views", "mean_teacher"])
def test_overlays_of_the_controls_fit_the_bundle(overlay: str):
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config([str(CONFIGS / "train.yaml"), str(HERE / f"{overlay}.yaml"), str(CONFIGS / "phantom.yaml")])
    parser["pseudo_section"] = None
    parser.parse()
    if overlay == "plain_views":
        names = [type(one).__name__ for one in parser.get_parsed_content("train#preprocessing").transforms]
        assert names.index("RandViewd") < names.index("RandAffined")
    else:
        gradient = parser.get_parsed_content("unlabeled#gradient")
        assert gradient.teacher is parser.get_parsed_content("averaged").ema_model
        assert parser.get_parsed_content("unlabeled#in_use") is True


def test_sizes_name_options_of_the_cohort_and_overlays_that_are_there():
    import inspect

    from workbench import CONFIGS, SIZES

    from custom_components.__main__ import phantom

    for size in SIZES.values():
        assert set(size.cohort) <= set(inspect.signature(phantom).parameters)
        assert size.rated < size.cohort["unlabeled"]
        for folder in CONFIGS.values():
            assert size.overlay is None or (folder / f"{size.overlay}.yaml").is_file()


def test_a_baseline_at_the_papers_grid_goes_on_from_one_at_the_small_grid(tmp_path: Path, monkeypatch):
    import shared
    from workbench import SIZES, Bench

    words: dict[str, tuple] = {}
    monkeypatch.setattr(Bench, "run", lambda _, name, *command: words.update({name: command}) or 0.0)
    monkeypatch.setattr(shared, "_write_sections", lambda _: None)
    bench = Bench(tmp_path, 0, "test", SIZES["paper"])
    shared.prepare(bench)
    option = {name: dict(pairwise(command)) for name, command in words.items()}
    assert "phantom.yaml" in option["coarse/train"]["--config_file"]
    assert "phantom.yaml" not in option["baseline/tune"]["--config_file"]
    assert option["baseline/tune"]["--baseline_path"] == f"{option['coarse/train']['--ckpt_dir']}/model.pt"
    assert option["baseline/tune"]["--ckpt_dir"] == str(bench.baseline.parent)
    network = "--network_def#channels"
    assert option["coarse/train"][network] == option["first/segment_unlabeled"][network] == "[16, 32, 64, 128]"
    assert network not in option["judge/train"]


@pytest.mark.parametrize("bundle", ["baseline_seg", "qa_semi_seg"])
def test_faster_networks_fit_the_bundles(bundle: str):
    from monai.bundle import ConfigParser
    from workbench import CONFIGS, FAST

    parser = ConfigParser()
    parser.read_config([str(CONFIGS[bundle] / "train.yaml"), str(CONFIGS[bundle] / "phantom.yaml")])
    for name, value in FAST.items():
        parser[name] = value
    parser.parse()
    weights = [one for one in parser.get_parsed_content("network").parameters() if one.dim() == 5 and one.shape[1] > 1]
    assert weights
    assert all(one.is_contiguous(memory_format=torch.channels_last_3d) for one in weights)
    assert parser["train"]["trainer"]["compile"] is not torch.cuda.is_available()


def test_a_step_that_methods_share_runs_once(tmp_path: Path):
    from concurrent.futures import ThreadPoolExecutor

    from workbench import Bench

    bench, trace = Bench(tmp_path, 0), tmp_path / "trace.txt"
    code = f"import time; time.sleep(0.2); open({str(trace)!r}, 'a').write('x')"
    with ThreadPoolExecutor(3) as pool:
        seconds = list(pool.map(lambda _: bench.run("shared/step", "-c", code), range(3)))
    assert trace.read_text() == "x"
    assert min(seconds) >= 0.2


def test_a_step_that_was_cut_off_counts_its_seconds(tmp_path: Path):
    from workbench import Bench

    bench = Bench(tmp_path, 0)
    with pytest.raises(subprocess.CalledProcessError):
        bench.run("step", "-c", "import time, sys; time.sleep(0.3); sys.exit(1)")
    assert bench.run("step", "-c", "pass") >= 0.3
    assert bench.run("step", "-c", "raise SystemExit('again')") >= 0.3
    assert [path.name for path in (bench.folder / "steps").iterdir()] == ["step.json"]
