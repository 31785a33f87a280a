// The one call that is compared; the others are answered UNIMPLEMENTED.
package main

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype/zeronull"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "deskledger.dev/gen/deskledger/v1"
)

const list = `
	select t.message_count, m.id, m.message_id, m.ticket_id, m.user_sendbird_id, m.user_type, m.create_time, m.delete_time,
		m.requested_from, m.requested_by, m.message, m.data, m.files, m.external_id
	from tickets t
	left join lateral (
		select *
		from chat_messages
		where application_key = t.application_key and ticket_id = t.id and message_id > $3
		order by message_id
		limit $4
	) m on true
	where t.application_key = $1 and t.id = $2
	order by m.message_id`

type chatMessages struct {
	pb.UnimplementedChatMessageServiceServer
	pool           *pgxpool.Pool
	applicationKey int32
}

func (s *chatMessages) ListChatMessages(ctx context.Context, request *pb.ListChatMessagesRequest) (*pb.ListChatMessagesResponse, error) {
	limit := request.GetPageSize()
	if limit == 0 {
		limit = 50
	}
	if limit < 1 || limit > 500 {
		return nil, status.Error(codes.InvalidArgument, "page_size must be from 1 to 500")
	}
	after := request.GetSkip()
	if after < 0 {
		return nil, status.Error(codes.InvalidArgument, "skip must be 0 or greater")
	}
	if token := request.GetPageToken(); token != "" {
		last, err := strconv.ParseInt(token, 10, 64)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, "page_token is not one of ours")
		}
		after += last
	}

	rows, err := s.pool.Query(ctx, list, s.applicationKey, request.GetTicketId(), after, limit)
	if err != nil {
		return nil, status.FromContextError(err).Err()
	}
	defer rows.Close()
	found := false
	response := &pb.ListChatMessagesResponse{ChatMessages: make([]*pb.ChatMessage, 0, limit)}
	for rows.Next() {
		found = true
		var userType, requestedFrom zeronull.Text
		var createTime, deleteTime zeronull.Timestamptz
		message := &pb.ChatMessage{}
		// All but the count are null where the ticket has no messages on the page.
		err := rows.Scan(&response.TotalSize, (*zeronull.Int8)(&message.Id), (*zeronull.Int8)(&message.MessageId),
			(*zeronull.Int8)(&message.TicketId), (*zeronull.Text)(&message.UserSendbirdId), &userType, &createTime, &deleteTime,
			&requestedFrom, &message.RequestedBy, (*zeronull.Text)(&message.Message), (*zeronull.Text)(&message.Data),
			&message.Files, (*zeronull.Text)(&message.ExternalId))
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		if message.Id == 0 {
			continue
		}
		message.UserType = pb.UserType(pb.UserType_value["USER_TYPE_"+string(userType)])
		message.CreateTime = timestamppb.New(time.Time(createTime))
		if message.DeleteTime = timestamp(deleteTime); message.DeleteTime != nil {
			message.RequestedFrom = pb.RequestedFrom(pb.RequestedFrom_value["REQUESTED_FROM_"+string(requestedFrom)])
		}
		response.ChatMessages = append(response.ChatMessages, message)
	}
	if err := rows.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if !found {
		return nil, status.Errorf(codes.NotFound, "there is no ticket %d", request.GetTicketId())
	}
	if count := len(response.ChatMessages); count > 0 {
		if last := response.ChatMessages[count-1].MessageId; last < response.TotalSize {
			response.NextPageToken = strconv.FormatInt(last, 10)
		}
	}
	return response, nil
}

func timestamp(value zeronull.Timestamptz) *timestamppb.Timestamp {
	if time.Time(value).IsZero() {
		return nil
	}
	return timestamppb.New(time.Time(value))
}
