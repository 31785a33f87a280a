"""The checks of .ci/pusher-library: the official library on one side, the running service on the other."""

import hashlib
import hmac
import json
import os
import time
import urllib.error
import urllib.request

import pusher
from pusher.signature import sign

KEY, SECRET = "official-library", "tofu"
ADDRESS, TOKEN = os.environ["ADDRESS"], os.environ["TOKEN"]
library = pusher.Pusher(app_id="1", key=KEY, secret=SECRET)


def post(body, signature, key=KEY):
    url = f"http://{ADDRESS}/desk/api/v2/conversationmessages/webhooks.json"
    headers = {"X-Pusher-Key": key, "X-Pusher-Signature": signature, "Content-Type": "application/json"}
    return answer(urllib.request.Request(url, body.encode(), headers))


def get(path):
    return answer(urllib.request.Request(f"http://{ADDRESS}/platform/v1{path}", headers={"SENDBIRDDESKAPITOKEN": TOKEN}))


def answer(request):
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def check(promise, found, expected):
    assert found == expected, f"{promise}: {found!r}, not {expected!r}"
    print(f"ok: {promise}")


def batch(*messages):
    event = lambda message: {
        "name": "client_event",
        "channel": "private-support-1",
        "event": "client-message",
        "data": json.dumps(message, ensure_ascii=False),
        "socket_id": "123.456",
    }
    events = [{"name": "channel_occupied", "channel": "private-support-1"}, *map(event, messages)]
    return json.dumps({"time_ms": int(time.time() * 1000), "events": events}, ensure_ascii=False)


def ours(body):
    """The signature as docs/WEBHOOKS.md says it is made."""
    return hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()


body = batch({"id": 7, "contactId": 2, "message": "Grüße \U0001f600"}, {"userId": 3, "message": "no id of its own"})
check("the library accepts a signature made as documented", library.validate_webhook(KEY, ours(body), body), json.loads(body))
check("the library's own signing makes the same", sign(SECRET, body), ours(body))

status, stored = post(body, sign(SECRET, body))
check("what the library signed is stored", (status, len(stored["conversationmessages"])), (201, 2))
for again in range(3):
    check(f"posted again ({again + 1}) it is acknowledged and stores nothing", post(body, sign(SECRET, body)),
          (201, {"conversationmessage": None, "conversationmessages": [], "included": {}}))
status, tickets = get("/tickets")
check("it opened one ticket", (status, tickets["count"]), (200, 1))
status, messages = get(f"/tickets/{tickets['results'][0]['id']}/chat_messages")
check("each message is there once", [message["message"] for message in messages["results"]], ["Grüße \U0001f600", "no id of its own"])

for what, key, signature, text in [
    ("a tampered body", KEY, ours(body), body.replace("Grüße", "Gruesse")),
    ("a signature with another secret", KEY, sign("another", body), body),
    ("another key", "another", ours(body), body),
    ("a signature in capitals", KEY, ours(body).upper(), body),
]:
    check(f"the library refuses {what}", library.validate_webhook(key, signature, text), None)
    check(f"the service refuses {what}", post(text, signature, key)[0], 401)
old = json.dumps({"time_ms": int(time.time() * 1000) - 3_600_000, "events": []})
check("the library refuses a body of an hour ago", library.validate_webhook(KEY, sign(SECRET, old), old), None)
check("the service refuses a body of an hour ago", post(old, sign(SECRET, old))[0], 400)
status, messages = get(f"/tickets/{tickets['results'][0]['id']}/chat_messages")
check("nothing of it was stored", messages["count"], 2)
