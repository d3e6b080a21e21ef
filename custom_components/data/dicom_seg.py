"""Write a label map as a DICOM Segmentation that refers to the CT series it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from custom_components import __version__
from custom_components.anatomy import ORGANS, Organ
from custom_components.data.dicom_source import SourceSeries, labels_on_slices
from custom_components.data.organ_codes import ANATOMICAL_STRUCTURE, ORGAN_CODES, Concept
from custom_components.data.quiet import silent_pydicom
from custom_components.files import complete_file

if TYPE_CHECKING:
    import pydicom

PROJECT = "QA-supervised segmentation"
SERIES_NUMBER = 300
IDENTITY = {
    "PatientID": "", "PatientName": "", "PatientBirthDate": "", "PatientSex": "", "AccessionNumber": "", "StudyID": "",
    "StudyDate": "", "StudyTime": "", "ReferringPhysicianName": "",
}  # fmt: skip
"""What DICOM demands of every file, be it empty."""


@dataclass(frozen=True)
class Algorithm:
    """What made a segmentation: a name, and the SHA-256 of its weights if it is known."""

    name: str
    weights_sha256: str = ""


def check_highdicom() -> None:
    """Make sure that segmentations can be written.

    Raises:
        ValueError: highdicom is missing or cannot be loaded; the text tells how to install it.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else "cannot be loaded"
        raise ValueError(
            f"highdicom {why}, expected it for DICOM SEG: pip install highdicom (with pydicom 3)"
        ) from None


def write_dicom_seg(
    path: str | Path, labels: np.ndarray, affine: np.ndarray, source: SourceSeries, algorithm: Algorithm
) -> None:
    """Write the organs of a label map as segments, each of its frames with a reference to its slice of the series.

    The segments are binary, as that is what all viewers show. Organs that are not there have none; the numbers of the
    others go on without a gap, as the standard demands. Patient, study and frame of reference are those of the series.

    Args:
        path: file to write, under a temporary name that is changed when it is complete.
        labels: label map (X, Y, Z), in our numbering.
        affine: of the label map, RAS in mm.
        source: the series.
        algorithm: what made the segmentation.

    Raises:
        ValueError: the label map is empty, lies on another grid, or the series lacks what DICOM demands.
        OSError: the file cannot be written.
    """
    frames = labels_on_slices(labels, affine, source)
    counts = np.bincount(frames.ravel(), minlength=len(ORGANS) + 1)
    present = [organ for organ in ORGANS if counts[organ.index]]
    if not present:
        raise ValueError("the segmentation is empty, expected at least one organ")
    with silent_pydicom():
        segmentation = _segmentation(frames, present, source, algorithm)
        with complete_file(path) as partial:
            segmentation.save_as(partial)


def _segmentation(frames: np.ndarray, present: list[Organ], source: SourceSeries, algorithm: Algorithm) -> Any:
    import highdicom as hd

    numbers = np.zeros(len(ORGANS) + 1, np.uint8)
    numbers[[organ.index for organ in present]] = np.arange(1, len(present) + 1)
    segments = [_segment(number, organ, algorithm) for number, organ in enumerate(present, start=1)]
    sources = [_nameless(dataset, source.spacing) for dataset in source.datasets]
    try:
        segmentation = hd.seg.Segmentation(
            source_images=sources,
            pixel_array=numbers[frames],
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=hd.UID(),
            series_number=SERIES_NUMBER,
            series_description="Abdominal organs",
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer=PROJECT,
            manufacturer_model_name=algorithm.name,
            software_versions=__version__,
            device_serial_number="0",
            content_label="ORGANS",
            content_description="Abdominal organs found by a neural network",
        )
    except AttributeError as error:
        if any(error.obj is one for one in sources):
            raise ValueError(f"a slice lacks {error.name}") from None
        raise
    first = source.datasets[0]
    segmentation.copy_patient_and_study_information(first)
    if "SpecificCharacterSet" in first:
        segmentation["SpecificCharacterSet"] = first["SpecificCharacterSet"]
    return segmentation


def _nameless(dataset: pydicom.Dataset, spacing: float) -> pydicom.Dataset:
    """The headers without identity: texts of libraries about what is wrong in them must not repeat it.

    A slice may lack its thickness, which highdicom wants: then it is the distance to the next one.
    """
    from pydicom.dataset import Dataset
    from pydicom.valuerep import DSfloat

    found = Dataset()
    found.update(dataset)
    found.pop("SpecificCharacterSet", None)
    for name, value in IDENTITY.items():
        setattr(found, name, value)
    if not found.get("SliceThickness"):
        found.SliceThickness = DSfloat(spacing, auto_format=True)
    return found


def _segment(number: int, organ: Organ, algorithm: Algorithm) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    code = ORGAN_CODES[organ.name]
    parameters = {"weights_sha256": algorithm.weights_sha256} if algorithm.weights_sha256 else None
    segment = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=organ.name.replace("_", " "),
        segmented_property_category=_coded(ANATOMICAL_STRUCTURE),
        segmented_property_type=_coded(code.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=algorithm.name,
            version=__version__,
            family=codes.cid7162.ArtificialIntelligence,
            source=PROJECT,
            parameters=parameters,
        ),
        display_color=hd.color.CIELabColor.from_rgb(*organ.colour),
    )
    if code.side:
        segment.SegmentedPropertyTypeModifierCodeSequence = [_coded(code.side)]
    return segment


def _coded(concept: Concept) -> Any:
    import highdicom as hd

    return hd.sr.CodedConcept(concept.value, "SCT", concept.meaning)
