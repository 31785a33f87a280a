"""The one call that is compared; the others are answered UNIMPLEMENTED."""

import json

import asyncpg
import grpc
from deskledger.v1 import ticket_pb2
from deskledger.v1.chat_message_pb2 import ChatMessage, File, ListChatMessagesRequest, ListChatMessagesResponse
from deskledger.v1.chat_message_pb2_grpc import ChatMessageServiceServicer

LIST = """
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
    order by m.message_id
"""


class ChatMessages(ChatMessageServiceServicer):
    def __init__(self, pool: asyncpg.Pool, application_key: int) -> None:
        self.pool = pool
        self.application_key = application_key

    async def ListChatMessages(
        self, request: ListChatMessagesRequest, context: grpc.aio.ServicerContext
    ) -> ListChatMessagesResponse:
        limit = request.page_size or 50
        if not 1 <= limit <= 500:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "page_size must be from 1 to 500")
        if request.skip < 0:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "skip must be 0 or greater")
        after = request.skip
        if request.page_token:
            if not request.page_token.isdecimal():
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "page_token is not one of ours")
            after += int(request.page_token)

        rows = await self.pool.fetch(LIST, self.application_key, request.ticket_id, after, limit)
        if not rows:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no ticket {request.ticket_id}")
        total = rows[0]["message_count"]
        # All but the count are null where the ticket has no messages on the page.
        messages = [render(row) for row in rows if row["id"] is not None]
        last = messages[-1].message_id if messages else total
        return ListChatMessagesResponse(
            chat_messages=messages, next_page_token=str(last) if last < total else "", total_size=total
        )


def render(row: asyncpg.Record) -> ChatMessage:
    requested_from = row["requested_from"]
    requested_by = row["requested_by"]
    return ChatMessage(
        id=row["id"],
        message_id=row["message_id"],
        ticket_id=row["ticket_id"],
        user_sendbird_id=row["user_sendbird_id"],
        user_type=f"USER_TYPE_{row['user_type']}",
        create_time=row["create_time"],
        delete_time=row["delete_time"],
        requested_from=requested_from and f"REQUESTED_FROM_{requested_from}",
        requested_by=requested_by and ticket_pb2.Agent(**requested_by),
        message=row["message"],
        data=row["data"],
        files=[File(**file) for file in row["files"]],
        external_id=row["external_id"],
    )


async def decode_json(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
