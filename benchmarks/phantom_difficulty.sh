#!/usr/bin/env bash
# How often does a converged baseline fail on the phantom cohort, and how many of those failures could be learnt?
#
#   bash benchmarks/phantom_difficulty.sh [OUT]
#
# Two networks, trained for 9600 steps: one on 12 volumes of the narrow distribution (shift 0), one with the true labels
# of 200 volumes drawn over the whole range. Then the first one is trained on for 2400 steps, to see whether that gains
# anything. All segment the same held-out cases, drawn over the whole range too; the simulated rater codes them. On 2
# cores this takes about an hour, most of it training.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT="${1:-benchmarks/results/phantom_difficulty}"
CONFIGS=bundles/baseline_seg/configs

train() { # name, cohort, epochs
    python -m monai.bundle run training --config_file "['$CONFIGS/train.yaml','$CONFIGS/phantom.yaml']" \
        --dataset_dir "$2" --ckpt_dir "$OUT/$1/models" --output_dir "$OUT/$1/training" --resume true \
        --max_epochs "$3" --val_interval "$4"
    python -m monai.bundle run inferring --config_file "['$CONFIGS/inference.yaml','$CONFIGS/phantom.yaml']" \
        --dataset_dir "$OUT/narrow/imagesTs" --ckpt_dir "$OUT/$1/models" --output_dir "$OUT/$1/segmentations"
    python -m custom_components rate "$OUT/$1/segmentations" "$OUT/narrow/truth" "$OUT/$1/codes.csv" | tee "$OUT/$1/shares.txt"
}

python -m custom_components phantom "$OUT/narrow" --training 12 --validation 4 --test 250 --seed 1
python -m custom_components phantom "$OUT/wide" --training 200 --validation 8 --test 0 --training_shift 1.0 --seed 2
train baseline "$OUT/narrow" 800 20

# Dice of the baseline by organ: on the narrow validation cases, and on the held-out ones with their truth
python - "$OUT/narrow" <<'EOF'
import json, sys, pathlib
folder = pathlib.Path(sys.argv[1])
cases = [{"image": c["image"], "label": f"truth/{pathlib.Path(c['image']).name}"}
         for c in json.loads((folder / "dataset.json").read_text())["test"]]
validation = json.loads((folder / "dataset.json").read_text())["validation"]
(folder / "labelled.json").write_text(json.dumps({"validation": validation, "test": cases}))
EOF
for section in validation test; do
    python -m monai.bundle run evaluating \
        --config_file "['$CONFIGS/train.yaml','$CONFIGS/evaluate.yaml','$CONFIGS/phantom.yaml']" \
        --datalist "$OUT/narrow/labelled.json" --section "$section" --ckpt_dir "$OUT/baseline/models" \
        --output_dir "$OUT/baseline/evaluation_$section"
done

train oracle "$OUT/wide" 48 4
mkdir -p "$OUT/trained_on/models"
cp -n "$OUT/baseline/models"/*.pt "$OUT/trained_on/models/"
train trained_on "$OUT/narrow" 1000 20

# What can be known of a code without the truth: the rater with the second network's segmentations in its place
python -m custom_components rate "$OUT/trained_on/segmentations" "$OUT/oracle/segmentations" "$OUT/by_oracle.csv" --rater oracle
python -m custom_components codes agreement "$OUT/trained_on/codes.csv,$OUT/by_oracle.csv" --show 0 | tee "$OUT/by_oracle.txt"

printf '\n%s\n' "trained on 12 narrow volumes:" "$(cat "$OUT/baseline/shares.txt")" \
    "trained on:" "$(cat "$OUT/trained_on/shares.txt")" \
    "trained with the truth of 200 volumes over the whole range:" "$(cat "$OUT/oracle/shares.txt")"
