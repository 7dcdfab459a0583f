#!/usr/bin/env bash
set -euo pipefail
exec python "${AGENT_DIR}/experiment_handler.py"
