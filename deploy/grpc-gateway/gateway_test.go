package main

// Drives a running gateway with a running service behind it: .ci/grpc-gateway starts both and sets GATEWAY, its URL, and TOKEN, which has
// all scopes.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	deskledgerv1 "deskledger.dev/grpc-gateway/gen/deskledger/v1"
)

type object = map[string]any

// answer is what came back for a call.
type answer struct {
	status int
	header http.Header
	body   object
}

func environment(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run .ci/grpc-gateway, which starts what this test needs", name)
	}
	return value
}

// send makes a request; headers are names and values in turn.
func send(t *testing.T, method, path string, body any, headers ...string) *http.Response {
	t.Helper()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, environment(t, "GATEWAY")+path, content)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func read(t *testing.T, response *http.Response) answer {
	t.Helper()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var body object
	if err := json.Unmarshal(text, &body); err != nil {
		t.Fatalf("%s %s: %s: not a JSON object: %s", response.Request.Method, response.Request.URL, response.Status, text)
	}
	return answer{response.StatusCode, response.Header, body}
}

// call makes a request with the token and wants it to succeed.
func call(t *testing.T, method, path string, body any) object {
	t.Helper()
	got := read(t, send(t, method, path, body, "Authorization", "Bearer "+environment(t, "TOKEN")))
	if got.status != http.StatusOK {
		t.Fatalf("%s %s: %d %v", method, path, got.status, got.body)
	}
	return got.body
}

// refused makes a request with the token and wants it to fail.
func refused(t *testing.T, method, path string, body any) answer {
	t.Helper()
	got := read(t, send(t, method, path, body, "Authorization", "Bearer "+environment(t, "TOKEN")))
	if got.status < 400 {
		t.Fatalf("%s %s: %d, which should have failed", method, path, got.status)
	}
	return got
}

// detail is the error's detail of a type, such as ErrorInfo.
func (a answer) detail(t *testing.T, name string) object {
	t.Helper()
	details, _ := a.body["details"].([]any)
	for _, detail := range details {
		if detail := detail.(object); detail["@type"] == "type.googleapis.com/google.rpc."+name {
			return detail
		}
	}
	t.Fatalf("no %s in %v", name, a.body)
	return nil
}

func (a answer) wants(t *testing.T, status int, reason string) {
	t.Helper()
	info := a.detail(t, "ErrorInfo")
	if a.status != status || info["reason"] != reason || info["domain"] != "deskledger" {
		t.Fatalf("wanted %d %s, not %d %v", status, reason, a.status, info)
	}
}

// ticket makes a ticket with messages, and answers its path and those of its messages.
func ticket(t *testing.T, messages ...string) (string, []string) {
	t.Helper()
	made := call(t, "POST", "/v1/tickets", object{"ticket": object{"customer": object{"sendbirdId": "ada"}}})
	path := fmt.Sprintf("/v1/tickets/%s", made["id"])
	var paths []string
	for _, text := range messages {
		message := object{"userType": "USER_TYPE_CUSTOMER", "userSendbirdId": "ada", "message": text}
		sent := call(t, "POST", path+"/chat-messages", object{"chatMessage": message})
		paths = append(paths, fmt.Sprintf("%s/chat-messages/%s", path, sent["chatMessage"].(object)["id"]))
	}
	return path, paths
}

func TestMessagesAreListedInPages(t *testing.T) {
	path, _ := ticket(t, "one", "two", "three")
	var texts []string
	token := ""
	for pages := 1; ; pages++ {
		page := call(t, "GET", path+"/chat-messages?pageSize=2&pageToken="+token, nil)
		if page["totalSize"] != "3" {
			t.Fatalf("totalSize %v", page["totalSize"])
		}
		for _, message := range page["chatMessages"].([]any) {
			texts = append(texts, message.(object)["message"].(string))
		}
		if token = page["nextPageToken"].(string); token == "" {
			if pages != 2 || strings.Join(texts, " ") != "one two three" {
				t.Fatalf("%d pages: %v", pages, texts)
			}
			return
		}
	}
}

func TestADeletionIsCarriedOutAndLoggedOnceForItsRequestId(t *testing.T) {
	path, messages := ticket(t, "my card number", "another")
	call(t, "POST", path+":close", object{})
	query := "?reason=DELETION_REASON_SENSITIVE_DATA&requestedBy.id=7&waitForReceipt=10s&requestId=0b8a2c0e-5c0f-4d2e-9d6c-" + fmt.Sprintf("%012d", os.Getpid())
	first := call(t, "DELETE", messages[0]+query, nil)
	tombstone, entry := first["chatMessage"].(object), first["deletionLog"].(object)
	if tombstone["message"] != "" || tombstone["deleteTime"] == nil {
		t.Fatalf("no tombstone: %v", tombstone)
	}
	if entry["reason"] != "DELETION_REASON_SENSITIVE_DATA" || entry["requestedBy"].(object)["id"] != "7" {
		t.Fatalf("the log does not say why and by whom: %v", entry)
	}
	if receipt := first["receipt"].(string); !strings.HasPrefix(receipt, "c2sp.org/tlog-proof@v1\n") {
		t.Fatalf("no receipt: %q", receipt)
	}
	again := call(t, "DELETE", messages[0]+query, nil)
	if again["deletionLog"].(object)["id"] != entry["id"] {
		t.Fatalf("the second answer has another log entry: %v", again)
	}
	refused(t, "DELETE", messages[0], nil).wants(t, http.StatusBadRequest, "CHAT_MESSAGE_ALREADY_DELETED")

	call(t, "DELETE", messages[1], nil)
	page := call(t, "GET", "/v1/deletion-logs?pageSize=1&filter.ticketId="+tombstone["ticketId"].(string), nil)
	next := call(t, "GET", "/v1/deletion-logs?pageSize=1&filter.ticketId="+tombstone["ticketId"].(string)+"&pageToken="+page["nextPageToken"].(string), nil)
	if next["totalSize"] != "2" || next["nextPageToken"] != "" || next["deletionLogs"].([]any)[0].(object)["id"] != entry["id"] {
		t.Fatalf("the log's second page: %v", next)
	}
}

func TestADeletionInAnOpenTicketIsRefusedByItsReason(t *testing.T) {
	path, messages := ticket(t, "keep me")
	got := refused(t, "DELETE", messages[0], nil)
	got.wants(t, http.StatusBadRequest, "TICKET_NOT_CLOSED")
	if metadata := got.detail(t, "ErrorInfo")["metadata"].(object); "/v1/tickets/"+metadata["ticket_id"].(string) != path {
		t.Fatalf("the metadata names no ticket: %v", metadata)
	}
	if id := got.detail(t, "RequestInfo")["requestId"]; id != got.header.Get("X-Request-Id") || id == "" {
		t.Fatalf("X-Request-Id is %q, the detail has %q", got.header.Get("X-Request-Id"), id)
	}
}

func TestAnExportStreamsEveryMessage(t *testing.T) {
	path, messages := ticket(t, "one", "two")
	response := send(t, "GET", "/v1/chat-messages:export?ticketId="+strings.TrimPrefix(path, "/v1/tickets/"), nil,
		"Authorization", "Bearer "+environment(t, "TOKEN"))
	count := 0
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		var part struct {
			Result struct{ ChatMessages []object }
		}
		if err := json.Unmarshal(lines.Bytes(), &part); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		count += len(part.Result.ChatMessages)
	}
	if response.StatusCode != http.StatusOK || count != len(messages) {
		t.Fatalf("%s with %d messages", response.Status, count)
	}
}

func TestAPatchChangesWhatItNames(t *testing.T) {
	path, _ := ticket(t)
	changed := call(t, "PATCH", path, object{"info": "a note", "priority": "TICKET_PRIORITY_HIGH"})
	changed = call(t, "PATCH", path, object{"priority": "TICKET_PRIORITY_LOW"})
	if changed["info"] != "a note" || changed["priority"] != "TICKET_PRIORITY_LOW" {
		t.Fatalf("the ticket: %v", changed)
	}
}

func TestAMisspeltFieldIsRefused(t *testing.T) {
	got := refused(t, "POST", "/v1/tickets", object{"ticket": object{"customer": object{"sendbirdId": "ada"}}, "requestedId": "x"})
	if got.status != http.StatusBadRequest {
		t.Fatalf("%d %v", got.status, got.body)
	}
}

func TestHeadersPassThrough(t *testing.T) {
	got := read(t, send(t, "GET", "/v1/tickets", nil, "SENDBIRDDESKAPITOKEN", environment(t, "TOKEN"), "X-Request-Id", "gateway-test-1"))
	if got.status != http.StatusOK || got.header.Get("X-Request-Id") != "gateway-test-1" {
		t.Fatalf("%d, X-Request-Id %q: %v", got.status, got.header.Get("X-Request-Id"), got.body)
	}
	got = read(t, send(t, "GET", "/v1/tickets", nil, "Authorization", "Bearer wrong"))
	got.wants(t, http.StatusUnauthorized, "CREDENTIALS_INVALID")
	if got.header.Get("WWW-Authenticate") != "Bearer" {
		t.Fatalf("WWW-Authenticate is %q", got.header.Get("WWW-Authenticate"))
	}
}

func TestHealthIsAnswered(t *testing.T) {
	if response := send(t, "GET", "/livez", nil); response.StatusCode != http.StatusNoContent {
		t.Fatalf("/livez: %s", response.Status)
	}
	if got := read(t, send(t, "GET", "/healthz", nil)); got.status != http.StatusOK || got.body["status"] != "SERVING" {
		t.Fatalf("/healthz: %d %v", got.status, got.body)
	}
}

// files are the protos that have services.
var files = []protoreflect.FileDescriptor{
	deskledgerv1.File_deskledger_v1_ticket_proto,
	deskledgerv1.File_deskledger_v1_chat_message_proto,
	deskledgerv1.File_deskledger_v1_deletion_log_proto,
	deskledgerv1.File_deskledger_v1_ingest_proto,
}

func TestEveryMethodHasAPathThatReachesTheServiceAndIsDescribed(t *testing.T) {
	described := read(t, send(t, "GET", "/openapi.json", nil)).body["paths"].(object)
	operations := 0
	for _, verbs := range described {
		operations += len(verbs.(object))
	}
	parameter := regexp.MustCompile(`\{[^}]+\}`)
	seen := map[string]bool{}
	for _, file := range files {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for i := range methods.Len() {
				method := methods.Get(i)
				rule, _ := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
				verb, path := verbAndPath(rule)
				if path == "" {
					t.Errorf("%s has no google.api.http", method.FullName())
					continue
				}
				operation := verb + " " + parameter.ReplaceAllString(path, "1")
				if seen[operation] {
					t.Errorf("%s shares %s", method.FullName(), operation)
				}
				seen[operation] = true
				var body any
				if rule.GetBody() != "" {
					body = object{}
				}
				// Without a token the service refuses, and in words of its own: no route of the gateway does.
				got := read(t, send(t, verb, parameter.ReplaceAllString(path, "1"), body))
				if wrapped, ok := got.body["error"].(object); ok && method.IsStreamingServer() {
					got.body = wrapped
				}
				got.wants(t, http.StatusUnauthorized, "CREDENTIALS_MISSING")
			}
		}
	}
	if len(seen) == 0 || operations != len(seen) {
		t.Fatalf("%d methods have paths, the OpenAPI document has %d operations", len(seen), operations)
	}
}

func verbAndPath(rule *annotations.HttpRule) (string, string) {
	switch pattern := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return "GET", pattern.Get
	case *annotations.HttpRule_Post:
		return "POST", pattern.Post
	case *annotations.HttpRule_Put:
		return "PUT", pattern.Put
	case *annotations.HttpRule_Patch:
		return "PATCH", pattern.Patch
	case *annotations.HttpRule_Delete:
		return "DELETE", pattern.Delete
	}
	return "", ""
}
