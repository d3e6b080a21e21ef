from pathlib import Path

import pytest
import torch

from custom_components.checkpoints import save_state


class Unsavable:
    def __reduce__(self) -> str:
        raise OSError(28, "No space left on device")


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "models" / "last.pt"
    save_state({"epoch": 1}, path)
    with pytest.raises(OSError, match="No space left"):
        save_state({"epoch": 2, "more": Unsavable()}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    save_state({"epoch": 3}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 3}
    assert [file.name for file in path.parent.iterdir()] == ["last.pt"]
