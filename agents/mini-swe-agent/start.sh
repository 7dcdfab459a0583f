#!/usr/bin/env bash
# Runs mini-swe-agent on the task at hand.
set -euo pipefail
home="$(dirname "$SUBMISSION_DIR")"
export MSWEA_CONFIGURED=true MSWEA_SILENT_STARTUP=1 MSWEA_COST_TRACKING=ignore_errors \
  MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT=3 MSWEA_GLOBAL_CONFIG_DIR="$home/tmp" \
  LITELLM_LOCAL_MODEL_COST_MAP=True
cd "$EXPERIMENT_DIR/workspace"

# `-c mini.yaml` first: any other -c would drop the defaults.
exec mini --yolo --exit-immediately -l 0 -m "openai/${AEXP_MODEL:-local}" --model-class litellm \
  -c mini.yaml -c environment.timeout=600 -c agent.step_limit="${STEP_LIMIT:-50}" \
  -c agent.wall_time_limit_seconds="${TIME_LIMIT_SECS%.*}" \
  -c model.model_kwargs.api_base="$OPENAI_BASE_URL" \
  -c model.model_kwargs.api_key="$OPENAI_API_KEY" \
  -o "$LOGS_DIR/trajectory.json" -t "$(cat "$home/instructions.txt")

The data are in $DATA_DIR. Write the predictions to $SUBMISSION_DIR/submission.csv and keep the code
that makes them as $CODE_DIR/solution.py." </dev/null
