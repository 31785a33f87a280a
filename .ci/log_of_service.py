"""Deletes messages through the REST door of a running service, places and releases a legal hold, and keeps what it then gives to prove that:
an older checkpoint, the consistency of the newer one with it, receipts and inclusion proofs, as files that tests/verifiers/ read.

Arguments: the address of the service, and the directory. The token is in TOKEN."""

import base64
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

ADDRESS, DIRECTORY = sys.argv[1], pathlib.Path(sys.argv[2])
TOKEN = os.environ["TOKEN"]
# More than two tiles of entries; the older checkpoint is between them.
DELETIONS, FIRST = 600, 250
# Every so many entries have a receipt and an inclusion proof.
STEP = 37


def http(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{ADDRESS}{path}", data, {"Authorization": f"Bearer {TOKEN}"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def rest(method, path, body=None):
    return json.loads(http(method, f"/platform/v1{path}", body))


def grpc(method, request):
    command = ["grpcurl", "-plaintext", "-H", f"authorization: Bearer {TOKEN}", "-d", json.dumps(request), ADDRESS]
    called = subprocess.run([*command, f"deskledger.v1.{method}"], check=True, capture_output=True, text=True)
    return json.loads(called.stdout)


def write(name, data):
    path = DIRECTORY / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def checkpoint_of(size):
    """The checkpoint that covers so many entries: it comes within a second."""
    for _ in range(300):
        text = http("GET", "/log/demo/checkpoint")
        if int(text.split(b"\n")[1]) >= size:
            return text
        time.sleep(0.1)
    raise SystemExit(f"no checkpoint of {size} entries came")


def tree_size():
    return int(http("GET", "/log/demo/checkpoint").split(b"\n")[1])


start = tree_size()
message = {"contactId": 4711, "message": "to be deleted"}
batch = {"conversationmessages": [{**message, "id": 9_000_000 + number} for number in range(DELETIONS)]}
http("POST", "/desk/api/v2/conversationmessages/webhooks.json", batch)
ticket = rest("GET", "/tickets?sendbird_id=contact_4711")["results"][0]["id"]
rest("PATCH", f"/tickets/{ticket}/close", {})
messages = []
while len(messages) < DELETIONS:
    messages += rest("GET", f"/tickets/{ticket}/chat_messages?limit=500&offset={len(messages)}")["results"]
for number, message in enumerate(messages, 1):
    rest("DELETE", f"/tickets/{ticket}/chat_messages/{message['id']}", {"reason": "PRIVACY_REQUEST", "reasonDetail": f"no. {number}"})
    if number == FIRST:
        write("old-checkpoint", checkpoint_of(start + FIRST))
for method in ["PlaceHold", "ReleaseHold"]:
    grpc(f"TicketService/{method}", {"id": ticket, "reason": "litigation \u00a7 12"})

size = start + DELETIONS + 2
write("new-checkpoint", checkpoint_of(size))
old = int((DIRECTORY / "old-checkpoint").read_bytes().split(b"\n")[1])
proof = grpc("DeletionLogService/GetConsistencyProof", {"oldTreeSize": old, "newTreeSize": size})
write("consistency", "\n".join(proof["hashes"]).encode())
logs = []
token = ""
while True:
    page = grpc("DeletionLogService/ListDeletionLogs", {"pageSize": 100, "pageToken": token, "filter": {"ticketId": ticket}})
    logs += page["deletionLogs"]
    token = page.get("nextPageToken", "")
    if not token:
        break
assert len(logs) == DELETIONS, f"the log lists {len(logs)} deletions"
for log in logs[::STEP]:
    entry = {"ticketId": ticket, "id": log["id"]}
    write(f"receipts/{log['id']}.tlog-proof", grpc("DeletionLogService/GetReceipt", entry)["receipt"].encode())
    write(f"inclusion/{log['id']}.json", json.dumps(grpc("DeletionLogService/GetInclusionProof", entry)).encode())
for event in grpc("DeletionLogService/ListHoldEvents", {"ticketId": ticket})["holdEvents"]:
    entry = {"ticketId": ticket, "id": event["id"]}
    write(f"receipts/hold-{event['id']}.tlog-proof", grpc("DeletionLogService/GetHoldReceipt", entry)["receipt"].encode())
assert base64.b64decode(proof["hashes"][0]), "the proof has hashes"
print(f"{DELETIONS} messages were deleted through {ADDRESS}, and a hold placed and released: the tree grew from {start} to {size} entries")
