#!/bin/sh
# A virtual environment with the clients and the API tester that the suite "clients" holds
# easel against. Versions are pinned; they are never part of the program.
#   scripts/clients.sh DIRECTORY
set -eu
python3 -m venv "$1"
"$1/bin/pip" install --quiet --disable-pip-version-check \
  'openai==3.54.0' 'ollama==0.6.3' 'schemathesis==4.32.5'
