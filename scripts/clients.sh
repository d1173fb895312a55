#!/bin/sh
# A folder with the clients and the API tester that the suite "clients" holds easel against:
# a virtual environment of Python's, and Node's modules where there are node and npm. Versions
# are pinned; they are never part of the program.
#   scripts/clients.sh DIRECTORY
set -eu
node_oldest=18
python3 -m venv "$1"
"$1/bin/pip" install --quiet --disable-pip-version-check \
  'openai==3.54.0' 'ollama==0.6.3' 'safetensors==0.8.0' 'schemathesis==4.32.5'

# The modules' scripts are of no use here; openai warns about a Node older than 22, and runs.
node_major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$node_major" -lt "$node_oldest" ] || ! command -v npm >/dev/null; then
  echo "skipped: Node's clients (no node >= $node_oldest with npm)"
  exit 0
fi
npm install --prefix "$1" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error \
  openai@7.57.0 ollama@0.6.4 || echo "skipped: Node's clients (npm cannot install them)"
