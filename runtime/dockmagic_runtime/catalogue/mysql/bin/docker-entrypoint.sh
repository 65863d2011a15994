#!/bin/bash
# Fills an empty data directory as the original does (passwords, database, user, the scripts in
# /docker-entrypoint-initdb.d), then becomes the server. A preparation that was cut short is begun
# again: a file in the data directory says that it has not ended.
set -eu

data=/var/lib/mysql
socket=/var/run/mysqld/mysqld.sock
unfinished=$data/.preparing

say() { echo "[Entrypoint]: $*" >&2; }

fail() {
    say "ERROR: $*"
    exit 1
}

# The value of a variable, or what is in the file that its _FILE twin names.
take() {
    local name=$1 file="${1}_FILE"
    if [ -n "${!file:-}" ]; then
        [ -z "${!name:-}" ] || fail "Both $name and $file are set (but are exclusive)"
        export "$name"="$(cat "${!file}")"
    fi
    unset "$file"
}

# Text as it stands between quotes in SQL.
quoted() { printf "%s" "$1" | sed -e 's/\\/\\\\/g' -e "s/'/''/g"; }

# A name as it stands between backticks.
named() { printf "%s" "$1" | sed 's/`/``/g'; }

sql() { mysql --protocol=socket -uroot --socket="$socket" ${root_password:+"-p$root_password"} "$@"; }

check_variables() {
    for name in MYSQL_ROOT_PASSWORD MYSQL_ROOT_HOST MYSQL_DATABASE MYSQL_USER MYSQL_PASSWORD; do
        take "$name"
    done
    if [ -z "${MYSQL_ROOT_PASSWORD:-}${MYSQL_ALLOW_EMPTY_PASSWORD:-}${MYSQL_RANDOM_ROOT_PASSWORD:-}" ]; then
        say "Database is uninitialized and password option is not specified"
        fail "You need to specify one of MYSQL_ROOT_PASSWORD, MYSQL_ALLOW_EMPTY_PASSWORD and MYSQL_RANDOM_ROOT_PASSWORD"
    fi
    if [ "${MYSQL_USER:-}" = root ]; then
        fail 'MYSQL_USER="root": it exists already, its password is MYSQL_ROOT_PASSWORD'
    fi
    if [ -n "${MYSQL_RANDOM_ROOT_PASSWORD:-}" ]; then
        MYSQL_ROOT_PASSWORD=$(head -c 24 /dev/urandom | base64)
        say "GENERATED ROOT PASSWORD: $MYSQL_ROOT_PASSWORD"
    fi
}

start_privately() {
    "$@" --skip-networking --socket="$socket" &
    server=$!
    root_password=
    for _ in $(seq 300); do
        if mysqladmin --socket="$socket" -uroot --silent ping >/dev/null 2>&1; then return; fi
        kill -0 "$server" 2>/dev/null || fail "Unable to start server."
        sleep 0.1
    done
    fail "Timeout during initialization"
}

make_users() {
    local password host=${MYSQL_ROOT_HOST:-%}
    password=$(quoted "${MYSQL_ROOT_PASSWORD:-}")
    sql mysql <<END
SET @@SESSION.SQL_LOG_BIN = 0;
SET SESSION sql_mode = '';
DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');
FLUSH PRIVILEGES;
ALTER USER 'root'@'localhost' IDENTIFIED BY '$password';
$([ "$host" = localhost ] || echo "CREATE USER 'root'@'$(quoted "$host")' IDENTIFIED BY '$password';
GRANT ALL ON *.* TO 'root'@'$(quoted "$host")' WITH GRANT OPTION;")
DROP DATABASE IF EXISTS test;
END
    root_password=${MYSQL_ROOT_PASSWORD:-}
    if [ -n "${MYSQL_DATABASE:-}" ]; then
        say "Creating database $MYSQL_DATABASE"
        sql <<<"CREATE DATABASE IF NOT EXISTS \`$(named "$MYSQL_DATABASE")\`;"
    fi
    if [ -n "${MYSQL_USER:-}" ] && [ -n "${MYSQL_PASSWORD:-}" ]; then
        say "Creating user $MYSQL_USER"
        sql <<<"CREATE USER '$(quoted "$MYSQL_USER")'@'%' IDENTIFIED BY '$(quoted "$MYSQL_PASSWORD")';"
        if [ -n "${MYSQL_DATABASE:-}" ]; then
            sql <<<"GRANT ALL ON \`$(named "$MYSQL_DATABASE" | sed 's/_/\\_/g')\`.* TO '$(quoted "$MYSQL_USER")'@'%';"
        fi
    fi
}

run_scripts() {
    local path
    for path in /docker-entrypoint-initdb.d/*; do
        case $path in
            *.sh)
                say "running $path"
                if [ -x "$path" ]; then "$path"; else . "$path"; fi
                ;;
            *.sql) say "running $path" && sql ${MYSQL_DATABASE:+"$MYSQL_DATABASE"} <"$path" ;;
            *.sql.gz) say "running $path" && gunzip -c "$path" | sql ${MYSQL_DATABASE:+"$MYSQL_DATABASE"} ;;
            *'/*') ;;
            *) say "ignoring $path" ;;
        esac
    done
}

prepare() {
    check_variables
    find "$data" -mindepth 1 -delete
    touch "$unfinished"
    say "Initializing database files"
    mariadb-install-db --user=mysql --datadir="$data" --skip-test-db \
        --auth-root-authentication-method=normal >/dev/null
    start_privately "$@"
    make_users
    run_scripts
    mysqladmin --socket="$socket" -uroot ${root_password:+"-p$root_password"} shutdown
    wait "$server"
    rm "$unfinished"
    say "MySQL init process done. Ready for start up."
}

is_empty() { [ -e "$unfinished" ] || [ ! -d "$data/mysql" ]; }

if [ "${1:0:1}" = - ]; then set -- mysqld "$@"; fi
if [ "$1" = mysqld ]; then
    case " $* " in *' --help '* | *' --version '* | *' -V '* | *' -? '*) exec "$@" ;; esac
    mkdir -p /run/mysqld
    chown mysql:mysql /run/mysqld
    find "$data" \! -user mysql -exec chown mysql:mysql '{}' +
    if is_empty; then prepare "$@"; fi
fi
exec "$@"
