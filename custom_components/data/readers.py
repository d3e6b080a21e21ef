"""Read a volume with nibabel or ITK, and say in one line why it cannot be read."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from gzip import BadGzipFile
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import torch
from monai.config import PathLike
from monai.data import ImageReader, ITKReader, MetaTensor, NibabelReader
from monai.transforms import Orientation
from monai.utils import ensure_tuple
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from custom_components.data.dicom import list_series, read_series
from custom_components.data.dicom_kinds import has_dicom_magic
from custom_components.files import utf8_path
from custom_components.transforms.check_volume import check_shape

DAMAGED: tuple[type[Exception], ...] = (EOFError, zlib.error, BadGzipFile)
"""What unpacking a damaged file raises."""

try:  # twice as fast; an unzipped bundle has only what its metadata.json names
    from isal import igzip as gzip
    from isal import isal_zlib

    DAMAGED = (*DAMAGED, isal_zlib.error)  # type: ignore[arg-type]
except ImportError:
    import gzip  # type: ignore[no-redef]


class VolumeReader(ImageReader):
    """Reader for `LoadImaged`: NIfTI, NRRD, MHA, and DICOM series.

    Takes the path of a file; of a folder that holds the slices of one DICOM series; or the paths of the
    slices of one series, in any order, where a folder holds several. Affines are RAS. Reading happens in `get_data`, so
    that its error comes out as it is: `LoadImage` would hide that of `read` behind those of other readers.

    Raises:
        ValueError: (in `get_data`) with the path and the reason, in one line.

    Example::

        LoadImaged("image", reader=VolumeReader)
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Accept every name; what cannot be read says so in `get_data`."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> tuple[str, ...]:
        """Return the paths."""
        return tuple(str(path) for path in ensure_tuple(data))

    def get_data(self, img: tuple[str, ...]) -> tuple[np.ndarray, dict]:
        """Return the voxels `(X, Y, Z)` and the meta data with a RAS affine in mm."""
        path = next((path for path in map(Path, img) if not path.exists()), Path(img[0]))
        try:
            if not path.exists():
                raise ValueError("file not found")
            is_dicom = len(img) > 1 or path.is_dir() or has_dicom_magic(path)
            if not is_dicom and path.name.lower().endswith((".nii", ".nii.gz")):
                return _read_nifti(path)
            paths = tuple(map(utf8_path, img))
            return _read_dicom(paths) if is_dicom else _read_itk(path)
        except DAMAGED as error:
            raise ValueError(f"{path}: truncated or damaged: {error}") from error
        except (ImageFileError, HeaderDataError) as error:
            raise ValueError(f"{path}: no NIfTI image, or truncated: {error}") from error
        except (ValueError, OSError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise ValueError(f"{path}: {reason.removeprefix(f'{path}: ')}") from error


def read_volume(path: PathLike) -> MetaTensor:
    """Read one volume in RAS, `(1, X, Y, Z)` float32 with its affine in mm, without the rest of its meta data.

    Raises:
        ValueError: as `VolumeReader`; or the file does not hold one 3D volume.
    """
    reader = VolumeReader()
    voxels, meta = reader.get_data(reader.read(path))
    try:
        check_shape(voxels.shape)
        volume = torch.as_tensor(voxels.reshape(1, *voxels.shape[:3]), dtype=torch.float32)
        return cast(MetaTensor, Orientation("RAS", labels=None)(MetaTensor(volume, affine=meta["affine"])))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class _Float32NibabelReader(NibabelReader):
    def _get_array_data(self, img: Any, filename: PathLike) -> np.ndarray:
        if not str(filename).lower().endswith(".gz"):
            return _float32(img)
        with gzip.open(filename) as file:
            voxels = _float32(type(img).from_stream(file))
            file.read()  # to the end, where the checksum is
            return voxels


def _float32(image: Any) -> np.ndarray:
    """The voxels in the order that torch wants, in one copy, and never in float64 as nibabel makes of scaled ones."""
    voxels = image.dataobj
    is_scaled = (voxels.slope, voxels.inter) != (1, 0)
    return np.ascontiguousarray(np.asarray(voxels, np.float32) if is_scaled else voxels.get_unscaled(), np.float32)


def _read_nifti(path: Path) -> tuple[np.ndarray, dict]:
    check_shape(nib.load(path).shape)  # type: ignore[attr-defined]
    reader = _Float32NibabelReader(squeeze_non_spatial_dims=True)
    return reader.get_data(reader.read(path))


METAIMAGE_PLACE = {
    "spacing": ("ElementSpacing",),
    "orientation": ("TransformMatrix", "Orientation", "Rotation"),
    "origin": ("Offset", "Origin", "Position"),
}
"""What a MetaImage header must say of the place of its voxels, and the names that it may have there."""


def _check_metaimage(path: Path) -> None:
    """ITK takes 1 mm, no turn and no shift for what a header does not say, and then a result lies anywhere."""
    with path.open("rb") as file:
        header = file.read(1 << 14).split(b"ElementDataFile")[0].decode("latin-1")
    names = {line.partition("=")[0].strip() for line in header.splitlines()}
    missing = [what for what, known in METAIMAGE_PLACE.items() if not names.intersection(known)]
    if "NDims" in names and missing:
        raise ValueError(f"has no affine: the MetaImage header lacks {' and '.join(missing)}")


def _read_itk(path: Path) -> tuple[np.ndarray, dict]:
    if path.suffix.lower() in (".mha", ".mhd"):
        _check_metaimage(path)
    reader = ITKReader()
    try:
        image = reader.read(path)
    except RuntimeError as error:
        # ITK's text goes over several lines, and names a missing file where the data are too short.
        unknown = "Could not create IO object" in str(error)
        reason = "no image of a known format" if unknown else "truncated or damaged"
        raise ValueError(reason) from error
    return reader.get_data(image)


def _read_dicom(paths: tuple[str, ...]) -> tuple[np.ndarray, dict]:
    files: Sequence[str] = paths
    if len(paths) == 1 and Path(paths[0]).is_dir():
        series = list_series(paths[0])
        if len(series) > 1:
            numbers = ", ".join(one.number for one in series)
            raise ValueError(f"{len(series)} CT series (numbers {numbers}), expected one, or the files of one")
        files = series[0].files
    try:
        image = read_series(files)
    except RuntimeError as error:
        raise ValueError("a DICOM slice is truncated or damaged") from error
    voxels, meta = ITKReader().get_data(image)
    # A file with several frames brings its whole header along, the patient's name too.
    return voxels, {key: value for key, value in meta.items() if "|" not in str(key)}
