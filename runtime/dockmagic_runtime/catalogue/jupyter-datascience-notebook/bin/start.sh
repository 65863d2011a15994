#!/bin/bash
# Runs a command as the notebook's user. A container that was started as root (`--user root`) may
# first change who that is, as the original's: NB_USER, NB_UID, NB_GID and NB_GROUP name him,
# NB_UMASK is his umask, GRANT_SUDO=yes lets him be root, CHOWN_HOME=yes and CHOWN_EXTRA (paths with
# commas between) give him files, with CHOWN_HOME_OPTS and CHOWN_EXTRA_OPTS.
set -e
[ $# -gt 0 ] || set -- bash

say() { echo "start.sh: $*" >&2; }

# Scripts are sourced, so that they can set variables; programs are run.
run_hooks() {
    local hook
    [ -d "$1" ] || return 0
    for hook in "$1"/*; do
        case $hook in
            *.sh) . "$hook" ;;
            *) [ ! -x "$hook" ] || [ -d "$hook" ] || "$hook" ;;
        esac
    done
}

own() { # OPTIONS PATH
    say "giving $2 to $NB_UID:$NB_GID"
    chown $1 "$NB_UID:$NB_GID" "$2"
}

become() {
    if [ "$NB_GID" != "$(id -g jovyan)" ]; then
        getent group "$NB_GID" >/dev/null || groupadd -o -g "$NB_GID" "${NB_GROUP:-$NB_USER}"
    fi
    if [ "$NB_UID:$NB_GID" != "$(id -u jovyan):$(id -g jovyan)" ]; then
        usermod -o -u "$NB_UID" -g "$NB_GID" jovyan
        usermod -a -G users jovyan  # what is in the image belongs to that group
    fi
    if [ "$NB_USER" != jovyan ]; then
        usermod -d "/home/$NB_USER" -l "$NB_USER" jovyan
        if [ ! -e "/home/$NB_USER" ]; then
            # volumes stay where they are mounted: jovyan's home is not moved but copied
            mkdir "/home/$NB_USER"
            cp -a /home/jovyan/. "/home/$NB_USER/"
            chown -R "$NB_UID:$NB_GID" "/home/$NB_USER"
        fi
        case $PWD/ in /home/jovyan/*) cd "/home/$NB_USER/${PWD#/home/jovyan}" ;; esac
    fi
}

run_hooks /usr/local/bin/start-notebook.d
if [ "$(id -u)" = 0 ]; then
    NB_USER=${NB_USER:-jovyan} NB_UID=${NB_UID:-1000} NB_GID=${NB_GID:-100}
    if id jovyan >/dev/null 2>&1; then become; fi  # not again when the container is restarted
    home=$(getent passwd "$NB_USER" | cut -d: -f6)
    [ "${CHOWN_HOME:-}" != yes ] && [ "${CHOWN_HOME:-}" != 1 ] || own "${CHOWN_HOME_OPTS:-}" "$home"
    for path in ${CHOWN_EXTRA//,/ }; do own "${CHOWN_EXTRA_OPTS:-}" "$path"; done
    if [ "${GRANT_SUDO:-}" = yes ] || [ "${GRANT_SUDO:-}" = 1 ]; then
        say "$NB_USER may become root by sudo"
        echo "$NB_USER ALL=(ALL) NOPASSWD:ALL" >/etc/sudoers.d/added-by-start
    fi
    run_hooks /usr/local/bin/before-notebook.d
    export HOME=$home USER=$NB_USER NB_USER NB_UID NB_GID
    [ -z "${NB_UMASK:-}" ] || umask "$NB_UMASK"
    exec setpriv --reuid "$NB_UID" --regid "$NB_GID" --init-groups "$@"
fi
for name in NB_UID NB_GID NB_USER; do
    case $name in
        NB_UID) now=$(id -u) ;;
        NB_GID) now=$(id -g) ;;
        *) now=$(id -un 2>/dev/null || echo jovyan) ;;
    esac
    [ "${!name:-$now}" = "$now" ] || say "$name=${!name} needs a container that starts as root"
done
[ "${GRANT_SUDO:-}" != yes ] || say "GRANT_SUDO=yes needs a container that starts as root"
run_hooks /usr/local/bin/before-notebook.d
[ -z "${NB_UMASK:-}" ] || umask "$NB_UMASK"
exec "$@"
