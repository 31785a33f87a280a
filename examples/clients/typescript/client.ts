// Shows how a TypeScript program works with deskledger: pages, refusals, deadlines, and calls that may be repeated.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { ChatMessageService } from "./gen/deskledger/v1/chat_message_pb.js";
import { DeletionLogService, DeletionReason } from "./gen/deskledger/v1/deletion_log_pb.js";
import { TicketService, UserType } from "./gen/deskledger/v1/ticket_pb.js";
import { type ErrorInfo, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";

/** Puts an application's token on every call. */
function bearer(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("Authorization", `Bearer ${token}`);
    return next(request);
  };
}

/** What connect-node calls it when the service or the connection is gone: refused, reset, or closed under the call. */
const LOST = [Code.Unavailable, Code.Aborted, Code.Canceled];

/**
 * Repeats a call that did not get through, within its deadline. That is safe here because every call that changes something has a
 * request_id: whatever happened to the first attempt, the effect happens once.
 */
function retry(attempts: number): Interceptor {
  return (next) => async (request) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await next(request);
      } catch (error) {
        const lost = LOST.includes(ConnectError.from(error).code) && !request.signal.aborted;
        if (request.stream || attempt === attempts || !lost) {
          throw error;
        }
        await sleep(Math.random() * 100 * 2 ** attempt, undefined, { signal: request.signal });
      }
    }
  };
}

/** What the service says about why it refused; undefined where the error is no refusal of the service's. */
function errorInfo(error: unknown): ErrorInfo | undefined {
  return ConnectError.from(error)
    .findDetails(ErrorInfoSchema)
    .find((info) => info.domain === "deskledger");
}

/** The pages of a list, from the first to the last. */
async function pages<Page extends { nextPageToken: string }>(list: (pageToken: string) => Promise<Page>): Promise<Page[]> {
  const all: Page[] = [];
  let pageToken = "";
  do {
    const page = await list(pageToken);
    all.push(page);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return all;
}

const token = process.env.TOKEN;
if (!token) {
  throw new Error("TOKEN is not set");
}
const transport = createGrpcTransport({
  baseUrl: `http://${process.env.ADDRESS ?? "127.0.0.1:50051"}`, // with TLS: https://
  interceptors: [bearer(token), retry(4)],
  defaultTimeoutMs: 10_000, // each call's deadline; the service gets it too
});
const tickets = createClient(TicketService, transport);
const messages = createClient(ChatMessageService, transport);
const logs = createClient(DeletionLogService, transport);

const { ticket } = await tickets.createTicket({ ticket: { customer: { sendbirdId: "ada" } }, requestId: randomUUID() });
const ticketId = ticket!.id;
for (let number = 1; number <= 5; number++) {
  const chatMessage = { userType: UserType.CUSTOMER, userSendbirdId: "ada", message: `Message ${number}` };
  await messages.createChatMessage({ ticketId, chatMessage, requestId: randomUUID() });
}

const listed = await pages((pageToken) => messages.listChatMessages({ ticketId, pageSize: 2, pageToken }));
const ids = listed.flatMap((page) => page.chatMessages.map((message) => message.id));
console.log(`ticket ${ticketId}: ${ids.length} messages in ${listed.length} pages`);

const deletion = {
  ticketId,
  id: ids[0],
  reason: DeletionReason.PRIVACY_REQUEST,
  waitForReceipt: durationFromMs(5_000),
  requestId: randomUUID(),
};
const deleted = await messages.deleteChatMessage(deletion).catch(async (error: unknown) => {
  // The reason says what is the matter; the text is for people and may change.
  const info = errorInfo(error);
  if (info?.reason !== "TICKET_NOT_CLOSED") {
    throw error;
  }
  console.log(`refused: ${info.reason}, ticket ${info.metadata.ticket_id} is ${info.metadata.status}`);
  await tickets.closeTicket({ id: ticketId, requestId: randomUUID() });
  return messages.deleteChatMessage(deletion);
});
console.log(`deleted: log entry ${deleted.deletionLog?.id}`);
if (deleted.receipt === "") {
  throw new Error("the receipt was not there in time: getReceipt answers it later");
}
console.log(`receipt: ${deleted.receipt.split("\n")[0]}`);

// As after a broken connection, when nobody knows what became of the call.
const again = await messages.deleteChatMessage(deletion);
console.log(`repeated: log entry ${again.deletionLog?.id}`);

await messages.deleteChatMessage({ ticketId, id: ids[1], requestId: randomUUID() });
const logged = await pages((pageToken) => logs.listDeletionLogs({ filter: { ticketId }, pageSize: 1, pageToken }));
console.log(`log: ${logged.flatMap((page) => page.deletionLogs).length} entries in ${logged.length} pages`);
