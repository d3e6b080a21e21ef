#!/usr/bin/env bash
# What the published recipe does to a phantom cohort: one frozen discriminator as a loss, one round.
#
#   bash benchmarks/published_recipe.sh [OUT]
#
# A baseline segments 250 unlabelled and 250 held-out cases over the whole range of shifts; the simulated rater codes them.
# Two discriminators learn from the codes of the unlabelled ones, with another seed and split each. The network is trained on
# with the first as a loss; at eight times from 12 to 1200 steps the held-out cases are segmented and coded, and scored by
# both: the second never gives a gradient. At the end stand a plot of both scores and the code over the steps, and the report
# of before and after. On 2 cores with fast bfloat16 this takes about an hour.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT="${1:-benchmarks/results/published_recipe}"
BASE=bundles/baseline_seg/configs
QA=bundles/qa_discriminator/configs
SEMI=bundles/qa_semi_seg/configs
EPOCHS="${EPOCHS:-1 2 3 5 10 20 40 100}"
GRID=(--pixdim 5.25,5.25,12 --roi_size 64,64,32 --body_part_path none)
DATA="$OUT/cohort"

discriminator() { # FOLDER SEED
    mkdir -p "$1"
    [ -e "$1/qa_dataset.json" ] || python -m custom_components codes split "$1/qa_dataset.json" \
        --codes "$OUT/baseline/unlabeled.csv" --images "$DATA/imagesTs" --segmentations "$OUT/baseline/unlabeled" \
        --truth "$DATA/truth" --validation 0.1 --test 0.1 --seed "$2"
    python -m monai.bundle run training --config_file "['$QA/train.yaml','$QA/phantom.yaml']" --dataset_dir "$1" \
        --ckpt_dir "$1/models" --output_dir "$1/training" --resume true --max_epochs 60 --seed "$2"
}

segment() { # BUNDLE_CONFIGS WEIGHTS_DIR SECTION TO
    local scored=()
    [ -e "$OUT/discriminator/models/model.json" ] && scored=(--discriminator_path "$OUT/discriminator/models/model.pt")
    python -m monai.bundle run inferring --config_file "['$1/inference.yaml','$1/phantom.yaml']" \
        --datalist "$DATA/dataset.json" --section "$3" --ckpt_dir "$2" --output_dir "$4" "${scored[@]}"
    [ -e "$4.csv" ] || python -m custom_components rate "$4" "$DATA/truth" "$4.csv"
}

score_second() { # SEGMENTATIONS
    mkdir -p "$OUT/test_images" # a CT without a segmentation would be a case that is set aside
    for case in "$1"/*/; do
        ln -sf "$(realpath "$DATA/imagesTs/$(basename "$case").nii.gz")" "$OUT/test_images/"
    done
    python -m monai.bundle run inferring --config_file "['$QA/inference.yaml','$QA/phantom.yaml']" \
        --dataset_dir "$OUT/test_images" --segmentation_dir "$1" --ckpt_dir "$OUT/discriminator2/models" \
        --output_dir "$1_second"
}

python -m custom_components phantom "$DATA" --training 12 --validation 4 --unlabeled 250 --test 250 --seed 21
python -m monai.bundle run training --config_file "['$BASE/train.yaml','$BASE/phantom.yaml']" --dataset_dir "$DATA" \
    --ckpt_dir "$OUT/baseline/models" --output_dir "$OUT/baseline/training" --resume true --max_epochs 250 --val_interval 25
segment "$BASE" "$OUT/baseline/models" unlabeled "$OUT/baseline/unlabeled"

discriminator "$OUT/discriminator" 0
discriminator "$OUT/discriminator2" 2
segment "$BASE" "$OUT/baseline/models" test "$OUT/baseline/test"
score_second "$OUT/baseline/test"

for epochs in $EPOCHS; do
    RUN="$OUT/published/epoch$epochs"
    if [ ! -e "$RUN/model.pt" ]; then
        python -m monai.bundle run training --config_file "['$SEMI/train.yaml','$SEMI/train_published.yaml','$SEMI/phantom.yaml']" --dataset_dir "$DATA" \
            --baseline_path "$OUT/baseline/models/model.pt" --discriminator_paths "$OUT/discriminator/models/model.pt" \
            --ckpt_dir "$OUT/published/models" --output_dir "$OUT/published/training" --resume true --max_epochs "$epochs"
        mkdir -p "$RUN"
        cp "$OUT/published/models/model.pt" "$RUN/model.pt"
    fi
    segment "$SEMI" "$RUN" test "$RUN/test"
    score_second "$RUN/test"
done
LAST="$OUT/published/epoch${EPOCHS##* }/test"
python benchmarks/score_and_code.py "$OUT" "$OUT/score_and_code.png"
python -m custom_components report "$OUT/baseline/test.csv" "$LAST.csv" "$OUT/report" "${GRID[@]}" \
    --name_after "published recipe" --scores_before "$OUT/baseline/test/summary.csv" --scores_after "$LAST/summary.csv" \
    --images "$DATA/imagesTs" --segmentations_before "$OUT/baseline/test" \
    --segmentations_after "$LAST" --truth "$DATA/truth" --curve "$OUT/published/training/learning_curve.csv"
