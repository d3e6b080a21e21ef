"""A folder of a hospital with every kind of trouble, in small."""

from __future__ import annotations

import shutil
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
from dicom_files import write_series

SECRET = "Zaphod"
"""Part of every name and every other text in the folder that may tell who a patient is."""
AFFINE = np.diag([-3.0, -3.0, 4.0, 1.0])
IDENTIFYING = {
    "PatientName": f"{SECRET}^Beeblebrox", "PatientID": f"{SECRET}-1", "PatientBirthDate": "19420611",
    "PatientAddress": f"{SECRET} Street", "OtherPatientNames": f"{SECRET}", "AccessionNumber": f"{SECRET}-2",
    "InstitutionName": f"{SECRET} General", "InstitutionAddress": f"{SECRET} Way", "StationName": f"{SECRET}-CT",
    "ReferringPhysicianName": f"{SECRET}^Doctor", "PerformingPhysicianName": f"{SECRET}^Other",
    "OperatorsName": f"{SECRET}^Operator", "StudyID": f"{SECRET}-3", "StudyDescription": f"Abdomen {SECRET}",
    "SeriesDescription": f"Series {SECRET}", "ProtocolName": f"Protocol {SECRET}", "StudyDate": "19790302",
    "SeriesDate": "19790303", "AcquisitionDate": "19790304", "ContentDate": "19790305", "PatientComments": SECRET,
    "ImageComments": SECRET, "RequestedProcedureDescription": SECRET, "DeviceSerialNumber": f"{SECRET}-4",
    "StudyInstanceUID": "1.2.826.0.42.1", "FrameOfReferenceUID": "1.2.826.0.42.2",
}  # fmt: skip
DATES = ("19420611", "1979030", "1.2.826.0.42")


def scan(seed: int, shape: tuple[int, int, int] = (40, 36, 12)) -> np.ndarray:
    """A body in air, of fat with soft tissue, bone and gas in it, (X, Y, Z) int16 in HU."""
    rng = np.random.default_rng(seed)
    x, y, z = (np.linspace(-1, 1, n) for n in shape)
    radius = np.sqrt(x[:, None, None] ** 2 + y[None, :, None] ** 2) * (1 + 0.1 * z)
    volume = np.full(shape, -1000.0)
    for limit, hu in ((0.85, -100), (0.7, 50)):
        volume[radius < limit] = hu
    volume[18:22, 26:30] = 500
    volume[8:12, 14:18, :4] = -900
    return np.rint(volume + rng.normal(0, 12, shape)).astype(np.int16)


def write_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray | None = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def write_itk(path: Path, voxels: np.ndarray) -> Path:
    image = itk.image_from_array(np.ascontiguousarray(voxels.T))
    image.SetSpacing([3.0, 3.0, 4.0])
    itk.imwrite(image, str(path))
    return path


def dicom_troubles(root: Path) -> None:
    """DICOM that is good, and bad in every way; volumes have seeds, so that each differs from the others."""
    good = root / f"{SECRET}_1"
    uid = write_series(good, scan(1), name="IM{:04d}", **IDENTIFYING)
    sideways = {"axes": (1, 0, 0, 0, 0, -1), "position": lambda i: [0.0, 3.0 * i, 0.0]}
    write_series(good, scan(2)[..., :1], name="scout{}", kind="LOCALIZER", uid=uid, **sideways, **IDENTIFYING)
    screen = {**IDENTIFYING, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "ImageType": ["DERIVED", "SECONDARY"]}
    write_series(good, scan(2)[..., :1], name="dose{}", **screen)
    spread = write_series(root / f"{SECRET}_2" / "a", scan(3)[..., :6], **IDENTIFYING)
    write_series(
        root / f"{SECRET}_2" / "b",
        scan(3)[..., 6:],
        position=lambda i: [-10, -20, 3.0 * (i + 6)],
        uid=spread,
        **IDENTIFYING,
    )
    mixed = root / "mixed"
    write_series(mixed, scan(4), name="a{}.dcm", **IDENTIFYING)
    write_series(mixed, scan(5), name="b{}.dcm", **sideways, **IDENTIFYING)
    write_series(mixed, scan(6), name="c{}.dcm", modality="MR", **IDENTIFYING)
    write_series(root / "gap", scan(7), position=lambda i: [0, 0, 3.0 * (i + (i > 6))], **IDENTIFYING)
    write_series(root / "phases", scan(8), position=lambda i: [0, 0, 3.0 * (i % 6)], **IDENTIFYING)
    write_series(root / "tilt", scan(9), position=lambda i: [0, 1.0 * i, 3.0 * i], **IDENTIFYING)
    write_series(root / "few", scan(10)[..., :4], **IDENTIFYING)
    write_series(root / "placeless", scan(11), **{**IDENTIFYING, "ImagePositionPatient": None})
    write_series(root / "cut", scan(12), name=f"{SECRET}{{}}.dcm", **IDENTIFYING)
    cut = root / "cut" / f"{SECRET}3.dcm"
    cut.write_bytes(cut.read_bytes()[:-500])
    shutil.copytree(root / f"{SECRET}_2" / "a", root / "copies of slices")
    (root / "gap" / "no image.dcm").write_bytes(b"nothing" * 100)


def volume_troubles(root: Path) -> None:
    """NIfTI, NRRD and MetaImage that are good, and bad in every way."""
    write_nifti(root / f"{SECRET}.nii.gz", scan(20))
    write_itk(root / "good.nrrd", scan(21))
    write_itk(root / "good.mha", scan(22))
    x, y = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 36), indexing="ij")
    write_nifti(root / "padded.nii.gz", np.where((x**2 + y**2 > 1)[..., None], -3024, scan(23)).astype(np.int16))
    write_nifti(root / "again" / "other name.nii", scan(20))
    write_nifti(root / "again" / "of dicom.nii.gz", scan(1), np.diag([-0.8, -0.8, 3.0, 1.0]))
    write_nifti(root / "again" / "other spacing.nii.gz", scan(20), np.diag([-3.0, -3.0, 5.0, 1.0]))
    write_nifti(root / "labels.nii.gz", np.digitize(scan(24).astype(float), [-500, -20, 200]).astype(np.uint8))
    write_nifti(root / "shifted.nii.gz", scan(25) + 1024)
    grey = (scan(26).clip(-175, 275) + 175) / 450
    write_nifti(root / "bytes.nii.gz", np.rint(255 * grey).astype(np.uint8))
    write_nifti(root / "unit.nii.gz", grey.astype(np.float32))
    write_nifti(root / "constant.nii.gz", np.full((20, 20, 12), 7, np.int16))
    holes = scan(27).astype(np.float32)
    holes[3, 3, 3] = np.nan
    write_nifti(root / "nan.nii.gz", holes)
    write_nifti(root / "series4d.nii.gz", np.stack([scan(28), scan(29)], axis=-1))
    write_nifti(root / "flat.nii.gz", scan(30)[..., :1])
    truncated = write_nifti(root / f"{SECRET}_truncated.nii.gz", scan(31))
    truncated.write_bytes(truncated.read_bytes()[:-2000])
    write_nifti(root / "placeless.nii.gz", scan(32), None)
    sheared = AFFINE.copy()
    sheared[1, 2] = 1.0
    write_nifti(root / "sheared.nii.gz", scan(33), sheared)
    write_nifti(root / "micrometres.nii.gz", scan(36), np.diag([3000.0, 3000.0, 4000.0, 1.0]))
    repeated = scan(34)
    repeated[..., 5] = repeated[..., 4]
    write_nifti(root / "repeated.nii.gz", repeated)
    write_nifti(root / "coronal.nii.gz", scan(35), np.array([[3.0, 0, 0, 0], [0, 0, 6, 0], [0, 3, 0, 0], [0, 0, 0, 1]]))


def troubled_folder(root: Path) -> Path:
    """Write all of it."""
    dicom_troubles(root / "dicom")
    volume_troubles(root / "volumes")
    for name in ("notes.txt", "report.pdf", f"list.{SECRET}", "README", ".hidden.nii.gz", "DICOMDIR"):
        (root / name).write_text(f"about {SECRET}")
    return root
