"""Segment a folder of CTs with the predictor of nnU-Net v2 around this project's network.

    python benchmarks/peers/nnunet_inference.py FOLDER OUT --ckpt_path model.pt [--channels 32,64,128,256]

Plans as nnU-Net writes them for CT, with the network's voxel size and its window of intensities; the patch is the
network's grid. Windows do not overlap and there is no mirroring, so that the network does no more work than the size of
the scan asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import fire
import torch
from monai.networks.nets import UNet
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from custom_components.anatomy import ORGANS

RESAMPLING = {"is_seg": False, "order_z": 0, "force_separate_z": None}
PLANS = {
    "dataset_name": "Dataset001_Abdomen",
    "plans_name": "nnUNetPlans",
    "image_reader_writer": "NibabelIOWithReorient",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "foreground_intensity_properties_per_channel": {
        # (HU + 175) / 450 after clipping, which is the window of the network
        "0": {"mean": -175.0, "std": 450.0, "percentile_00_5": -175.0, "percentile_99_5": 275.0}
    },
    "label_manager": "LabelManager",
    "configurations": {
        "3d_fullres": {
            "data_identifier": "nnUNetPlans_3d_fullres",
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 1,
            "patch_size": [64, 168, 168],
            "spacing": [6.0, 2.0, 2.0],
            "normalization_schemes": ["CTNormalization"],
            "use_mask_for_norm": [False],
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": {**RESAMPLING, "order": 3},
            "resampling_fn_seg": "resample_data_or_seg_to_shape",
            "resampling_fn_seg_kwargs": {**RESAMPLING, "is_seg": True, "order": 1},
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": {**RESAMPLING, "order": 1},
            "architecture": {"network_class_name": "", "arch_kwargs": {}, "_kw_requires_import": []},
        }
    },
}
DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, **{organ.name: organ.index for organ in ORGANS}},
    "file_ending": ".nii.gz",
    "numTraining": 1,
}


class AxesOfNnunet(torch.nn.Module):
    """The network on arrays whose axes are in nnU-Net's order, slices first."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """From `(B, 1, Z, Y, X)` to `(B, 13, Z, Y, X)`."""
        return self.network(image.transpose(2, 4).contiguous()).transpose(2, 4)


def main(
    folder: str,
    output_dir: str,
    ckpt_path: str,
    channels: Sequence[int] = (32, 64, 128, 256),
    processes: int = 3,
) -> None:
    """Write `OUT/<case>.nii.gz` for each `FOLDER/<case>.nii.gz`.

    Args:
        folder: of CTs.
        output_dir: made if missing.
        ckpt_path: weights of the U-Net.
        channels: of the U-Net.
        processes: that preprocess, and as many that write; nnU-Net's default.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = AxesOfNnunet(UNet(3, 1, 13, tuple(channels), (2, 2, 2), num_res_units=2))
    network.network.load_state_dict(torch.load(ckpt_path, weights_only=True))
    plans = PlansManager(PLANS)
    predictor = nnUNetPredictor(tile_step_size=1.0, use_mirroring=False, device=device, allow_tqdm=False)
    predictor.manual_initialization(
        network, plans, plans.get_configuration("3d_fullres"), [network.state_dict()], DATASET, "none", None
    )
    images = sorted(Path(folder).glob("*.nii.gz"))
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    predictor.predict_from_files(
        [[str(path)] for path in images],
        [str(Path(output_dir) / path.name.removesuffix(".nii.gz")) for path in images],
        num_processes_preprocessing=processes,
        num_processes_segmentation_export=processes,
    )


if __name__ == "__main__":
    fire.Fire(main)
