from pathlib import Path

import pytest
import torch

from custom_components.checkpoints import save_state, state_hash


class Unsavable:
    def __reduce__(self) -> str:
        raise OSError(28, "No space left on device")


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "models" / "training_state.pt"
    save_state({"epoch": 1}, path)
    with pytest.raises(OSError, match="No space left"):
        save_state({"epoch": 2, "more": Unsavable()}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    save_state({"epoch": 3}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 3}
    assert [file.name for file in path.parent.iterdir()] == ["training_state.pt"]


def test_hash_tells_weights_and_buffers_apart():
    network = torch.nn.BatchNorm1d(2)
    first = state_hash(network)
    assert state_hash(torch.nn.BatchNorm1d(2)) == first
    hashes = {first}
    for tensor in (network.weight.data, network.running_mean, network.num_batches_tracked):
        tensor += 1
        hashes.add(state_hash(network))
    assert len(hashes) == 4
