#!/bin/bash
# JupyterLab, or what DOCKER_STACKS_JUPYTER_CMD names; further words are its options.
set -e
for name in GEN_CERT RESTARTABLE; do
    [ -z "${!name:-}" ] || echo "start-notebook.sh: this stand-in does not know $name" >&2
done
exec start.sh jupyter "${DOCKER_STACKS_JUPYTER_CMD:-lab}" ${NOTEBOOK_ARGS:-} "$@"
