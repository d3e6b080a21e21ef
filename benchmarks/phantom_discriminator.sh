#!/usr/bin/env bash
# How well does the discriminator predict the codes of segmentations that networks made of phantoms?
#
#   bash benchmarks/phantom_discriminator.sh [OUT]
#
# Three baselines of other seeds, each at three ages, segment 2700 cases drawn over the whole range, three of them each
# case: 8100 segmentations. The simulated rater codes them. Two discriminators learn from them, with another seed and
# another split by case (80/10/10) each, and are evaluated on their own test cases. Then both score 600 segmentations of
# 200 new cases, to see how far they agree with each other and err together. On 2 cores this takes about five hours.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT="${1:-benchmarks/results/phantom_discriminator}"
BASE=bundles/baseline_seg/configs
QA=bundles/qa_discriminator/configs
read -ra EPOCHS <<<"${EPOCHS:-12 8}" # of each discriminator; the validation RMSE of the first is lowest after 7

python -m custom_components phantom "$OUT/cohort" --training 12 --validation 4 --test 2700 --seed 11

SEGMENTATIONS='' CODES=''
number=0
for seed in 1 2 3; do
    for epochs in 25 75 250; do # 300, 900 and 3000 steps
        name="seed${seed}_epoch${epochs}"
        if [ ! -e "$OUT/$name/model.pt" ]; then
            python -m monai.bundle run training --config_file "['$BASE/train.yaml','$BASE/phantom.yaml']" \
                --dataset_dir "$OUT/cohort" --ckpt_dir "$OUT/seed$seed/models" --output_dir "$OUT/seed$seed/training" \
                --resume true --seed "$seed" --max_epochs "$epochs" --val_interval 25
            mkdir -p "$OUT/$name"
            cp "$OUT/seed$seed/models/model.pt" "$OUT/$name/model.pt"
        fi
        # every third case, another third for each age, so that all seeds and ages see 900 cases
        python - "$OUT/cohort" $((number % 3)) "$OUT/$name/cases.csv" <<'EOF'
import pathlib, sys
cohort, part, output = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]), pathlib.Path(sys.argv[3])
images = sorted((cohort / "imagesTs").glob("*.nii.gz"), key=lambda path: int(path.name[13:-7]))
seed = int(output.parent.name[4])
chosen = [path for index, path in enumerate(images) if (index + seed) % 3 == part]
output.write_text("image\n" + "".join(f"{path}\n" for path in chosen))
EOF
        python -m monai.bundle run inferring --config_file "['$BASE/inference.yaml','$BASE/phantom.yaml']" \
            --datalist "$OUT/$name/cases.csv" --ckpt_dir "$OUT/$name" --output_dir "$OUT/$name/segmentations"
        [ -e "$OUT/$name/codes.csv" ] || python -m custom_components rate "$OUT/$name/segmentations" "$OUT/cohort/truth" "$OUT/$name/codes.csv"
        SEGMENTATIONS="$SEGMENTATIONS,$OUT/$name/segmentations"
        CODES="$CODES,$OUT/$name/codes.csv"
        number=$((number + 1))
    done
done

for seed in 1 2; do
    FOLDER="$OUT/discriminator$seed"
    mkdir -p "$FOLDER"
    [ -e "$FOLDER/qa_dataset.json" ] || python -m custom_components codes split "$FOLDER/qa_dataset.json" --codes "${CODES#,}" \
        --images "$OUT/cohort/imagesTs" --segmentations "${SEGMENTATIONS#,}" --truth "$OUT/cohort/truth" --seed "$seed"
    python -m monai.bundle run training --config_file "['$QA/train.yaml','$QA/phantom.yaml']" --dataset_dir "$FOLDER" \
        --ckpt_dir "$FOLDER/models" --output_dir "$FOLDER/training" --resume true --seed "$seed" --max_epochs "${EPOCHS[$((seed - 1))]}"
    python -m monai.bundle run evaluating --config_file "['$QA/train.yaml','$QA/evaluate.yaml','$QA/phantom.yaml']" \
        --dataset_dir "$FOLDER" --ckpt_dir "$FOLDER/models" --output_dir "$FOLDER/evaluation"
done

# new cases for both
python -m custom_components phantom "$OUT/new" --training 0 --validation 0 --test 200 --seed 12
for name in seed1_epoch25 seed2_epoch75 seed3_epoch250; do
    python -m monai.bundle run inferring --config_file "['$BASE/inference.yaml','$BASE/phantom.yaml']" \
        --dataset_dir "$OUT/new/imagesTs" --ckpt_dir "$OUT/$name" --output_dir "$OUT/new/$name/segmentations"
    python -m custom_components rate "$OUT/new/$name/segmentations" "$OUT/new/truth" "$OUT/new/$name/codes.csv"
    for seed in 1 2; do
        python -m monai.bundle run inferring --config_file "['$QA/inference.yaml','$QA/phantom.yaml']" \
            --dataset_dir "$OUT/new/imagesTs" --segmentation_dir "$OUT/new/$name/segmentations" \
            --ckpt_dir "$OUT/discriminator$seed/models" --output_dir "$OUT/new/$name/scores$seed"
    done
done
python benchmarks/discriminator_agreement.py "$OUT/new" seed1_epoch25 seed2_epoch75 seed3_epoch250
