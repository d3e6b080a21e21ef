"""Scripts to start from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_valid_and_names_files_that_are_there(script: Path):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    text = script.read_text(encoding="utf-8")
    folder = re.search(r"^configs=(.+)$", text, re.MULTILINE).group(1)
    names = re.findall(r"\$configs/(\w+\.yaml)", text)
    assert names
    assert [name for name in names if not (ROOT / folder / name).is_file()] == []


def slurm(tmp_path: Path, *words: str, programs: dict[str, str], **variables: str) -> subprocess.CompletedProcess:
    """Run the script where these shell scripts stand for programs of a cluster."""
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    command = ["bash", str(ROOT / "examples" / "slurm.sh"), *words]
    environment = {**variables, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_job_of_an_array_takes_its_number_from_the_first(tmp_path: Path):
    done = slurm(
        tmp_path, "segment", "in", "out", programs={"python": "echo $RANK of $WORLD_SIZE"},
        SLURM_ARRAY_TASK_ID="3", SLURM_ARRAY_TASK_MIN="1", SLURM_ARRAY_TASK_COUNT="8",
    )  # fmt: skip
    assert done.stdout.strip() == "2 of 8"


CLUSTER = {
    "scontrol": '[ "$*" = "show hostnames a[1-2]" ] && printf "a1\\na2\\n"',
    "srun": 'echo "$SRUN_CPUS_PER_TASK $OMP_NUM_THREADS $TORCH_DISABLE_SHARE_RDZV_TCP_STORE"; printf "%s\\n" "$@"',
}
JOB = {
    "SLURM_JOB_NODELIST": "a[1-2]", "SLURM_CPUS_PER_TASK": "32", "SLURM_GPUS_ON_NODE": "4", "SLURM_NNODES": "2",
    "SLURM_JOB_ID": "77",
}  # fmt: skip


def test_a_training_on_two_machines_has_a_process_for_each_gpu_and_all_the_cores(tmp_path: Path):
    done = slurm(tmp_path, "train", "my data", programs=CLUSTER, **JOB)
    assert done.returncode == 0, done.stderr
    cores, program, *words = done.stdout.splitlines()
    assert (cores, program) == ("32 8 1", "torchrun")
    options = dict(zip(words[:12:2], words[1:12:2], strict=True))
    assert options == {
        "--nnodes": "2", "--nproc_per_node": "4", "--max-restarts": "3",
        "--rdzv_backend": "c10d", "--rdzv_endpoint": "a1:29500", "--rdzv_id": "77",
    }  # fmt: skip
    assert words[12:16] == ["-m", "monai.bundle", "run", "training"]
    assert words[-4:] == ["--dataset_dir", "my data", "--resume", "true"]


@pytest.mark.parametrize(
    ("words", "missing", "hint"),
    [
        (["segment", "in", "out"], "SLURM_ARRAY_TASK_ID", "start it with sbatch --array, see above"),
        (["train", "data"], "SLURM_JOB_NODELIST", "start it with sbatch, see above"),
        (["train", "data"], "SLURM_CPUS_PER_TASK", "start it with sbatch --cpus-per-task, see above"),
        (["train", "data"], "SLURM_GPUS_ON_NODE", "start it with sbatch --gpus-per-node, see above"),
    ],
)
def test_a_script_that_was_not_sent_off_as_it_should_says_how(
    words: list[str], missing: str, hint: str, tmp_path: Path
):
    variables = {name: value for name, value in JOB.items() if name != missing}
    done = slurm(tmp_path, *words, programs=CLUSTER, **variables)
    assert done.returncode != 0
    assert done.stderr.strip().endswith(f"{missing}: {hint}")
