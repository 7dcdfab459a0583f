#!/usr/bin/env bash
# Hands in the sample submission: the least that is valid. Shows whether images and runs work.
set -euo pipefail

echo "user $(id -un 2>/dev/null || id -u), in ${AGENT_DIR}"
if ls /private 2>/dev/null; then
  echo "the answers' folder can be read" >&2
  exit 1
fi
cp "${DATA_DIR:-/home/data}/sample_submission.csv" "${SUBMISSION_DIR}/submission.csv"
cp "${BASH_SOURCE[0]}" "${CODE_DIR}/start.sh"
echo "handed in the sample submission" | tee "${LOGS_DIR}/dummy.log"
bash "$(dirname "${SUBMISSION_DIR}")/validate_submission.sh" "${SUBMISSION_DIR}/submission.csv"
