"""Write a segmentation so that its final name only ever holds a complete file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import NibabelWriter
from monai.data.folder_layout import default_name_formatter
from monai.transforms import Transform
from monai.utils import MetaKeys, convert_data_type

from custom_components.case_ids import CASE_ID
from custom_components.data.fingerprint import FINGERPRINT, description
from custom_components.files import complete_file


def case_output_name(meta: Mapping[str, Any] | None, saver: Transform) -> dict[str, Any]:
    """Name a file after the case id in the meta data: `output_name_formatter` of `SaveImaged`.

    Without a case id it is MONAI's default, the name of the input file.
    """
    if meta is None or CASE_ID not in meta:
        return default_name_formatter(meta, saver)  # type: ignore[arg-type]
    # MONAI strips a suffix from the name, and would take a dot in the case id for one.
    return {"subject": f"{meta[CASE_ID]}.nii.gz", "idx": None}


class AtomicNibabelWriter(NibabelWriter):
    """Write NIfTI under a temporary name in the same folder, then rename it.

    A killed run leaves at most a file with the name of `partial_path`, which the next attempt at the case
    replaces. The voxels are stored in `output_dtype` without scaling. The affine is the image's own in
    sform, and in qform unless the axes are sheared, which a qform cannot hold; codes follow the input's. The header's
    description tells the fingerprint of the input, if the meta data have one.

    Raises:
        OSError: (on writing) the disk is full or the folder is not writable; nothing is left behind.
    """

    def set_metadata(self, meta_dict: Mapping | None, resample: bool = False, **options: Any) -> None:
        """Take the affine over; without resampling the voxels stay in their own data type.

        MONAI's own method makes a float32 copy of the voxels even if there is nothing to resample.
        """
        meta = meta_dict or {}
        self.made_from = meta.get(FINGERPRINT)
        self.code = next((int(code) for key in ("sform_code", "qform_code") if (code := meta.get(key, 0)) > 0), 1)
        if resample:
            super().set_metadata(meta_dict, resample=True, **options)
        else:
            self.affine = meta.get(MetaKeys.AFFINE)

    def write(self, filename: str | os.PathLike, verbose: bool = False, **kwargs: Any) -> None:
        """Write the file; see the class."""
        affine = np.eye(4) if self.affine is None else convert_data_type(self.affine, np.ndarray)[0]
        voxels = self.data_obj.cpu().numpy() if isinstance(self.data_obj, torch.Tensor) else self.data_obj
        image = nib.Nifti1Image(np.asarray(voxels, dtype=self.output_dtype), affine)
        image.header.set_xyzt_units("mm")
        if self.made_from:
            image.header["descrip"] = description(self.made_from)
        image.set_sform(affine, code=self.code)
        image.set_qform(affine, code=self.code)
        if not np.allclose(image.get_qform(), affine, rtol=1e-4, atol=1e-3):
            image.set_qform(None, code=0)
        with complete_file(filename) as partial:
            nib.save(image, partial)
