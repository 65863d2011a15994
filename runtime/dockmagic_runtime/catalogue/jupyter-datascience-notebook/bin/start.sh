#!/bin/bash
# Runs a command as the notebook's user, whoever the container was started as.
set -e
if [ $# -eq 0 ]; then set -- bash; fi
if [ "$(id -u)" = 0 ]; then
    exec setpriv --reuid "${NB_UID:-1000}" --regid "${NB_GID:-100}" --clear-groups "$@"
fi
exec "$@"
