#!/bin/sh
# The engine on one GPU in at most eight minutes: parity with transformers and peft, then speed and memory.
#
#     sh benchmarks/gpu.sh [--minutes 8] [--out gpu.json]          # needs no network
#     sh benchmarks/gpu.sh --device cpu --tiny                     # tries the script itself on any machine
#
# PYTHON (python3) needs torch, transformers and peft. Wheels of what else is missing are taken from the folder WHEELS
# (.wheels), and installed for this run only; docs/performance.md says how to fill it.
set -eu
PYTHON=${PYTHON:-python3}
WHEELS=${WHEELS:-.wheels}
cd "$(dirname "$0")/.."
export PYTHONPATH="src:.${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
if ls "$WHEELS"/*.whl >/dev/null 2>&1; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$WHEELS"/*.whl
    # Behind what is installed already: torch and transformers stay those of this machine.
    PYTHONPATH="$PYTHONPATH:$site"
fi
"$PYTHON" -m benchmarks.gpu "$@"
