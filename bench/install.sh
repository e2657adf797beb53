#!/bin/sh
# Installs what the bench runs and pip cannot bring: wrk, valgrind, Redis, PostgreSQL, Node.js, npm.
# Does nothing where all are there.
set -eu

missing=""
for one in wrk valgrind redis-server; do command -v $one >/dev/null || missing="$missing $one"; done
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v node >/dev/null || missing="$missing nodejs"
command -v npm >/dev/null || missing="$missing npm"

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "The bench needs these, and this script installs them on Debian alone:$missing" >&2
        exit 1
    fi
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo"
    echo "installing$missing" >&2
    $as_root apt-get update -q
    # The bench starts servers of its own: none of the packages is to start one.
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends $missing
fi
