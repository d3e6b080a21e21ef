#!/usr/bin/env bash
# What the crop to the abdomen brings: the same baseline with it and without it, on phantoms of the whole trunk.
#
#   bash benchmarks/body_part_crop.sh [OUT]
#
# A body-part regressor learns from 340 phantoms without labels. Two baselines learn from 40 labelled ones on the small grid,
# with the same numbers but for the crop, and segment 100 test cases that vary more: scans of the trunk (23 to 44 cm), and
# scans of the same patients with more of thighs and chest (30 to 77 cm). The simulated rater codes them. The two reports
# at the end have the codes and the Dice of each organ without the crop (before) and with it (after). On 2 cores without fast
# bfloat16 this takes about an hour and a half.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT="${1:-benchmarks/results/body_part_crop}"
CONFIGS=bundles/baseline_seg/configs
WEIGHTS="$OUT/body_part/body_part.pt"

python -m custom_components phantom "$OUT/trunk" --grid trunk --training 40 --unlabeled 300 --validation 12 --test 100
python -m custom_components phantom "$OUT/long" --grid long --training 0 --unlabeled 0 --validation 0 --test 100
[ -e "$WEIGHTS" ] || python -m monai.bundle run training --config_file "$CONFIGS/body_part.yaml" \
    --dataset_dir "$OUT/trunk" --ckpt_dir "$OUT/body_part" --output_dir "$OUT/body_part" --resume true

for name in whole crop; do
    path=none
    [ "$name" = crop ] && path="$WEIGHTS"
    python -m monai.bundle run training --config_file "['$CONFIGS/train.yaml','$CONFIGS/phantom.yaml']" \
        --dataset_dir "$OUT/trunk" --body_part_path "$path" --max_epochs "${EPOCHS:-60}" --val_interval 10 \
        --ckpt_dir "$OUT/$name/models" --output_dir "$OUT/$name/training" --resume true
    for scans in trunk long; do
        # a scan that the crop refuses is set aside, and has no code
        python -m monai.bundle run inferring --config_file "['$CONFIGS/inference.yaml','$CONFIGS/phantom.yaml']" \
            --datalist "$OUT/$scans/dataset.json" --body_part_path "$path" --ckpt_dir "$OUT/$name/models" \
            --output_dir "$OUT/$name/$scans" || true
        python -m custom_components rate "$OUT/$name/$scans" "$OUT/$scans/truth" "$OUT/$name/$scans.csv"
    done
done
for scans in trunk long; do
    python -m custom_components report "$OUT/whole/$scans.csv" "$OUT/crop/$scans.csv" "$OUT/report_$scans" \
        --name_before "all slices" --name_after "abdomen" --segmentations_before "$OUT/whole/$scans" \
        --segmentations_after "$OUT/crop/$scans" --truth "$OUT/$scans/truth"
done
