#!/usr/bin/env bash
# Runs AIDE on the task at hand; its arguments are AIDE's own (key=value).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
home="$(dirname "$SUBMISSION_DIR")"
cd "$here"

{
  cat "$home/instructions.txt"
  echo
  echo "Write the predictions for the test rows to ./working/submission.csv, in the form of"
  echo "./input/sample_submission.csv. You have ${TIME_LIMIT_SECS:-3600} seconds in all."
} > full_instructions.txt

# What it found best is run once more at the end, within the same limit.
limit="${TIME_LIMIT_SECS:-3600}"
seconds=$((${limit%.*} * 9 / 10))

# It takes standard input for a person and the terminal for its own: it gets neither.
status=0
timeout "$seconds" aide data_dir="$DATA_DIR" desc_file="$here/full_instructions.txt" \
  exp_name=exp log_dir="$LOGS_DIR/aide" workspace_dir="$here/workspaces" generate_report=False \
  "$@" </dev/null >"$LOGS_DIR/aide.log" 2>&1 || status=$?
tail -n 5 "$LOGS_DIR/aide.log" | cut -c 1-300

python "$here/after.py" "$LOGS_DIR/aide" "$here/best"
exit "$status"
