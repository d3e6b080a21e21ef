"""Write small DICOM series as a scanner would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


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
) -> None:
    """Write `voxels` (X, Y, Z) in HU as one series with 0.8 mm pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = generate_uid()
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
        ds.ImagePositionPatient, ds.ImageOrientationPatient = position(i), [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing = [0.8, 0.8]
        ds.Rows, ds.Columns = voxels.shape[1], voxels.shape[0]
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 15, 1, 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.PixelData = (voxels[..., i].T + 1024).astype(np.int16).tobytes()
        pydicom.dcmwrite(folder / name.format(i), ds, enforce_file_format=True)
