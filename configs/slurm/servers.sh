#!/bin/bash
# One vLLM server for each GPU of this node; the settings that name them are printed once all of them answer, and it ends when one does:
#   MODEL=Qwen/Qwen3-8B configs/slurm/servers.sh > endpoints.yaml &
# PORT: of the first server (8000). HOST: what other machines call this one. GPUS: how many servers. More arguments go to `vllm serve`.
set -euo pipefail

model="${MODEL:?MODEL is not set; it is a hub id or a folder}"
port="${PORT:-8000}"
host="${HOST:-$(hostname)}"
gpus="${GPUS:-$(nvidia-smi --list-gpus | wc -l)}"

servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true' EXIT
for ((i = 0; i < gpus; i++)); do
  CUDA_VISIBLE_DEVICES="$i" vllm serve "$model" --port $((port + i)) "$@" >&2 &
  servers+=($!)
done

for ((i = 0; i < gpus; i++)); do
  until curl -sf "http://127.0.0.1:$((port + i))/health" >/dev/null; do
    kill -0 "${servers[$i]}" || { echo "the server of GPU $i has ended" >&2; exit 1; }
    sleep 2
  done
done
echo "endpoints:"
for ((i = 0; i < gpus; i++)); do
  echo "  - {url: \"http://$host:$((port + i))\", model: \"$model\", token_ids: true}"
done

wait -n
echo "a server has ended" >&2
exit 1
