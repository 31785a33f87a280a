// Verifies a log with three libraries that are not ours: Go's golang.org/x/mod/sumdb, transparency-dev/formats and
// transparency-dev/merkle. The first argument is a directory laid out as C2SP tlog-tiles lays out a log: checkpoint, tile/...; beside
// them vkey, old-checkpoint, consistency (from the old checkpoint to the new) and receipts/. docs/PROOF.md describes the files. With a
// second argument, the URL of the log on a running service, checkpoint and tiles are read from there, with the token in TOKEN; the
// directory then has inclusion/ too, what GetInclusionProof answered.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Where the log is: url is empty where all of it is in files. fetched counts what was read from the service.
var (
	dir, url string
	fetched  int
)

func main() {
	dir = os.Args[1]
	if len(os.Args) > 2 {
		url = os.Args[2]
	}
	vkey := strings.TrimSpace(string(read("vkey")))
	verifier, err := note.NewVerifier(vkey)
	check("the verifier key is read", err)
	head := openCheckpoint(read("checkpoint"), verifier)
	old := openCheckpoint(read("old-checkpoint"), verifier)
	fmt.Printf("ok: checkpoints of %d and %d entries are signed by %s\n", old.Size, head.Size, verifier.Name())

	checkConsistency(old, head)
	entries := checkTiles(head)
	checkReceipts(verifier, entries)
	if url != "" {
		checkInclusion(head, entries)
		fmt.Printf("ok: checkpoint, tiles and entries were read from %s in %d requests\n", url, fetched)
	}
}

// openCheckpoint verifies a checkpoint with both libraries that can.
func openCheckpoint(text []byte, verifier note.Verifier) *log.Checkpoint {
	_, err := note.Open(text, note.VerifierList(verifier))
	check("the checkpoint is signed (sumdb/note)", err)
	parsed, _, _, err := log.ParseCheckpoint(text, verifier.Name(), verifier)
	check("the checkpoint is signed (formats/log)", err)
	return parsed
}

func checkConsistency(old, head *log.Checkpoint) {
	var hashes tlog.TreeProof
	var raw [][]byte
	for _, line := range strings.Fields(string(read("consistency"))) {
		hash, err := tlog.ParseHash(line)
		check("a hash of the consistency proof", err)
		hashes = append(hashes, hash)
		raw = append(raw, hash[:])
	}
	check("the new tree begins with the old one (sumdb/tlog)",
		tlog.CheckTree(hashes, int64(head.Size), tlog.Hash(head.Hash), int64(old.Size), tlog.Hash(old.Hash)))
	check("the new tree begins with the old one (merkle/proof)",
		merkle.VerifyConsistency(rfc6962.DefaultHasher, old.Size, head.Size, raw, old.Hash, head.Hash))
	if tlog.CheckTree(hashes, int64(head.Size), tlog.Hash(head.Hash), int64(old.Size), tlog.Hash(head.Hash)) == nil {
		fail("a proof from another old tree is accepted")
	}
	fmt.Printf("ok: the tree of %d entries begins with that of %d (2 libraries)\n", head.Size, old.Size)
}

// checkTiles reads the whole log by its tiles, as a monitor would: each is checked against the signed root. It answers the entries.
func checkTiles(head *log.Checkpoint) [][]byte {
	size := int64(head.Size)
	reader := tlog.TileHashReader(tlog.Tree{N: size, Hash: tlog.Hash(head.Hash)}, tiles{})
	var entries [][]byte
	for first := int64(0); first < size; first += 256 {
		width := min(256, size-first)
		bundle := read(tilePath("entries", first/256, int(width)))
		for range width {
			length := int(bundle[0])<<8 | int(bundle[1])
			entries = append(entries, bundle[2:2+length])
			bundle = bundle[2+length:]
		}
		if len(bundle) != 0 {
			fail("a bundle has more than its entries")
		}
	}
	var indexes []int64
	for index := range entries {
		indexes = append(indexes, tlog.StoredHashIndex(0, int64(index)))
	}
	hashes, err := reader.ReadHashes(indexes)
	check("the tiles lead to the signed root", err)
	for index, entry := range entries {
		if hashes[index] != tlog.RecordHash(entry) {
			fail(fmt.Sprintf("entry %d is not the leaf of its tile", index))
		}
	}
	fmt.Printf("ok: %d entries are the leaves of tiles that lead to the signed root\n", len(entries))
	return entries
}

func checkReceipts(verifier note.Verifier, entries [][]byte) {
	names, err := filepath.Glob(filepath.Join(dir, "receipts", "*.tlog-proof"))
	check("the receipts", err)
	if len(names) == 0 {
		fail("there are no receipts")
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		check(name, err)
		var receipt proof.TLogProof
		check(name, receipt.Unmarshal(text))
		if !bytes.Equal(receipt.Marshal(), text) {
			fail(name + " is written in another way")
		}
		head := openCheckpoint(receipt.Checkpoint, verifier)
		entry := sha256.Sum256(receipt.ExtraData)
		if !bytes.Equal(entry[:], entries[receipt.Index]) {
			fail(name + ": salt and record do not make the entry of the log")
		}
		check(name+" (sumdb/tlog)", included(receipt, head, entry[:]))
		var path [][]byte
		for _, hash := range receipt.Hashes {
			path = append(path, hash[:])
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(entry[:])
		check(name+" (merkle/proof)",
			merkle.VerifyInclusion(rfc6962.DefaultHasher, receipt.Index, head.Size, leaf, path, head.Hash))
		if !json.Valid(receipt.ExtraData[32:]) {
			fail(name + ": the record is no JSON")
		}
		entry[0] ^= 1
		if included(receipt, head, entry[:]) == nil {
			fail(name + ": another entry is accepted")
		}
	}
	fmt.Printf("ok: %d receipts prove their records (3 libraries)\n", len(names))
}

// inclusionProof is an answer of GetInclusionProof, as JSON has it.
type inclusionProof struct {
	LeafIndex int64    `json:"leafIndex,string"`
	TreeSize  int64    `json:"treeSize,string"`
	Entry     []byte   `json:"entry"`
	Hashes    [][]byte `json:"hashes"`
}

// checkInclusion verifies proofs that the service answered, each for the tree of the checkpoint.
func checkInclusion(head *log.Checkpoint, entries [][]byte) {
	names, err := filepath.Glob(filepath.Join(dir, "inclusion", "*.json"))
	check("the inclusion proofs", err)
	if len(names) == 0 {
		fail("there are no inclusion proofs")
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		check(name, err)
		var answer inclusionProof
		check(name, json.Unmarshal(text, &answer))
		if answer.TreeSize != int64(head.Size) || !bytes.Equal(answer.Entry, entries[answer.LeafIndex]) {
			fail(name + " is of another tree or another entry")
		}
		var path tlog.RecordProof
		for _, hash := range answer.Hashes {
			path = append(path, tlog.Hash(hash))
		}
		check(name+" (sumdb/tlog)", tlog.CheckRecord(path, answer.TreeSize, tlog.Hash(head.Hash), answer.LeafIndex, tlog.RecordHash(answer.Entry)))
		check(name+" (merkle/proof)", merkle.VerifyInclusion(rfc6962.DefaultHasher, uint64(answer.LeafIndex), head.Size,
			rfc6962.DefaultHasher.HashLeaf(answer.Entry), answer.Hashes, head.Hash))
		path[0][0] ^= 1
		if tlog.CheckRecord(path, answer.TreeSize, tlog.Hash(head.Hash), answer.LeafIndex, tlog.RecordHash(answer.Entry)) == nil {
			fail(name + ": a changed proof is accepted")
		}
	}
	fmt.Printf("ok: %d inclusion proofs of the service are good (2 libraries)\n", len(names))
}

func included(receipt proof.TLogProof, head *log.Checkpoint, entry []byte) error {
	var path tlog.RecordProof
	for _, hash := range receipt.Hashes {
		path = append(path, tlog.Hash(hash))
	}
	return tlog.CheckRecord(path, int64(head.Size), tlog.Hash(head.Hash), int64(receipt.Index), tlog.RecordHash(entry))
}

// tiles reads tiles from the directory.
type tiles struct{}

func (tiles) Height() int { return 8 }

func (tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range wanted {
		data = append(data, read(tilePath(fmt.Sprint(tile.L), tile.N, tile.W)))
	}
	return data, nil
}

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// tilePath is the path of C2SP tlog-tiles: sumdb's own without the height.
func tilePath(level string, index int64, width int) string {
	path := tlog.Tile{H: 8, L: 0, N: index, W: width}.Path()
	return "tile/" + level + "/" + strings.TrimPrefix(path, "tile/8/0/")
}

func read(name string) []byte {
	if url != "" && (name == "checkpoint" || strings.HasPrefix(name, "tile/")) {
		return fetch(name)
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	check(name, err)
	return data
}

// fetch reads a part of the log from the service, as an auditor does.
func fetch(name string) []byte {
	request, err := http.NewRequest(http.MethodGet, url+"/"+name, nil)
	check(name, err)
	request.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
	answer, err := http.DefaultClient.Do(request)
	check(name, err)
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	check(name, err)
	if answer.StatusCode != http.StatusOK {
		fail(fmt.Sprintf("%s: %s: %s", name, answer.Status, data))
	}
	fetched++
	return data
}

func check(what string, err error) {
	if err != nil {
		fail(fmt.Sprintf("%s: %v", what, err))
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}
