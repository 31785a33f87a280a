#!/usr/bin/env bash
# Runs a peer that build.sh has built, in the foreground until SIGTERM: `benches/peers/run.sh go|node|python|tonic-sqlx`. It is set by
# PEER_LISTEN, PEER_DATABASE_URL and PEER_APPLICATION_KEY (README.md).
set -euo pipefail
: "${PEER_LISTEN:?}" "${PEER_DATABASE_URL:?}" "${PEER_APPLICATION_KEY:?}"
peers=$(cd "$(dirname "$0")/../.." && pwd)/target/peers
case ${1:-} in
go) exec "$peers/go/bin/server" ;;
node) NODE_ENV=production exec node "$peers/node/server.js" ;;
python) exec "$peers/python/venv/bin/python" "$peers/python/server.py" ;;
tonic-sqlx) exec "$peers/tonic-sqlx/release/tonic-sqlx" ;;
*)
    echo "there is no peer ${1:-}" >&2
    exit 2
    ;;
esac
