#!/bin/sh
# Installs what the tests run against and pip cannot bring: Redis, PostgreSQL, Chromium, nginx, Caddy, promtool, ip
# for machines of their own (network namespaces), an OpenID Connect provider.
# Does nothing where all are there.
set -eu

missing=""
command -v redis-server >/dev/null || missing="$missing redis-server"
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v chromium >/dev/null || missing="$missing chromium"
command -v node >/dev/null || missing="$missing nodejs"
command -v npm >/dev/null || missing="$missing npm"
command -v ip >/dev/null || [ -x /usr/sbin/ip ] || missing="$missing iproute2"
for one in nginx caddy; do command -v $one >/dev/null || [ -x /usr/sbin/$one ] || missing="$missing $one"; done
command -v promtool >/dev/null || missing="$missing prometheus"
# Where the command-line program is tried.
for one in curl fish tmux zsh; do command -v $one >/dev/null || missing="$missing $one"; done
# Without their letters, the pages in Japanese and Chinese would be looked at as empty boxes.
command -v fc-list >/dev/null && [ -n "$(fc-list :lang=ja)" ] || missing="$missing fontconfig fonts-noto-cjk"

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "The tests need these, and this script installs them on Debian alone:$missing" >&2
        exit 1
    fi
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo"
    echo "installing$missing" >&2
    $as_root apt-get update -q
    # The tests start servers of their own: none of the packages is to start one.
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends $missing
fi

cd "$(dirname "$0")/oidc_provider"
# npm writes the first of these last, so it is newer than the second once all of that is installed.
if [ -z "$(find node_modules/.package-lock.json -newer package-lock.json 2>/dev/null)" ]; then
    echo "installing what the tests run in Node.js" >&2
    npm ci --omit=dev --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null
fi
