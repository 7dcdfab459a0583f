#!/usr/bin/env bash
# Runs the command that config.yaml gives: --command 'python agent.py'.
set -euo pipefail

command=""
while (($#)); do
  case "$1" in
    --command)
      command="${2:-}"
      shift
      ;;
    *)
      echo "start.sh: unknown argument $1; config.yaml gives --command" >&2
      exit 2
      ;;
  esac
  shift
done
if [[ -z "$command" ]]; then
  echo "start.sh: no command; put one into config.yaml: kwargs: {command: python agent.py}" >&2
  exit 2
fi
cd "$AGENT_DIR"
exec bash -c "$command"
