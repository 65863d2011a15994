#!/bin/bash
# JupyterLab, or what DOCKER_STACKS_JUPYTER_CMD names; further words are its options.
set -e
exec start.sh jupyter "${DOCKER_STACKS_JUPYTER_CMD:-lab}" ${NOTEBOOK_ARGS:-} "$@"
