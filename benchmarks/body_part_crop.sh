#!/usr/bin/env bash
# What the crop to the abdomen brings: the same baseline with it and without it, on phantoms of the whole trunk.
#
#   bash benchmarks/body_part_crop.sh [OUT]
#
# A body-part regressor learns from 340 phantoms without labels. Two baselines learn from 40 labelled ones on the small grid,
# with the same numbers but for the crop, and segment 100 test cases that vary more; the simulated rater codes them. The
# report at the end has the codes and the Dice of each organ without the crop (before) and with it (after). On 2 cores without
# fast bfloat16 this takes about an hour.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT="${1:-benchmarks/results/body_part_crop}"
CONFIGS=bundles/baseline_seg/configs
DATA="$OUT/trunks"
WEIGHTS="$OUT/body_part/body_part.pt"

python -m custom_components phantom "$DATA" --grid trunk --training 40 --unlabeled 300 --validation 12 --test 100
[ -e "$OUT/body_part/done" ] || python -m monai.bundle run training --config_file "$CONFIGS/body_part.yaml" \
    --dataset_dir "$DATA" --ckpt_dir "$OUT/body_part" --output_dir "$OUT/body_part" --resume true
touch "$OUT/body_part/done"

for name in whole crop; do
    path=none
    [ "$name" = crop ] && path="$WEIGHTS"
    python -m monai.bundle run training --config_file "['$CONFIGS/train.yaml','$CONFIGS/phantom.yaml']" \
        --dataset_dir "$DATA" --body_part_path "$path" --max_epochs "${EPOCHS:-60}" --val_interval 10 \
        --ckpt_dir "$OUT/$name/models" --output_dir "$OUT/$name/training" --resume true
    # a scan that the crop refuses is set aside, and has no code
    python -m monai.bundle run inferring --config_file "['$CONFIGS/inference.yaml','$CONFIGS/phantom.yaml']" \
        --datalist "$DATA/dataset.json" --body_part_path "$path" --ckpt_dir "$OUT/$name/models" \
        --output_dir "$OUT/$name/segmentations" || true
    python -m custom_components rate "$OUT/$name/segmentations" "$DATA/truth" "$OUT/$name/codes.csv"
done
python -m custom_components report "$OUT/whole/codes.csv" "$OUT/crop/codes.csv" "$OUT/report" \
    --name_before "all slices" --name_after "abdomen" --segmentations_before "$OUT/whole/segmentations" \
    --segmentations_after "$OUT/crop/segmentations" --truth "$DATA/truth"
