"""Write small DICOM series as a scanner would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid


def write_series(
    folder: Path,
    voxels: np.ndarray,
    *,
    number: int = 1,
    position: Callable[[int], list[float]] = lambda i: [-10.0, -20.0, 3.0 * i],
    name: str = "slice{:03d}.dcm",
    modality: str = "CT",
    kind: str = "AXIAL",
    patient: str = "",
    uid: str = "",
    axes: Sequence[float] = (1, 0, 0, 0, 1, 0),
    **tags: object,
) -> str:
    """Write `voxels` (X, Y, Z) in HU as one series with 0.8 mm pixels; return its UID. A tag of None is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = uid or generate_uid()
    for i in range(voxels.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds = Dataset()
        ds.file_meta = meta
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", uid
        ds.Modality, ds.ImageType = modality, ["ORIGINAL", "PRIMARY", kind]
        ds.PatientName, ds.PatientID = "Secret^Name", patient
        ds.SeriesNumber, ds.InstanceNumber, ds.SliceThickness = number, i + 1, 3
        ds.ImagePositionPatient, ds.ImageOrientationPatient = position(i), list(axes)
        ds.FrameOfReferenceUID = "1.2.3.4"
        ds.PixelSpacing = [0.8, 0.8]
        ds.Rows, ds.Columns = voxels.shape[1], voxels.shape[0]
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 15, 1, 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.PixelData = (voxels[..., i].T + 1024).astype(np.int16).tobytes()
        for tag, value in tags.items():
            if value is None:
                ds.pop(tag, None)
            else:
                setattr(ds, tag, value)
        pydicom.dcmwrite(folder / name.format(i), ds, enforce_file_format=True)
    return uid


def write_enhanced(
    path: Path, voxels: np.ndarray, *, position: Callable[[int], list[float]] = lambda i: [-10.0, -20.0, 3.0 * i]
) -> None:
    """Write `voxels` (X, Y, Z) in HU as one file with a frame for each slice, with 0.8 mm pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = EnhancedCTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = Dataset()
    ds.file_meta = meta
    ds.SOPClassUID, ds.SOPInstanceUID = EnhancedCTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.3", generate_uid(), "1.2.3.4"
    ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL", "NONE"]
    ds.PatientName, ds.PatientID, ds.SeriesNumber, ds.InstanceNumber = "Secret^Name", "", 1, 1
    ds.Rows, ds.Columns, ds.NumberOfFrames = voxels.shape[1], voxels.shape[0], voxels.shape[2]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 15, 1, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    shared = Dataset()
    for name, values in {
        "PixelMeasuresSequence": {"PixelSpacing": [0.8, 0.8], "SliceThickness": 3},
        "PlaneOrientationSequence": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        "PixelValueTransformationSequence": {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"},
    }.items():
        setattr(shared, name, Items([_item(**values)]))
    ds.SharedFunctionalGroupsSequence = Items([shared])
    ds.PerFrameFunctionalGroupsSequence = Items(
        [_item(PlanePositionSequence=Items([_item(ImagePositionPatient=position(i))])) for i in range(voxels.shape[2])]
    )
    ds.PixelData = (voxels.transpose(2, 1, 0) + 1024).astype(np.int16).tobytes()
    pydicom.dcmwrite(path, ds, enforce_file_format=True)


def _item(**values: object) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item
