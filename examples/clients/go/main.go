// Command client shows how a Go program works with deskledger: pages, refusals, deadlines, and calls that may be repeated.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	deskledgerv1 "deskledger.dev/examples/client/gen/deskledger/v1"
)

//go:generate buf generate

// Repeats a call that did not get through, within its deadline. That is safe here because every call that changes something has a
// request_id: whatever happened to the first attempt, the effect happens once.
const retryPolicy = `{"methodConfig": [{
	"name": [{}],
	"retryPolicy": {
		"maxAttempts": 4,
		"initialBackoff": "0.1s",
		"maxBackoff": "2s",
		"backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]
	}
}]}`

func main() {
	address, token := os.Getenv("ADDRESS"), os.Getenv("TOKEN")
	if address == "" {
		address = "127.0.0.1:50051"
	}
	if token == "" {
		log.Fatal("TOKEN is not set")
	}
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // with TLS: credentials.NewTLS(nil)
		grpc.WithPerRPCCredentials(bearer(token)),
		grpc.WithDefaultServiceConfig(retryPolicy),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if err := run(conn); err != nil {
		log.Fatal(err)
	}
}

func run(conn *grpc.ClientConn) error {
	tickets := deskledgerv1.NewTicketServiceClient(conn)
	messages := deskledgerv1.NewChatMessageServiceClient(conn)
	logs := deskledgerv1.NewDeletionLogServiceClient(conn)
	// One deadline for all that follows; it goes to the service with each call.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	created, err := tickets.CreateTicket(ctx, &deskledgerv1.CreateTicketRequest{
		Ticket:    &deskledgerv1.Ticket{Customer: &deskledgerv1.Customer{SendbirdId: "ada"}},
		RequestId: uuid.NewString(),
	})
	if err != nil {
		return err
	}
	ticketID := created.GetTicket().GetId()
	for i := 1; i <= 5; i++ {
		if _, err := messages.CreateChatMessage(ctx, &deskledgerv1.CreateChatMessageRequest{
			TicketId: ticketID,
			ChatMessage: &deskledgerv1.ChatMessage{
				UserType:       deskledgerv1.UserType_USER_TYPE_CUSTOMER,
				UserSendbirdId: "ada",
				Message:        fmt.Sprintf("Message %d", i),
			},
			RequestId: uuid.NewString(),
		}); err != nil {
			return err
		}
	}

	var ids []int64
	pages := 0
	for token := ""; pages == 0 || token != ""; pages++ {
		page, err := messages.ListChatMessages(ctx, &deskledgerv1.ListChatMessagesRequest{TicketId: ticketID, PageSize: 2, PageToken: token})
		if err != nil {
			return err
		}
		for _, message := range page.GetChatMessages() {
			ids = append(ids, message.GetId())
		}
		token = page.GetNextPageToken()
	}
	fmt.Printf("ticket %d: %d messages in %d pages\n", ticketID, len(ids), pages)

	deletion := &deskledgerv1.DeleteChatMessageRequest{
		TicketId:       ticketID,
		Id:             ids[0],
		Reason:         deskledgerv1.DeletionReason_DELETION_REASON_PRIVACY_REQUEST,
		WaitForReceipt: durationpb.New(5 * time.Second),
		RequestId:      uuid.NewString(),
	}
	deleted, err := messages.DeleteChatMessage(ctx, deletion)
	// The reason says what is the matter; the text is for people and may change.
	if info := errorInfo(err); info.GetReason() == "TICKET_NOT_CLOSED" {
		fmt.Printf("refused: %s, ticket %s is %s\n", info.GetReason(), info.GetMetadata()["ticket_id"], info.GetMetadata()["status"])
		if _, err := tickets.CloseTicket(ctx, &deskledgerv1.CloseTicketRequest{Id: ticketID, RequestId: uuid.NewString()}); err != nil {
			return err
		}
		deleted, err = messages.DeleteChatMessage(ctx, deletion)
	}
	if err != nil {
		return err
	}
	fmt.Printf("deleted: log entry %d\n", deleted.GetDeletionLog().GetId())
	if deleted.GetReceipt() == "" {
		return errors.New("the receipt was not there in time: GetReceipt answers it later")
	}
	format, _, _ := strings.Cut(deleted.GetReceipt(), "\n")
	fmt.Printf("receipt: %s\n", format)

	// As after a broken connection, when nobody knows what became of the call.
	again, err := messages.DeleteChatMessage(ctx, deletion)
	if err != nil {
		return err
	}
	fmt.Printf("repeated: log entry %d\n", again.GetDeletionLog().GetId())

	if _, err := messages.DeleteChatMessage(ctx, &deskledgerv1.DeleteChatMessageRequest{
		TicketId: ticketID, Id: ids[1], RequestId: uuid.NewString(),
	}); err != nil {
		return err
	}
	entries := 0
	pages = 0
	for token := ""; pages == 0 || token != ""; pages++ {
		page, err := logs.ListDeletionLogs(ctx, &deskledgerv1.ListDeletionLogsRequest{
			Filter: &deskledgerv1.DeletionLogFilter{TicketId: ticketID}, PageSize: 1, PageToken: token,
		})
		if err != nil {
			return err
		}
		entries += len(page.GetDeletionLogs())
		token = page.GetNextPageToken()
	}
	fmt.Printf("log: %d entries in %d pages\n", entries, pages)
	return nil
}

// errorInfo is what the service says about why it refused; nil where err is no refusal of the service's.
func errorInfo(err error) *errdetails.ErrorInfo {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "deskledger" {
			return info
		}
	}
	return nil
}

// bearer puts an application's token on every call.
type bearer string

func (token bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(token)}, nil
}

// RequireTransportSecurity would be true in production: a token is a secret.
func (bearer) RequireTransportSecurity() bool {
	return false
}
