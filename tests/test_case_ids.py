import pytest
import torch
from monai.data import MetaTensor

from custom_components.case_ids import case_id_of, case_name, check_case_id


@pytest.mark.parametrize(
    ("path", "case_id"),
    [
        ("/a/case.1.2.nii.gz", "case.1.2"),
        ("case.NII", "case"),
        ("case.nrrd", "case"),
        ("case.mha", "case"),
        ("case.Mhd", "case"),
        ("IM1.dcm", "IM1"),
        ("/a/1.2.840.10008", "1.2.840.10008"),
        ("/archive/patient.7/", "patient.7"),
        ("a.nii.nii.gz", "a.nii"),
        (".nii.gz", ".nii.gz"),
    ],
)
def test_case_id_is_the_name_without_the_suffix_of_a_volume(path, case_id):
    assert case_id_of(path) == case_id


@pytest.mark.parametrize("case_id", ["a", "a.1.2", "Fall 7", "ü"])
def test_a_name_may_be_a_case_id(case_id):
    assert check_case_id(case_id) == case_id


@pytest.mark.parametrize("case_id", ["", ".", "..", "../a", "/a", "a/b", "a/", ".a"])
def test_what_cannot_be_the_name_of_a_folder_is_no_case_id(case_id):
    with pytest.raises(ValueError, match=r"^case_id is '.*', expected a name without slashes and leading dot$"):
        check_case_id(case_id)


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ({"case_id": 12, "image": "/a/b.nii"}, "12"),
        ({"image": "/a/case.1.nii.gz", "label": "x.nii"}, "case.1"),
        ({"label": "b.mha"}, "b"),
        ({"image": MetaTensor(torch.zeros(1), meta={"filename_or_obj": "/a/c.nii.gz"})}, "c"),
        ({"image": torch.zeros(1)}, "without name"),
    ],
)
def test_an_item_has_the_name_of_its_case_id_or_of_its_image(item, name):
    assert case_name(item, "image", "label") == name
