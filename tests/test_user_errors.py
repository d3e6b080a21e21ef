import pytest
from monai.transforms import Compose, Lambda

from custom_components.user_errors import exit_on_user_error, root_cause


def unreadable(_: object) -> None:
    raise ValueError("a.nii: truncated")


def defect(_: object) -> None:
    raise KeyError("no such name")


def test_an_error_inside_of_transforms_is_one_line():
    load = exit_on_user_error(Compose([Lambda(unreadable)]))
    with pytest.raises(SystemExit, match=r"^error: a\.nii: truncated$"):
        load(1)


def test_a_defect_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="applying transform") as caught:
        exit_on_user_error(Compose([Lambda(defect)]))(1)
    assert isinstance(root_cause(caught.value), KeyError)
