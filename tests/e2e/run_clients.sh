#!/bin/sh
# Runs a test with the Python that has the PyPI clients, or skips.
[ -n "${EASEL_CLIENTS:-}" ] || { echo 'skipped: EASEL_CLIENTS names no Python (see scripts/clients.sh)'; exit 77; }
exec "$EASEL_CLIENTS" "$@"
