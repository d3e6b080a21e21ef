"""Segment one NIfTI with a packaged bundle in MONAI Deploy.

    PYTHONPATH=BUNDLE python app.py --model BUNDLE/models/model.ts --input CT.nii.gz --output OUT

BUNDLE is the unzipped folder of baseline_seg or qa_semi_seg. `--model BUNDLE` reads its configs, instead of the copies
in the TorchScript. OUT/CT_seg.nii.gz has the labels on the grid of the CT. In a clinic the SDK's operators for DICOM
stand in the place of the first and the last operator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application, Fragment, Image, IOType, Operator, OperatorSpec
from monai.deploy.operators.monai_bundle_inference_operator import IOMapping, MonaiBundleInferenceOperator


class ReadNifti(Operator):
    """Read a NIfTI with its affine, which the SDK's own loader leaves out."""

    def __init__(self, fragment: Fragment, *args: Any, path: Path, **kwargs: Any) -> None:
        self.path = path
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        spec.output("image")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        file = nib.load(self.path)
        metadata = {
            "affine": file.affine,
            "original_affine": file.affine,
            "space": "RAS",
            "spatial_shape": np.asarray(file.shape),
            "original_channel_dim": "no_channel",
            "filename_or_obj": self.path.name,
        }
        op_output.emit(Image(file.get_fdata(dtype=np.float32), metadata), "image")


class WriteNifti(Operator):
    """Write labels on the grid of their CT."""

    def __init__(self, fragment: Fragment, *args: Any, folder: Path, **kwargs: Any) -> None:
        self.folder = folder
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input("pred")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        pred = op_input.receive("pred")
        labels = np.swapaxes(pred.asnumpy(), 0, 2)  # the inference operator makes it Z, Y, X
        metadata = pred.metadata()
        name = metadata["filename_or_obj"].removesuffix(".gz").removesuffix(".nii")
        affine = np.asarray(metadata["original_affine"])
        nib.save(nib.Nifti1Image(labels, affine), self.folder / f"{name}_seg.nii.gz")


class SegmentationApp(Application):
    """Read, segment, write."""

    def compose(self) -> None:
        context: AppContext = Application.init_app_context(self.argv)
        if Path(context.model_path).is_dir():
            context.models = None  # the SDK takes any folder for a model, and then does not look for the bundle in it
        reader = ReadNifti(self, CountCondition(self, 1), path=Path(context.input_path), name="reader")
        segment = MonaiBundleInferenceOperator(
            self,
            app_context=context,
            input_mapping=[IOMapping("image", Image, IOType.IN_MEMORY)],
            output_mapping=[IOMapping("pred", Image, IOType.IN_MEMORY)],
            bundle_path=context.model_path,
            name="segment",
        )
        writer = WriteNifti(self, folder=Path(context.output_path), name="writer")
        self.add_flow(reader, segment, {("image", "image")})
        self.add_flow(segment, writer, {("pred", "pred")})


if __name__ == "__main__":
    SegmentationApp().run()
