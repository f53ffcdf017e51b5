#!/usr/bin/env bash
# A sweep on Slurm: one Ray over all nodes of the allocation, for as long as the sweep takes.
#
#     sbatch clusters/slurm.sh grid --seeds 10      # everything after the script's name goes to tune-app run
#
# Sent again with the same --name it goes on where it was: also after the time limit. Wants tune-app in ~/venv, on a
# home folder that all nodes share.
#SBATCH --job-name=tune-app
#SBATCH --nodes=2                # CHANGE: how many machines
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8        # CHANGE: the CPUs of each
#SBATCH --gpus-per-node=1        # CHANGE: the GPUs of each
#SBATCH --time=04:00:00          # CHANGE: how long at most
#SBATCH --signal=B:TERM@120      # two minutes before that the sweep is told to end, and saves its trials
set -euo pipefail

source ~/venv/bin/activate       # CHANGE: where tune-app is installed
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled PYTHONUNBUFFERED=1

nodes=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
head=${nodes[0]}
ip=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000))   # two sweeps may meet on one machine
resources=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --disable-usage-stats --block)

srun --nodes=1 --ntasks=1 -w "$head" \
  ray start --head --node-ip-address="$ip" --port="$port" --include-dashboard=false "${resources[@]}" &
sleep 10
if ((${#nodes[@]} > 1)); then
  srun --nodes=$((${#nodes[@]} - 1)) --ntasks=$((${#nodes[@]} - 1)) --exclude="$head" \
    ray start --address="$ip:$port" "${resources[@]}" &
fi

# Trials start when all nodes are there.
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
wait "$sweep" 2>/dev/null && code=0 || code=$?   # a signal ends the first wait early: this one has the end's code
exit "$code"                                      # Slurm ends Ray with the job
