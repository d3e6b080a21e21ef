#!/usr/bin/env bash
# What each option that should keep the gradient honest does, alone, to the published recipe.
#
#   bash benchmarks/honest_gradient.sh [OUT]
#
# Goes on from what `published_recipe.sh` left in OUT: the same baseline and the same two discriminators. Of every run the
# held-out cases are segmented, coded and scored twice: after 12 steps, in which the published recipe loses most of its
# successes, and after 240. A report for each has all runs side by side, beside the network trained on as long without
# unlabelled cases. On 2 cores with fast bfloat16 this takes about an hour.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT="${1:-benchmarks/results/published_recipe}"
SEMI=bundles/qa_semi_seg/configs
DATA="$OUT/cohort"
FIRST="$OUT/discriminator/models/model.pt"
SECOND="$OUT/discriminator2/models/model.pt"

STEPS_AN_EPOCH=12
EPOCHS="${EPOCHS:-1 20}"
NAMES=''
run() { # NAME OPTION...
    local name="$1" folder epochs test
    shift
    for epochs in $EPOCHS; do
        folder="$OUT/options/$name" test="$OUT/options/$name/steps$((epochs * STEPS_AN_EPOCH))"
        [ -e "$test.csv" ] && continue
        python -m monai.bundle run training \
            --config_file "['$SEMI/train.yaml','$SEMI/train_published.yaml','$SEMI/phantom.yaml']" --dataset_dir "$DATA" \
            --baseline_path "$OUT/baseline/models/model.pt" --discriminator_paths "$FIRST" --ckpt_dir "$folder/models" \
            --output_dir "$folder/training" --resume true --max_epochs "$epochs" "$@"
        python -m monai.bundle run inferring --config_file "['$SEMI/inference.yaml','$SEMI/phantom.yaml']" \
            --datalist "$DATA/dataset.json" --section test --ckpt_dir "$folder/models" --output_dir "$test" \
            --discriminator_path "$FIRST"
        python -m custom_components rate "$test" "$DATA/truth" "$test.csv"
    done
    NAMES="$NAMES $name"
}

run labels_only --qa_weight 0
run published
run straight_through --straight_through true
run jitter --jitter 1
run ensemble --discriminator_paths "['$FIRST','$SECOND']"
run anchor_baseline --anchor_weight 10
run anchor_average --anchor_weight 10 --ema_momentum 0.005 --anchor_teacher average
run averaged_weights --ema_momentum 0.005
run floor --qa_floor 0.5
run uncertain_voxels --uncertainty 0.1
run weight_0.01 --qa_weight 0.01
run ramp --qa_ramp 240
run clipped --max_norm 1
run all_together --straight_through true --jitter 1 --discriminator_paths "['$FIRST','$SECOND']" --anchor_weight 10 \
    --qa_floor 0.5 --uncertainty 0.1 --qa_weight 0.1 --max_norm 1

for epochs in $EPOCHS; do
    STEP="steps$((epochs * STEPS_AN_EPOCH))" CODES='' SCORES='' LIST=''
    for name in $NAMES; do
        LIST="$LIST,$name" CODES="$CODES,$OUT/options/$name/$STEP.csv"
        SCORES="$SCORES,$OUT/options/$name/$STEP/summary.csv"
    done
    python -m custom_components report "$OUT/baseline/test.csv" "${CODES#,}" "$OUT/options/report_$STEP" \
        --name_before baseline --name_after "${LIST#,}" --scores_before "$OUT/baseline/test/summary.csv" \
        --scores_after "${SCORES#,}"
done
