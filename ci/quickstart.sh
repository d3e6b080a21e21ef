#!/usr/bin/env bash
# From nothing to segmentations: environment, phantom cohort, training, evaluation, inference. Prints every command
# before it runs it. Interrupted, it goes on where it was; OUT=folder chooses another place than ./quickstart.
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
CONFIGS=bundles/baseline_seg/configs
PLACES=(--dataset_dir "$DATA" --ckpt_dir "$BASELINE/models" --output_dir)

run python -m custom_components phantom "$DATA" --training 12 --validation 4 --test 12

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
touch "$BASELINE/.segmented"

CASE="$(basename "$(find "$BASELINE/segmentations" -mindepth 1 -maxdepth 1 -type d | sort | head -n 1)")"
SEGMENTATION="$BASELINE/segmentations/$CASE/${CASE}_seg.nii.gz"
run_unless_newer "$BASELINE/$CASE.png" "$SEGMENTATION" \
    python -m custom_components planes "$DATA/imagesTs/$CASE.nii.gz" "$SEGMENTATION" "$BASELINE/$CASE.png"

printf '\nDone in %d min %d s. To look at:\n' $(((SECONDS - STARTED) / 60)) $(((SECONDS - STARTED) % 60))
while IFS='|' read -r file what; do
    printf '  %-56s %s\n' "$BASELINE/$file" "$what"
done <<EOF
$CASE.png|a test case with the organs found in it
training/learning_curve.png|loss and validation Dice by epoch
evaluation/organ_metrics.png|Dice by organ on the validation cases
evaluation/organ_metrics.csv|Dice, Hausdorff distance and surface Dice by case and organ
segmentations/summary.csv|every segmented case: status and volume of each organ
segmentations/<case>/|label maps on the grid of their CT
EOF
