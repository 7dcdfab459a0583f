#!/usr/bin/env bash
# Runs OpenHands on the task at hand.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
home="$(dirname "$SUBMISSION_DIR")"
export OPENHANDS_SUPPRESS_BANNER=1 LITELLM_LOCAL_MODEL_COST_MAP=True TMUX_TMPDIR="$home/tmp"
exec python "$here/opendevin_experiment_setup.py" </dev/null
