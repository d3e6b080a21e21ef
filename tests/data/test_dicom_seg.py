"""DICOM SEG: what is read of one by highdicom and by pydicom alone is the label map that it was made of."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_files import write_enhanced, write_series
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from pydicom.sr.codedict import codes

from custom_components.anatomy import ORGANS
from custom_components.data.dicom_seg import Algorithm, check_highdicom, write_dicom_seg
from custom_components.data.dicom_source import dicom_files, labels_on_slices, read_source
from custom_components.data.organ_codes import ORGAN_CODES
from custom_components.data.readers import VolumeReader, read_volume

VOXELS = np.random.default_rng(0).integers(-200, 200, (7, 6, 5)).astype(np.int16)
ALGORITHM = Algorithm("baseline_seg", "ab" * 32)
NAMES = {organ.name.replace("_", " "): organ.index for organ in ORGANS}
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def labels_of(hu: np.ndarray) -> np.ndarray:
    """Labels that tell which voxel of the CT they belong to; the lowest values are background."""
    return np.where(hu < -150, 0, np.asarray(hu).astype(int) % 13).astype(np.uint8)


def made(folder: Path, output: Path, change: Callable[[np.ndarray], np.ndarray] = labels_of) -> tuple[np.ndarray, ...]:
    """Read a series, and write the SEG of its labels; returns them and their affine."""
    reader = VolumeReader()
    voxels, meta = reader.get_data(reader.read(str(folder)))
    labels = change(np.asarray(voxels))
    write_dicom_seg(output, labels, meta["affine"], read_source(dicom_files(str(folder))), ALGORITHM)
    return labels, meta["affine"]


def by_pydicom(path: Path) -> dict[str, np.ndarray]:
    """The labels of each slice by its SOPInstanceUID."""
    seg = pydicom.dcmread(path)
    organs = {one.SegmentNumber: NAMES[one.SegmentLabel] for one in seg.SegmentSequence}
    found: dict[str, np.ndarray] = {}
    pixels = seg.pixel_array if seg.NumberOfFrames > 1 else seg.pixel_array[None]
    for frame, groups in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        labels = found.setdefault(source.ReferencedSOPInstanceUID, np.zeros(frame.shape, np.uint8))
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        labels[frame > 0] = organs[number]
    return found


def slices(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for file in sorted(folder.iterdir()):
        ct = pydicom.dcmread(file)
        yield ct.SOPInstanceUID, labels_of(ct.pixel_array.astype(int) + int(ct.RescaleIntercept))


def turned(quarter: int, tilt: float) -> list[float]:
    """Axes of an image: one of the 24 that follow the patient's, turned by an angle in radians."""
    axes = [np.eye(3)[a] * s for a, s in itertools.product(range(3), (1, -1))]
    row, column = [(r, c) for r, c in itertools.product(axes, axes) if not r @ c][quarter]
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    return [round(float(x), 12) for x in (*(turn @ row), *(turn @ column))]


ROWS_AND_COLUMNS = {
    name: next(i for i in range(24) if turned(i, 0.0) == axes)
    for name, axes in {
        "supine": [1, 0, 0, 0, 1, 0],
        "prone": [-1, 0, 0, 0, -1, 0],
        "coronal": [1, 0, 0, 0, 0, -1],
        "sagittal": [0, 1, 0, 0, 0, -1],
    }.items()
}


@example(quarter=ROWS_AND_COLUMNS["supine"], tilt=0.0, order=list(range(5)), step=-3.0)
@example(quarter=ROWS_AND_COLUMNS["prone"], tilt=0.0, order=list(range(5)), step=1.5)
@example(quarter=ROWS_AND_COLUMNS["coronal"], tilt=0.0, order=list(range(5)), step=1.5)
@example(quarter=ROWS_AND_COLUMNS["sagittal"], tilt=0.0, order=list(range(5)), step=1.5)
@settings(max_examples=24, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    quarter=st.integers(0, 23),
    tilt=st.sampled_from([0.0, 0.2]),
    order=st.permutations(range(5)),
    step=st.sampled_from([1.5, -3.0]),
)
def test_round_trip_gives_the_same_voxels_in_every_orientation_and_order_of_files(
    quarter: int, tilt: float, order: list[int], step: float, tmp_path_factory: pytest.TempPathFactory
):
    folder = tmp_path_factory.mktemp("series")
    axes = turned(quarter, tilt)
    normal = np.cross(axes[:3], axes[3:])
    place = {
        i: [round(float(x), 6) for x in np.array([-10.0, 20.0, 30.0]) + order[i] * step * normal] for i in range(5)
    }
    write_series(folder / "ct", VOXELS, position=place.__getitem__, axes=axes, PixelSpacing=[0.7, 1.1])
    labels, affine = made(folder / "ct", folder / "a_seg.dcm")

    expected = dict(slices(folder / "ct"))
    found = by_pydicom(folder / "a_seg.dcm")
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[uid], expected[uid]) for uid in expected)

    seg = hd.seg.segread(folder / "a_seg.dcm")
    numbers = np.array([0, *(NAMES[seg.get_segment_description(n).segment_label] for n in seg.segment_numbers)])
    pixels = seg.get_pixels_by_source_instance(list(expected), combine_segments=True)
    assert np.array_equal(numbers[pixels], list(expected.values()))

    volume = seg.get_volume(combine_segments=True)
    grid = np.indices(volume.spatial_shape).reshape(3, -1)
    where = np.linalg.inv(affine) @ LPS @ volume.affine @ np.r_[grid, np.ones((1, grid.shape[1]))]
    index = where[:3].round().astype(int)
    assert np.abs(where[:3] - index).max() < 1e-3
    assert volume.spatial_shape == (5, 6, 7)
    assert np.array_equal(numbers[volume.array].ravel(), labels[tuple(index)])


@pytest.mark.parametrize("step", [3.0, -3.0], ids=["upwards", "downwards"])
def test_a_file_of_several_frames_refers_to_its_frames(tmp_path: Path, step: float):
    write_enhanced(tmp_path / "ct" / "a.dcm", VOXELS, position=lambda i: [-10.0, -20.0, step * i])
    _, affine = made(tmp_path / "ct", tmp_path / "a_seg.dcm")
    seg = hd.seg.segread(tmp_path / "a_seg.dcm")
    numbers = np.array([0, *(NAMES[seg.get_segment_description(n).segment_label] for n in seg.segment_numbers)])
    ct = pydicom.dcmread(tmp_path / "ct" / "a.dcm")
    pixels = seg.get_pixels_by_source_frame(ct.SOPInstanceUID, list(range(1, 6)), combine_segments=True)
    assert np.array_equal(numbers[pixels], labels_of(VOXELS).transpose(2, 1, 0))
    assert np.allclose(affine[:3, 3], [10, 20, 0 if step > 0 else affine[2, 3]])


def test_segments_have_names_codes_and_colours(tmp_path: Path):
    write_series(tmp_path / "ct", VOXELS, patient="77", StudyDate="20200102", PatientSex="F", AccessionNumber="A1")
    made(tmp_path / "ct", tmp_path / "a_seg.dcm")
    seg = pydicom.dcmread(tmp_path / "a_seg.dcm")
    assert [one.SegmentLabel for one in seg.SegmentSequence] == list(NAMES)
    assert [one.SegmentNumber for one in seg.SegmentSequence] == list(range(1, 13))
    for one, organ in zip(seg.SegmentSequence, ORGANS, strict=True):
        (kind,), (category,) = one.SegmentedPropertyTypeCodeSequence, one.SegmentedPropertyCategoryCodeSequence
        side = [item.CodeValue for item in one.get("SegmentedPropertyTypeModifierCodeSequence", [])]
        code = ORGAN_CODES[organ.name]
        assert (kind.CodeValue, kind.CodingSchemeDesignator, side) == (
            code.type.value, "SCT", [code.side.value] if code.side else [],
        )  # fmt: skip
        assert category.CodeValue == "123037004"
        colour = hd.color.CIELabColor.from_dicom_value(one.RecommendedDisplayCIELabValue).to_rgb(clip=True)
        assert np.abs(np.subtract(colour, organ.colour)).max() <= 1
        (algorithm,) = one.SegmentationAlgorithmIdentificationSequence
        assert (one.SegmentAlgorithmType, algorithm.AlgorithmName) == ("AUTOMATIC", "baseline_seg")
        assert "ab" * 32 in algorithm.AlgorithmParameters
    header = {
        name: str(seg.get(name)) for name in ("PatientName", "PatientID", "StudyDate", "PatientSex", "AccessionNumber")
    }
    assert list(header.values()) == ["Secret^Name", "77", "20200102", "F", "A1"]
    assert (seg.Modality, seg.SegmentationType, seg.FrameOfReferenceUID) == ("SEG", "BINARY", "1.2.3.4")
    assert (seg.StudyInstanceUID, seg.SegmentsOverlap) == ("1.2.3", "NO")


def test_codes_are_those_of_the_dicom_standard():
    """But for the two veins, which its tables have one by one."""
    known = {
        getattr(group, name) for group in (codes.cid7151, codes.cid7192) for name in dir(group) if name[0].isupper()
    }
    values = {code.value for code in known if code.scheme_designator == "SCT"}
    assert {name for name, code in ORGAN_CODES.items() if code.type.value not in values} == {"portal_and_splenic_veins"}
    sides = {getattr(codes.cid244, name).value for name in dir(codes.cid244) if name[0].isupper()}
    assert {code.side.value for code in ORGAN_CODES.values() if code.side} <= sides
    assert list(ORGAN_CODES) == [organ.name for organ in ORGANS]


def test_slices_that_are_a_little_uneven_keep_their_places(tmp_path: Path):
    def position(i: int) -> list[float]:
        return [-10.0, -20.0 + 0.02 * i, 3.0 * i + (0.1 if i == 2 else 0)]

    write_series(tmp_path / "ct", VOXELS, position=position)
    made(tmp_path / "ct", tmp_path / "a_seg.dcm")
    expected, found = dict(slices(tmp_path / "ct")), by_pydicom(tmp_path / "a_seg.dcm")
    assert all(np.array_equal(found[uid], expected[uid]) for uid in expected)
    groups = pydicom.dcmread(tmp_path / "a_seg.dcm").PerFrameFunctionalGroupsSequence
    places = {tuple(map(float, one.PlanePositionSequence[0].ImagePositionPatient)) for one in groups}
    assert places == {tuple(position(i)) for i in range(5)}


def test_organs_that_are_absent_have_no_segment_and_slices_without_organ_no_frame(tmp_path: Path):
    write_series(tmp_path / "ct", VOXELS)

    def liver_and_aorta(hu: np.ndarray) -> np.ndarray:
        labels = np.zeros(hu.shape, np.uint8)
        labels[2:4, 1:3, 1:3], labels[5, 5, 2] = 6, 8
        return labels

    made(tmp_path / "ct", tmp_path / "a_seg.dcm", liver_and_aorta)
    seg = pydicom.dcmread(tmp_path / "a_seg.dcm")
    assert [(one.SegmentNumber, one.SegmentLabel) for one in seg.SegmentSequence] == [(1, "liver"), (2, "aorta")]
    assert seg.NumberOfFrames == 3
    with pytest.raises(ValueError, match="the segmentation is empty, expected at least one organ"):
        made(tmp_path / "ct", tmp_path / "b_seg.dcm", lambda hu: np.zeros(hu.shape, np.uint8))
    assert not (tmp_path / "b_seg.dcm").exists()


@pytest.mark.parametrize(
    "tag",
    ["FrameOfReferenceUID", "StudyInstanceUID", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"],
)
def test_a_missing_tag_is_named(tmp_path: Path, tag: str):
    write_series(tmp_path / "ct", VOXELS, **{tag: None})
    files = tuple(map(str, (tmp_path / "ct").iterdir()))
    with pytest.raises(ValueError, match=f"^a slice lacks {tag}$"):
        read_source(files)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")  # of what the test writes
@pytest.mark.filterwarnings("ignore:The value length")
def test_headers_that_break_rules_are_copied_and_not_repeated_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    odd = {"PatientSex": "W", "PatientBirthDate": "unknown", "StudyDate": "2020-01-02", "AccessionNumber": "Secret" * 9}
    write_series(tmp_path / "ct", VOXELS, **odd)
    with caplog.at_level(logging.DEBUG):
        made(tmp_path / "ct", tmp_path / "a_seg.dcm")
    assert "Secret" not in caplog.text
    assert "highdicom" not in caplog.text
    seg = pydicom.dcmread(tmp_path / "a_seg.dcm")
    assert {name: seg[name].value for name in odd} == odd


@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 100", "Müller^Jörg"), ("ISO_IR 192", "王^小东"), (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎")],
)
def test_names_keep_their_letters(tmp_path: Path, charset: str | list[str], name: str):
    write_series(tmp_path / "ct", VOXELS, SpecificCharacterSet=charset, PatientName=name)
    made(tmp_path / "ct", tmp_path / "a_seg.dcm")
    assert pydicom.dcmread(tmp_path / "a_seg.dcm").PatientName == name


def test_a_label_map_of_another_grid_is_refused_and_one_stored_otherwise_is_not(tmp_path: Path):
    write_series(tmp_path / "ct", VOXELS)
    source = read_source(dicom_files(str(tmp_path / "ct")))
    image = read_volume(str(tmp_path / "ct"))  # in RAS, other than the series
    assert isinstance(image, MetaTensor)
    labels, affine = labels_of(image[0].numpy()), image.affine.numpy()
    assert np.array_equal(labels_on_slices(labels, affine, source), labels_of(VOXELS).transpose(2, 1, 0))
    shifted = affine.copy()
    shifted[2, 3] += 3
    for wrong in ((labels[:-1], affine), (labels, shifted), (labels, affine @ np.diag([1, 1, 1.5, 1]))):
        with pytest.raises(ValueError, match="the segmentation lies on another grid than the series"):
            labels_on_slices(*wrong, source)


def test_files_of_a_case_are_those_of_its_series(tmp_path: Path):
    write_series(tmp_path / "ct", VOXELS)
    (tmp_path / "a.nii.gz").write_bytes(b"no DICOM")
    files = sorted(str(file) for file in (tmp_path / "ct").iterdir())
    assert sorted(dicom_files(str(tmp_path / "ct"))) == files
    assert dicom_files(files) == tuple(files)
    assert dicom_files(files[0]) == (files[0],)
    assert dicom_files(str(tmp_path / "a.nii.gz")) == ()


def test_without_highdicom_there_is_one_line_that_tells_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(ValueError, match=r"highdicom .*: pip install highdicom \(with pydicom 3\)$"):
        check_highdicom()
