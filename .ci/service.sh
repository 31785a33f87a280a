# Sourced by the scripts that need a running service: starts the demo on a free port with a private database of its own, sets ADDRESS and
# TOKEN, and stops all of it when the script ends. SERVICE is the program, by default that of the debug build.

SERVICE=${SERVICE:-target/debug/deskledger}
if [ "$SERVICE" = target/debug/deskledger ]; then
  cargo build --quiet
fi

# Where the account that PostgreSQL runs as may go too, when the script runs as root.
scratch=$(mktemp -d)
chmod 755 "$scratch"
touch "$scratch/out" "$scratch/log"
env -u DATABASE_URL "$SERVICE" demo --listen 127.0.0.1:0 --data-dir "$scratch/data" >"$scratch/out" 2>"$scratch/log" &
service=$!

stop() {
  kill "$service" 2>/dev/null || true
  wait "$service" 2>/dev/null || true
  rm -rf "$scratch"
}
trap stop EXIT

for _ in $(seq 600); do
  grep -q 'listening' "$scratch/log" && break
  kill -0 "$service" 2>/dev/null || break
  sleep 0.1
done
ADDRESS=$(sed -n 's/.*listening .*address=\([0-9.:]*\).*/\1/p' "$scratch/log")
TOKEN=$(sed -n 's/^TOKEN=//p' "$scratch/out")
if [ -z "$ADDRESS" ] || [ -z "$TOKEN" ]; then
  echo "the service did not start:" >&2
  cat "$scratch/log" >&2
  exit 1
fi
