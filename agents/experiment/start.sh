#!/usr/bin/env bash
# Starts the experiment agent; its folder is $AGENT_DIR, or else the one this file lies in.
set -euo pipefail

AGENT_DIR="${AGENT_DIR:-$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)}"
export AGENT_DIR

# MLE-bench images keep the agents' packages in a conda environment of their own.
if [[ -x /opt/conda/envs/agent/bin/python ]]; then
  export PATH="/opt/conda/envs/agent/bin:$PATH"
fi

exec python "$AGENT_DIR/experiment_runner.py" "$@"
