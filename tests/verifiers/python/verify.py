"""Verifies a log with the library pymerkle and Python's own json: trees, inclusion proofs, and that records are written in the one canonical
way. The first argument is a directory; docs/PROOF.md describes the files. With a second one, the URL of the log on a running service,
checkpoint and entries are read from there, with the token in TOKEN."""

import base64
import hashlib
import json
import os
import sys
import urllib.request
from pathlib import Path

from pymerkle import InmemoryTree, verify_consistency, verify_inclusion
from pymerkle.proof import InclusionProof, InvalidProof

directory = Path(sys.argv[1])
url = sys.argv[2] if len(sys.argv) > 2 else None


def read(name):
    if url is None or not name.startswith(("checkpoint", "tile/")):
        return (directory / name).read_bytes()
    request = urllib.request.Request(f"{url}/{name}", headers={"Authorization": f"Bearer {os.environ['TOKEN']}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def head(name):
    _, size, root, *_ = read(name).decode().split("\n")
    return int(size), base64.b64decode(root)


def entries(size):
    for first in range(0, size, 256):
        width = min(256, size - first)
        name = f"{first // 256:03}" + (f".p/{width}" if width < 256 else "")
        bundle = read(f"tile/entries/{name}")
        for at in range(0, len(bundle), 34):
            assert bundle[at : at + 2] == b"\0\x20", "an entry has 32 bytes"
            yield bundle[at + 2 : at + 34]


def receipt(path):
    before, _ = path.read_text().split("\n\n", 1)
    first, extra, index, *hashes = before.split("\n")
    assert first == "c2sp.org/tlog-proof@v1"
    opening = base64.b64decode(extra.removeprefix("extra "))
    return opening, int(index.removeprefix("index ")), [base64.b64decode(line) for line in hashes]


size, root = head("checkpoint")
old_size, old_root = head("old-checkpoint")
log = list(entries(size))
tree = InmemoryTree(algorithm="sha256")
for entry in log:
    tree.append_entry(entry)
assert tree.get_root(size) == root, "the entries make the signed root"
assert tree.get_root(old_size) == old_root, "the first entries make the older signed root"
verify_consistency(old_root, root, tree.prove_consistency(old_size, size))
print(f"ok: {size} entries from {url or 'files'} make the signed root, the first {old_size} the older one")

receipts = sorted(directory.glob("receipts/*.tlog-proof"))
assert receipts, "there are receipts"
linked = 0
for path in receipts:
    opening, index, hashes = receipt(path)
    salt, written = opening[:32], opening[32:]
    record = json.loads(written)
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical == written, f"{path}: the record is written in the canonical way"
    entry = hashlib.sha256(salt + canonical).digest()
    assert entry == log[index], f"{path}: salt and record make the entry of the log"
    # An erasure has no act before it.
    if record.get("previous") is not None:
        assert bytes.fromhex(record["previous"]) in log[:index], f"{path}: the act before is in the log"
        linked += 1

    shape = tree.prove_inclusion(index + 1, size)
    leaf = hashlib.sha256(b"\0" + entry).digest()
    proof = InclusionProof("sha256", True, size, index + 1, shape.rule, [leaf, *hashes])
    verify_inclusion(leaf, root, proof, index=index + 1, size=size, algorithm="sha256")
    hashes[0] = bytes([hashes[0][0] ^ 1]) + hashes[0][1:]
    try:
        verify_inclusion(leaf, root, InclusionProof("sha256", True, size, index + 1, shape.rule, [leaf, *hashes]))
    except InvalidProof:
        continue
    sys.exit(f"{path}: a changed proof is accepted")
print(f"ok: {len(receipts)} receipts prove their records, {linked} of them name the act before in their ticket")
