#!/usr/bin/env bash
# Draws every family under several versions of NumPy, and fails if any bit of them differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
.venv/bin/python tests/golden.py | tee "$scratch/own"
python="$(.venv/bin/python -c 'import sys; print(sys.executable)')"
for version in ${NUMPY_VERSIONS:-1.26.4 2.0.2 2.2.6}; do
  "$python" -m venv "$scratch/$version"
  if command -v uv >/dev/null; then
    uv pip install --quiet --python "$scratch/$version/bin/python" "numpy==$version" pydantic pyyaml threadpoolctl
  else
    "$scratch/$version/bin/python" -m pip install --quiet "numpy==$version" pydantic pyyaml threadpoolctl
  fi
  "$scratch/$version/bin/python" tests/golden.py | tee "$scratch/other"
  .venv/bin/python - "$scratch/own" "$scratch/other" <<'COMPARE'
import json, sys
own, other = (json.load(open(path)) for path in sys.argv[1:])
changed = [name for name in own["hashes"] if own["hashes"][name] != other["hashes"].get(name)]
if changed:
    sys.exit(f"differ between NumPy {own['numpy']} and {other['numpy']}: {', '.join(changed)}")
COMPARE
done
echo "the same bits under every NumPy tried"
