"""Shows how a Python program works with deskledger: pages, refusals, deadlines, and calls that may be repeated."""

import json
import os
import sys
import time
import uuid

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from deskledger.v1 import chat_message_pb2, chat_message_pb2_grpc
from deskledger.v1 import deletion_log_pb2, deletion_log_pb2_grpc
from deskledger.v1 import ticket_pb2, ticket_pb2_grpc

# Repeats a call that did not get through, within its deadline. That is safe here because every call that changes something has a
# request_id: whatever happened to the first attempt, the effect happens once.
SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


class Calls(grpc.UnaryUnaryClientInterceptor):
    """Puts the token on every call, and the time that is left until a deadline."""

    def __init__(self, token: str, seconds: float):
        self.metadata = (("authorization", f"Bearer {token}"),)
        self.deadline = time.monotonic() + seconds

    def intercept_unary_unary(self, continuation, details, request):
        left = max(self.deadline - time.monotonic(), 0)
        return continuation(details._replace(metadata=self.metadata, timeout=left), request)


def error_info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo | None:
    """What the service says about why it refused; None where the error is no refusal of the service's."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == "deskledger":
            return info
    return None


def pages(call, request):
    """The pages of a list, from the first to the last."""
    while True:
        page = call(request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def request_id() -> str:
    return str(uuid.uuid4())


def run(channel: grpc.Channel) -> None:
    tickets = ticket_pb2_grpc.TicketServiceStub(channel)
    messages = chat_message_pb2_grpc.ChatMessageServiceStub(channel)
    logs = deletion_log_pb2_grpc.DeletionLogServiceStub(channel)

    ticket = ticket_pb2.Ticket(customer=ticket_pb2.Customer(sendbird_id="ada"))
    ticket = tickets.CreateTicket(ticket_pb2.CreateTicketRequest(ticket=ticket, request_id=request_id())).ticket
    for number in range(1, 6):
        message = chat_message_pb2.ChatMessage(
            user_type=ticket_pb2.USER_TYPE_CUSTOMER, user_sendbird_id="ada", message=f"Message {number}"
        )
        messages.CreateChatMessage(
            chat_message_pb2.CreateChatMessageRequest(ticket_id=ticket.id, chat_message=message, request_id=request_id())
        )

    listed = list(
        pages(messages.ListChatMessages, chat_message_pb2.ListChatMessagesRequest(ticket_id=ticket.id, page_size=2))
    )
    ids = [message.id for page in listed for message in page.chat_messages]
    print(f"ticket {ticket.id}: {len(ids)} messages in {len(listed)} pages")

    deletion = chat_message_pb2.DeleteChatMessageRequest(
        ticket_id=ticket.id,
        id=ids[0],
        reason=deletion_log_pb2.DELETION_REASON_PRIVACY_REQUEST,
        wait_for_receipt=duration_pb2.Duration(seconds=5),
        request_id=request_id(),
    )
    try:
        deleted = messages.DeleteChatMessage(deletion)
    except grpc.RpcError as error:
        # The reason says what is the matter; the text is for people and may change.
        info = error_info(error)
        if info is None or info.reason != "TICKET_NOT_CLOSED":
            raise
        print(f"refused: {info.reason}, ticket {info.metadata['ticket_id']} is {info.metadata['status']}")
        tickets.CloseTicket(ticket_pb2.CloseTicketRequest(id=ticket.id, request_id=request_id()))
        deleted = messages.DeleteChatMessage(deletion)
    print(f"deleted: log entry {deleted.deletion_log.id}")
    if not deleted.receipt:
        raise TimeoutError("the receipt was not there in time: GetReceipt answers it later")
    print(f"receipt: {deleted.receipt.splitlines()[0]}")

    # As after a broken connection, when nobody knows what became of the call.
    print(f"repeated: log entry {messages.DeleteChatMessage(deletion).deletion_log.id}")

    messages.DeleteChatMessage(
        chat_message_pb2.DeleteChatMessageRequest(ticket_id=ticket.id, id=ids[1], request_id=request_id())
    )
    in_ticket = deletion_log_pb2.DeletionLogFilter(ticket_id=ticket.id)
    listed = list(pages(logs.ListDeletionLogs, deletion_log_pb2.ListDeletionLogsRequest(filter=in_ticket, page_size=1)))
    print(f"log: {sum(len(page.deletion_logs) for page in listed)} entries in {len(listed)} pages")


def main() -> None:
    token = os.environ.get("TOKEN") or sys.exit("TOKEN is not set")
    address = os.environ.get("ADDRESS", "127.0.0.1:50051")
    options = [("grpc.service_config", json.dumps(SERVICE_CONFIG))]
    # With TLS: grpc.secure_channel(address, grpc.ssl_channel_credentials(), options)
    with grpc.insecure_channel(address, options) as channel:
        run(grpc.intercept_channel(channel, Calls(token, seconds=30)))


if __name__ == "__main__":
    main()
