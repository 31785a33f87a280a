#!/usr/bin/env bash
# Checks that the peers, or those named, answer as deskledger does on the same database, so that the comparison is one of equal work: every
# field of every message, counts, the ends of lists and the codes of errors. Build them first; needs grpcurl, as .ci/run installs it.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/target/tools/bin:$PATH"
LIST=deskledger.v1.ChatMessageService/ListChatMessages

. .ci/service.sh
peer=
trap '[ -z "$peer" ] || { kill "$peer" && wait "$peer"; } || true; stop' EXIT

# call METHOD REQUEST: calls the service, with the demo's token.
call() { grpcurl -plaintext -H "authorization: Bearer $TOKEN" -d "$2" "$ADDRESS" "deskledger.v1.$1"; }
ticket() { call TicketService/CreateTicket '{"ticket": {"customer": {"sendbird_id": "ada"}}}' | sed -n 's/^    "id": "\(.*\)",$/\1/p'; }

# ask ADDRESS REQUEST: a page, or the code of the error. The peers have no reflection, so the protos are given.
ask() {
    local answer
    if answer=$(grpcurl -plaintext -import-path proto -proto deskledger/v1/chat_message.proto -H "authorization: Bearer $TOKEN" \
        -d "$2" "$1" "$LIST" 2>&1); then
        echo "$answer"
    else
        echo "$answer" | grep 'Code:' || { echo "$answer" >&2; return 1; }
    fi
}

# walk ADDRESS TICKET PAGE_SIZE: all pages, each asked for with the token of the one before. What is in a token is each server's own.
walk() {
    local page token=
    while :; do
        page=$(ask "$1" "{\"ticket_id\": $2, \"page_size\": $3, \"page_token\": \"$token\"}")
        echo "$page" | sed 's/"nextPageToken": ".*"/"nextPageToken": "..."/'
        token=$(echo "$page" | sed -n 's/^ *"nextPageToken": "\(.*\)".*/\1/p')
        [ -n "$token" ] || break
    done
}

# everything ADDRESS: what is compared.
everything() {
    local ticket request
    for ticket in $(seq "$many"); do
        walk "$1" "$ticket" 0
        walk "$1" "$ticket" 7
    done
    for request in '"page_size": 1' '"page_size": 500' '"skip": 119' '"skip": 120' '"skip": 9007199254740991' '"page_size": 60, "skip": 60' \
        '"page_size": 501' '"page_size": -1' '"skip": -1' '"page_token": "?"'; do
        echo "$request"
        ask "$1" "{\"ticket_id\": $many, $request}" | sed 's/"nextPageToken": ".*"/"nextPageToken": "..."/'
    done
    echo "another application's ticket, and one that never was"
    ask "$1" "{\"ticket_id\": $foreign}"
    ask "$1" '{"ticket_id": 123456789}'
}

# The demo's tickets; one of another application; one without messages; one of 120 messages with every field, odd letters and early, late and
# fine times, of which some are deleted, with an agent named and without.
owner=$TOKEN
env -u DATABASE_URL "$SERVICE" --data-dir "$scratch/data" application create other >/dev/null
TOKEN=$(env -u DATABASE_URL "$SERVICE" --data-dir "$scratch/data" token create other --scopes tickets:write)
foreign=$(ticket)
TOKEN=$owner
ticket >/dev/null
many=$(ticket)
messages=$(for number in $(seq 20); do
    cat <<END
{"user_type": "USER_TYPE_CUSTOMER", "user_sendbird_id": "ada", "message": "Grüße 你好 👋 \"$number\"\n\ttwo lines"},
{"user_type": "USER_TYPE_AGENT", "user_sendbird_id": "kim", "message": "with data", "data": "{\"client\": \"web\"}", "external_id": "ü$number"},
{"user_type": "USER_TYPE_EVENT", "message": "", "create_time": "0001-01-01T00:00:00Z"},
{"user_type": "USER_TYPE_CUSTOMER", "user_sendbird_id": "ada", "create_time": "1969-12-31T23:59:59.000001Z", "message": "before 1970"},
{"user_type": "USER_TYPE_CUSTOMER", "user_sendbird_id": "ada", "create_time": "9999-12-31T23:59:59.999999Z", "message": "late"},
{"user_type": "USER_TYPE_CUSTOMER", "user_sendbird_id": "ada", "create_time": "2026-09-01T08:00:00.100Z", "files": [
    {"url": "https://files.example/$number?a=b", "name": "ä.png", "content_type": "image/png", "size_bytes": "9007199254740991"},
    {"url": "https://files.example/bare"}]},
END
done)
call ChatMessageService/BatchCreateChatMessages "{\"ticket_id\": $many, \"chat_messages\": [${messages%,}]}" >/dev/null
call TicketService/CloseTicket "{\"id\": $many}" >/dev/null
readarray -t ids < <(ask "$ADDRESS" "{\"ticket_id\": $many}" | sed -n 's/^ *"id": "\(.*\)",$/\1/p')
delete() { call ChatMessageService/DeleteChatMessage "{\"ticket_id\": $many, \"id\": $1, $2}" >/dev/null; }
delete "${ids[0]}" '"requested_from": "REQUESTED_FROM_PLATFORM_API"'
delete "${ids[1]}" '"requested_from": "REQUESTED_FROM_DASHBOARD", "requested_by":
    {"id": "11", "display_name": "Kím", "sendbird_id": "kim", "email": "kim@example.com"}'
delete "${ids[5]}" '"requested_by": {"sendbird_id": "kim"}'

everything "$ADDRESS" >"$scratch/ours"
# A comparison of nothing would pass too.
for expected in '"requestedBy"' '"deleteTime"' '"sizeBytes"' '"externalId": "ü' '.000001Z' '"totalSize": "120"' NotFound InvalidArgument; do
    grep -qF "$expected" "$scratch/ours" || { echo "the sample has no $expected" >&2; exit 1; }
done

export PEER_APPLICATION_KEY=1 PEER_DATABASE_URL="postgres:///deskledger?host=$scratch/data/postgres.socket&user=postgres"
free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
[ $# -gt 0 ] || set -- go node python tonic-sqlx
for name in "$@"; do
    port=$((20000 + RANDOM % 10000))
    until free "$port"; do port=$((port + 1)); done
    export PEER_LISTEN=127.0.0.1:$port
    benches/peers/run.sh "$name" &
    peer=$!
    while free "$port"; do
        kill -0 "$peer" || { echo "$name did not start" >&2; exit 1; }
        sleep 0.1
    done
    everything "$PEER_LISTEN" >"$scratch/theirs"
    kill "$peer"
    wait "$peer" || { echo "$name did not end well" >&2; exit 1; }
    peer=
    free "$port" || { echo "$name left processes behind" >&2; exit 1; }
    diff "$scratch/ours" "$scratch/theirs" || { echo "$name answers otherwise than deskledger" >&2; exit 1; }
    echo "$name: $(grep -c '"messageId"' "$scratch/theirs") messages the same, with their pages and errors"
done
