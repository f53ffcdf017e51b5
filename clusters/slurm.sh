#!/usr/bin/env bash
# A sweep on Slurm. It starts one Ray cluster on all nodes of the allocation, which ends with the sweep.
#
#     sbatch clusters/slurm.sh grid --seeds 10      # the arguments are those of tune-app run
#
# Submit it again with the same --name to resume the run, also after the time limit. It needs tune-app in ~/venv, in a
# home folder that all nodes share.
#SBATCH --job-name=tune-app
#SBATCH --nodes=2                # CHANGE: the number of machines
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8        # CHANGE: the CPUs of each
#SBATCH --gpus-per-node=1        # CHANGE: the GPUs of each
#SBATCH --time=04:00:00          # CHANGE: the time limit
#SBATCH --signal=B:TERM@120      # two minutes before the limit, the sweep saves its trials and ends
set -euo pipefail

source ~/venv/bin/activate       # CHANGE: where tune-app is installed
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled PYTHONUNBUFFERED=1

nodes=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
head=${nodes[0]}
ip=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000))   # another port for each job: two sweeps may run on one machine
resources=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --disable-usage-stats --block)

srun --nodes=1 --ntasks=1 -w "$head" \
  ray start --head --node-ip-address="$ip" --port="$port" --include-dashboard=false "${resources[@]}" &
sleep 10
if ((${#nodes[@]} > 1)); then
  srun --nodes=$((${#nodes[@]} - 1)) --ntasks=$((${#nodes[@]} - 1)) --exclude="$head" \
    ray start --address="$ip:$port" "${resources[@]}" &
fi

# Trials start when all nodes have joined.
export RAY_ADDRESS="$ip:$port"
timeout 300 python - "${#nodes[@]}" <<'PYTHON'
import sys, time, ray
ray.init(log_to_driver=False)
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[1]):
    time.sleep(1)
PYTHON

tune-app run "$@" &
sweep=$!
trap 'kill -TERM "$sweep"' TERM INT
wait "$sweep" && code=0 || code=$?
wait "$sweep" 2>/dev/null && code=0 || code=$?   # a signal ends the first wait early; the second wait has the exit code
exit "$code"                                      # Slurm ends Ray when the job ends
