#!/usr/bin/env bash
# Builds the peers, or those named, into target/peers/NAME: `benches/peers/build.sh [go] [node] [python] [tonic-sqlx]`. Each needs the tools
# of its language; go needs buf besides, as .ci/run installs it.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
export PATH="$root/target/tools/bin:$root/target/tools/node_modules/.bin:$PATH"

# copied NAME: a fresh copy of the peer's sources in target/peers/NAME, and goes there.
copied() {
    mkdir -p "$root/target/peers/$1"
    cd "$root/target/peers/$1"
    cp "$root/benches/peers/$1"/* .
}

build_go() {
    copied go
    GOBIN=$PWD/bin go install google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
    PATH=$PWD/bin:$PATH buf generate "$root/proto" --path "$root/proto/deskledger" --template buf.gen.yaml
    go build -o bin/server .
}

build_node() {
    copied node
    npm ci --ignore-scripts --no-audit --no-fund --silent
    rm -rf proto
    cp -r "$root/proto" proto
}

build_python() {
    copied python
    [ -x venv/bin/pip ] || python3 -m venv venv
    venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
    # The modules of google/api are those of googleapis-common-protos.
    venv/bin/python -m grpc_tools.protoc --proto_path="$root/proto" --python_out=. --grpc_python_out=. "$root"/proto/deskledger/v1/*.proto
}

# Built where it is: its build script reads the protos.
build_tonic-sqlx() {
    cargo build --release --locked --manifest-path benches/peers/tonic-sqlx/Cargo.toml --target-dir target/peers/tonic-sqlx
}

[ $# -gt 0 ] || set -- go node python tonic-sqlx
for name in "$@"; do
    declare -F "build_$name" >/dev/null || { echo "there is no peer $name" >&2; exit 2; }
    ("build_$name")
done
