package dev.deskledger.example;

import com.google.protobuf.Duration;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import dev.deskledger.v1.ChatMessage;
import dev.deskledger.v1.ChatMessageServiceGrpc;
import dev.deskledger.v1.CloseTicketRequest;
import dev.deskledger.v1.CreateChatMessageRequest;
import dev.deskledger.v1.CreateTicketRequest;
import dev.deskledger.v1.Customer;
import dev.deskledger.v1.DeleteChatMessageRequest;
import dev.deskledger.v1.DeleteChatMessageResponse;
import dev.deskledger.v1.DeletionLogFilter;
import dev.deskledger.v1.DeletionLogServiceGrpc;
import dev.deskledger.v1.DeletionReason;
import dev.deskledger.v1.ListChatMessagesRequest;
import dev.deskledger.v1.ListDeletionLogsRequest;
import dev.deskledger.v1.Ticket;
import dev.deskledger.v1.TicketServiceGrpc;
import dev.deskledger.v1.UserType;
import io.grpc.CallCredentials;
import io.grpc.Channel;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/** Shows how a Java program works with deskledger: pages, refusals, deadlines, and calls that may be repeated. */
public final class Client {
  /**
   * Repeats a call that did not get through, within its deadline. That is safe here because every call that changes something has a
   * request_id: whatever happened to the first attempt, the effect happens once.
   */
  private static final Map<String, ?> SERVICE_CONFIG =
      Map.of(
          "methodConfig",
          List.of(
              Map.of(
                  "name",
                  List.of(Map.of()),
                  "retryPolicy",
                  Map.of(
                      "maxAttempts", 4.0,
                      "initialBackoff", "0.1s",
                      "maxBackoff", "2s",
                      "backoffMultiplier", 2.0,
                      "retryableStatusCodes", List.of("UNAVAILABLE")))));

  private final TicketServiceGrpc.TicketServiceBlockingStub tickets;
  private final ChatMessageServiceGrpc.ChatMessageServiceBlockingStub messages;
  private final DeletionLogServiceGrpc.DeletionLogServiceBlockingStub logs;

  private Client(Channel channel, CallCredentials token) {
    // One deadline for all calls of these stubs; it goes to the service with each.
    tickets = TicketServiceGrpc.newBlockingStub(channel).withCallCredentials(token).withDeadlineAfter(30, TimeUnit.SECONDS);
    messages = ChatMessageServiceGrpc.newBlockingStub(channel).withCallCredentials(token).withDeadlineAfter(30, TimeUnit.SECONDS);
    logs = DeletionLogServiceGrpc.newBlockingStub(channel).withCallCredentials(token).withDeadlineAfter(30, TimeUnit.SECONDS);
  }

  public static void main(String[] arguments) throws InterruptedException {
    String token = System.getenv("TOKEN");
    if (token == null) {
      throw new IllegalStateException("TOKEN is not set");
    }
    String address = System.getenv().getOrDefault("ADDRESS", "127.0.0.1:50051");
    ManagedChannel channel =
        Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()) // with TLS: TlsChannelCredentials.create()
            .defaultServiceConfig(SERVICE_CONFIG)
            .enableRetry()
            .build();
    try {
      new Client(channel, new Bearer(token)).run();
    } finally {
      channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  private void run() {
    long ticketId =
        tickets
            .createTicket(
                CreateTicketRequest.newBuilder()
                    .setTicket(Ticket.newBuilder().setCustomer(Customer.newBuilder().setSendbirdId("ada")))
                    .setRequestId(requestId())
                    .build())
            .getTicket()
            .getId();
    for (int number = 1; number <= 5; number++) {
      messages.createChatMessage(
          CreateChatMessageRequest.newBuilder()
              .setTicketId(ticketId)
              .setChatMessage(
                  ChatMessage.newBuilder()
                      .setUserType(UserType.USER_TYPE_CUSTOMER)
                      .setUserSendbirdId("ada")
                      .setMessage("Message " + number))
              .setRequestId(requestId())
              .build());
    }

    List<Long> ids = new ArrayList<>();
    int pages = 0;
    String pageToken = "";
    do {
      var page =
          messages.listChatMessages(
              ListChatMessagesRequest.newBuilder().setTicketId(ticketId).setPageSize(2).setPageToken(pageToken).build());
      page.getChatMessagesList().forEach(message -> ids.add(message.getId()));
      pageToken = page.getNextPageToken();
      pages++;
    } while (!pageToken.isEmpty());
    System.out.printf("ticket %d: %d messages in %d pages%n", ticketId, ids.size(), pages);

    var deletion =
        DeleteChatMessageRequest.newBuilder()
            .setTicketId(ticketId)
            .setId(ids.get(0))
            .setReason(DeletionReason.DELETION_REASON_PRIVACY_REQUEST)
            .setWaitForReceipt(Duration.newBuilder().setSeconds(5))
            .setRequestId(requestId())
            .build();
    DeleteChatMessageResponse deleted;
    try {
      deleted = messages.deleteChatMessage(deletion);
    } catch (StatusRuntimeException error) {
      // The reason says what is the matter; the text is for people and may change.
      ErrorInfo info = errorInfo(error).filter(found -> found.getReason().equals("TICKET_NOT_CLOSED")).orElseThrow(() -> error);
      System.out.printf(
          "refused: %s, ticket %s is %s%n", info.getReason(), info.getMetadataOrThrow("ticket_id"), info.getMetadataOrThrow("status"));
      tickets.closeTicket(CloseTicketRequest.newBuilder().setId(ticketId).setRequestId(requestId()).build());
      deleted = messages.deleteChatMessage(deletion);
    }
    System.out.printf("deleted: log entry %d%n", deleted.getDeletionLog().getId());
    String receipt = deleted.getReceipt();
    if (receipt.isEmpty()) {
      throw new IllegalStateException("the receipt was not there in time: GetReceipt answers it later");
    }
    System.out.printf("receipt: %s%n", receipt.lines().findFirst().orElseThrow());

    // As after a broken connection, when nobody knows what became of the call.
    System.out.printf("repeated: log entry %d%n", messages.deleteChatMessage(deletion).getDeletionLog().getId());

    messages.deleteChatMessage(
        DeleteChatMessageRequest.newBuilder().setTicketId(ticketId).setId(ids.get(1)).setRequestId(requestId()).build());
    int entries = 0;
    pages = 0;
    do {
      var page =
          logs.listDeletionLogs(
              ListDeletionLogsRequest.newBuilder()
                  .setFilter(DeletionLogFilter.newBuilder().setTicketId(ticketId))
                  .setPageSize(1)
                  .setPageToken(pageToken)
                  .build());
      entries += page.getDeletionLogsCount();
      pageToken = page.getNextPageToken();
      pages++;
    } while (!pageToken.isEmpty());
    System.out.printf("log: %d entries in %d pages%n", entries, pages);
  }

  /** What the service says about why it refused; empty where the error is no refusal of the service's. */
  private static Optional<ErrorInfo> errorInfo(StatusRuntimeException error) {
    for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        try {
          return Optional.of(detail.unpack(ErrorInfo.class)).filter(info -> info.getDomain().equals("deskledger"));
        } catch (InvalidProtocolBufferException broken) {
          throw new IllegalArgumentException(broken);
        }
      }
    }
    return Optional.empty();
  }

  private static String requestId() {
    return UUID.randomUUID().toString();
  }

  /** Puts an application's token on every call. */
  private static final class Bearer extends CallCredentials {
    private static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private final Metadata headers = new Metadata();

    Bearer(String token) {
      headers.put(AUTHORIZATION, "Bearer " + token);
    }

    @Override
    public void applyRequestMetadata(RequestInfo call, Executor executor, MetadataApplier applier) {
      applier.apply(headers);
    }
  }
}
