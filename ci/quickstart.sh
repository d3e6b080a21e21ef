#!/usr/bin/env bash
# From nothing through one round of learning from QA codes: environment, phantom cohort, baseline, montages, codes,
# discriminator, training with what passed, new codes, and the report of before and after. Prints every command before it
# runs it. Interrupted, it goes on where it was; OUT=folder chooses another place than ./quickstart.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
OUT="$(mkdir -p "${OUT:-$ROOT/quickstart}" && cd "${OUT:-$ROOT/quickstart}" && pwd)"
enter_environment
cd "$ROOT"
STARTED=$SECONDS

show() { case "$1" in "$ROOT"/*) echo "${1#"$ROOT"/}" ;; *) echo "$1" ;; esac; }
run() {
    local word
    printf '\n+'
    for word in "$@"; do # quoted as a person would
        case "$word" in *[\'\[\ ]*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '\n'
    "$@"
}
run_unless_newer() { # FILE THAN COMMAND...: FILE is what the command makes, THAN what it makes it from
    local file="$1" than="$2"
    shift 2
    if [ "$file" -nt "$than" ]; then
        printf '\n# done before: %s\n' "$file"
    else
        run "$@"
    fi
}

DATA="$(show "$OUT/phantom")"
BASELINE="$(show "$OUT/baseline_seg")"
QA="$(show "$OUT/qa_discriminator")"
SEMI="$(show "$OUT/qa_semi_seg")"
REPORT="$(show "$OUT/report")"
CONFIGS=bundles/baseline_seg/configs
QA_CONFIGS=bundles/qa_discriminator/configs
SEMI_CONFIGS=bundles/qa_semi_seg/configs
PLACES=(--dataset_dir "$DATA" --ckpt_dir "$BASELINE/models" --output_dir)
SMALL_GRID=(--pixdim 5.25,5.25,12 --roi_size 64,64,32 --body_part_path none)

run python -m custom_components phantom "$DATA" --training 12 --validation 4 --unlabeled 80 --test 12

run python -m monai.bundle run training --config_file "['$CONFIGS/train.yaml','$CONFIGS/phantom.yaml']" \
    "${PLACES[@]}" "$BASELINE/training" --resume true

run_unless_newer "$BASELINE/evaluation/organ_metrics.png" "$BASELINE/models/model.pt" \
    python -m monai.bundle run evaluating \
    --config_file "['$CONFIGS/train.yaml','$CONFIGS/evaluate.yaml','$CONFIGS/phantom.yaml']" \
    "${PLACES[@]}" "$BASELINE/evaluation"

# finished cases are skipped, unless there are newer weights
AGAIN=false
[ -e "$BASELINE/.segmented" ] && [ "$BASELINE/models/model.pt" -nt "$BASELINE/.segmented" ] && AGAIN=true
run python -m monai.bundle run inferring --config_file "['$CONFIGS/inference.yaml','$CONFIGS/phantom.yaml']" \
    --dataset_dir "$DATA/imagesTs" --ckpt_dir "$BASELINE/models" --output_dir "$BASELINE/segmentations" --overwrite "$AGAIN"
if $AGAIN || ! [ -e "$BASELINE/.segmented" ]; then touch "$BASELINE/.segmented"; fi

# what a person would look at, and the codes that a person would give, here a simulated rater
run python -m custom_components montage "$DATA/imagesTs" "$BASELINE/segmentations" "$QA/montages" "${SMALL_GRID[@]}"
run_unless_newer "$QA/codes.csv" "$BASELINE/.segmented" \
    python -m custom_components rate "$BASELINE/segmentations" "$DATA/truth" "$QA/codes.csv"
run_unless_newer "$QA/qa_dataset.json" "$QA/codes.csv" \
    python -m custom_components codes split "$QA/qa_dataset.json" --codes "$QA/codes.csv" --images "$DATA/imagesTs" \
    --segmentations "$BASELINE/segmentations" --truth "$DATA/truth" --validation 0.2 --test 0.2

run python -m monai.bundle run training --config_file "['$QA_CONFIGS/train.yaml','$QA_CONFIGS/phantom.yaml']" \
    --dataset_dir "$QA" --ckpt_dir "$QA/models" --output_dir "$QA/training" --resume true
run_unless_newer "$QA/evaluation/qa_metrics.png" "$QA/models/model.json" \
    python -m monai.bundle run evaluating \
    --config_file "['$QA_CONFIGS/train.yaml','$QA_CONFIGS/evaluate.yaml','$QA_CONFIGS/phantom.yaml']" \
    --dataset_dir "$QA" --ckpt_dir "$QA/models" --output_dir "$QA/evaluation"
run python -m monai.bundle run inferring --config_file "['$QA_CONFIGS/inference.yaml','$QA_CONFIGS/phantom.yaml']" \
    --dataset_dir "$DATA/imagesTs" --segmentation_dir "$BASELINE/segmentations" --ckpt_dir "$QA/models" \
    --output_dir "$QA/scores"

# what has a bad code and a small organ, again without that organ: where the body has none, this is right, and gets its code
if ! [ "$SEMI/left_out_codes.csv" -nt "$QA/codes.csv" ]; then rm -rf "$SEMI/left_out"; fi
run python -m custom_components leave_out_organs "$SEMI/left_out" --segmentations "$BASELINE/segmentations" --codes "$QA/codes.csv"
SEGMENTATIONS="$BASELINE/segmentations" CODES="$QA/codes.csv"
if [ -n "$(ls "$SEMI/left_out")" ]; then
    run_unless_newer "$SEMI/left_out_codes.csv" "$QA/codes.csv" \
        python -m custom_components rate "$SEMI/left_out" "$DATA/truth" "$SEMI/left_out_codes.csv"
    SEGMENTATIONS+=",$SEMI/left_out" CODES+=",$SEMI/left_out_codes.csv"
fi

# what people let pass, case by case or organ by organ, becomes labels of the unlabelled cases; then they are segmented, coded
# and compared again
run_unless_newer "$SEMI/dataset.json" "$QA/codes.csv" \
    python -m custom_components pseudo_labels "$SEMI/dataset.json" --datalist "$DATA/dataset.json" \
    --segmentations "$SEGMENTATIONS" --codes "$CODES" --by_organ true
run python -m monai.bundle run training --config_file "['$SEMI_CONFIGS/train.yaml','$SEMI_CONFIGS/phantom.yaml']" \
    --datalist "$SEMI/dataset.json" --baseline_path "$BASELINE/models/model.pt" --discriminator_paths "$QA/models/model.pt" \
    --ckpt_dir "$SEMI/models" --output_dir "$SEMI/training" --max_epochs 50 --epoch_cases 12 --learning_rate 1e-3 --lr_power 0.9 \
    --loss#cross_entropy_weight 1 --labelled_share 0.35 --appearance_section coded --move_prob 0.5 --resume true
AGAIN=false
[ -e "$SEMI/.segmented" ] && [ "$SEMI/models/model.pt" -nt "$SEMI/.segmented" ] && AGAIN=true
run python -m monai.bundle run inferring --config_file "['$SEMI_CONFIGS/inference.yaml','$SEMI_CONFIGS/phantom.yaml']" \
    --dataset_dir "$DATA/imagesTs" --ckpt_dir "$SEMI/models" --discriminator_path "$QA/models/model.pt" --refine_outlines true \
    --output_dir "$SEMI/segmentations" --overwrite "$AGAIN"
if $AGAIN || ! [ -e "$SEMI/.segmented" ]; then touch "$SEMI/.segmented"; fi
run_unless_newer "$SEMI/codes.csv" "$SEMI/.segmented" \
    python -m custom_components rate "$SEMI/segmentations" "$DATA/truth" "$SEMI/codes.csv"
CASE="$(basename "$(find "$BASELINE/segmentations" -mindepth 1 -maxdepth 1 -type d | sort | head -n 1)")"
SEGMENTATION="$BASELINE/segmentations/$CASE/${CASE}_seg.nii.gz"
run_unless_newer "$BASELINE/$CASE.png" "$SEGMENTATION" \
    python -m custom_components planes "$DATA/imagesTs/$CASE.nii.gz" "$SEGMENTATION" "$BASELINE/$CASE.png"

printf '\nDone in %d min %d s. To look at:\n' $(((SECONDS - STARTED) / 60)) $(((SECONDS - STARTED) % 60))
while IFS='|' read -r file what; do
    printf '  %-56s %s\n' "$(show "$OUT")/$file" "$what"
done <<EOF
baseline_seg/$CASE.png|a test case with the organs found in it
baseline_seg/training/learning_curve.png|loss and validation Dice by epoch
baseline_seg/evaluation/organ_metrics.png|Dice by organ on the validation cases
baseline_seg/evaluation/organ_metrics.csv|Dice, Hausdorff distance and surface Dice by case and organ
baseline_seg/segmentations/summary.csv|every segmented case: status and volume of each organ
baseline_seg/segmentations/<case>/|label maps on the grid of their CT
qa_discriminator/montages/<case>.png|what a person codes: all slices of a case with its organs
qa_discriminator/codes.csv|the codes of the segmentations
qa_discriminator/training/learning_curve.png|loss and validation RMSE by epoch, the chosen one marked
qa_discriminator/evaluation/qa_metrics.png|scores against codes on cases that were not trained on
qa_discriminator/scores/qa_scores.csv|QA score and code of every segmentation, the worst first
qa_semi_seg/training/learning_curve.png|loss and validation Dice by epoch
qa_semi_seg/codes.csv|the codes after learning from the first ones
EOF

# the last words: the report's path, and before, after, fixed and broken
run python -m custom_components report "$QA/codes.csv" "$SEMI/codes.csv" "$REPORT" "${SMALL_GRID[@]}" \
    --images "$DATA/imagesTs" --segmentations_before "$BASELINE/segmentations" \
    --segmentations_after "$SEMI/segmentations" --truth "$DATA/truth" --scores_before "$QA/scores/qa_scores.csv" \
    --scores_after "$SEMI/segmentations/summary.csv" --curve "$SEMI/training/learning_curve.csv"
printf '\nSo few steps and codes of phantoms prove nothing; see benchmarks/learning/README.md.\n'
printf '\nTo code these montages yourself, in a browser on this page:\n'
printf '  %s -m custom_components review %s --images %s %s --state %s\n' \
    "$(show "$VENV")/bin/python" "$BASELINE/segmentations" "$DATA/imagesTs" "${SMALL_GRID[*]}" "$(show "$OUT")/review"
