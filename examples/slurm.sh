#!/bin/bash
# Slurm: train on several machines, and segment a folder with many jobs that never meet. Give account, partition and the
# like as your cluster wants them. From the repository's folder:
#
#   sbatch --nodes 2 --ntasks-per-node 1 --gpus-per-node 4 --cpus-per-task 32 examples/slurm.sh train DATA
#   sbatch --array 0-7 --gpus 1 --cpus-per-task 8 examples/slurm.sh segment FOLDER OUT
#
# Both may be killed and sent off again: the training goes on after its last whole epoch, the segmenting with the cases
# that are not done. Send a segmenting off again when all of its jobs have ended, with any number of them, or run its
# command once without any.
#SBATCH --job-name=organs
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

configs=bundles/baseline_seg/configs
what=${1:?expected train or segment}

case $what in
train)
  data=${2:?expected the folder with dataset.json}
  nodes=${SLURM_JOB_NODELIST:?start it with sbatch, see above}
  cpus=${SLURM_CPUS_PER_TASK:?start it with sbatch --cpus-per-task, see above}
  gpus=${SLURM_GPUS_ON_NODE:?start it with sbatch --gpus-per-node, see above}
  first=$(scontrol show hostnames "$nodes" | head -n 1)
  # srun does not take it from the job, since Slurm 22.05
  export SRUN_CPUS_PER_TASK=$cpus
  # without it the processes of a restart look for those that were killed
  export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
  export OMP_NUM_THREADS=$((cpus / gpus))
  srun torchrun \
    --nnodes "$SLURM_NNODES" --nproc_per_node "$gpus" --max-restarts 3 \
    --rdzv_backend c10d --rdzv_endpoint "$first:29500" --rdzv_id "$SLURM_JOB_ID" \
    -m monai.bundle run training \
    --config_file "['$configs/train.yaml','$configs/multi_gpu_train.yaml']" --dataset_dir "$data" --resume true
  ;;
segment)
  folder=${2:?expected the folder of CTs}
  output=${3:?expected the folder for the results}
  number=${SLURM_ARRAY_TASK_ID:?start it with sbatch --array, see above}
  # each job of the array does its share of the cases
  export RANK=$((number - SLURM_ARRAY_TASK_MIN)) WORLD_SIZE=$SLURM_ARRAY_TASK_COUNT
  python -m monai.bundle run inferring \
    --config_file "$configs/inference.yaml" --dataset_dir "$folder" --output_dir "$output"
  ;;
*)
  echo "expected train or segment, found $what" >&2
  exit 2
  ;;
esac
