package main

import (
	"context"
	_ "embed"
	"math"
	"net/http"
	"net/textproto"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/grpclog"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	deskledgerv1 "deskledger.dev/grpc-gateway/gen/deskledger/v1"
)

// maxRequestBytes is twice what the service takes at once: JSON is longer than protobuf.
const maxRequestBytes = 16 << 20

//go:embed gen/deskledger.swagger.json
var openAPI []byte

// forwarded are the request headers that go to the service under their own names. Authorization always does.
var forwarded = map[string]string{
	"Sendbirddeskapitoken": "sendbirddeskapitoken",
	"X-Request-Id":         "x-request-id",
	"Traceparent":          "traceparent",
	"Tracestate":           "tracestate",
}

// gateway makes the handler of everything that is served: the API, /openapi.json, /livez for the gateway itself and /healthz for it with
// the service behind it.
func gateway(ctx context.Context, conn *grpc.ClientConn) (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithIncomingHeaderMatcher(toService),
		runtime.WithOutgoingHeaderMatcher(toCaller),
		runtime.WithErrorHandler(writeError),
		runtime.WithStreamErrorHandler(streamError),
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{Marshaler: &runtime.JSONPb{
			MarshalOptions: protojson.MarshalOptions{EmitUnpopulated: true},
			// A misspelt field is refused, not passed over: it might be the request_id.
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
		}}),
		runtime.WithHealthzEndpoint(healthpb.NewHealthClient(conn)),
	)
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		deskledgerv1.RegisterTicketServiceHandler,
		deskledgerv1.RegisterChatMessageServiceHandler,
		deskledgerv1.RegisterDeletionLogServiceHandler,
		deskledgerv1.RegisterIngestServiceHandler,
	} {
		if err := register(ctx, mux, conn); err != nil {
			return nil, err
		}
	}
	root := http.NewServeMux()
	root.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	root.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(openAPI)
	})
	root.Handle("/", mux)
	return http.MaxBytesHandler(bounded(root), maxRequestBytes), nil
}

func toService(header string) (string, bool) {
	name, ok := forwarded[textproto.CanonicalMIMEHeaderKey(header)]
	return name, ok
}

func toCaller(name string) (string, bool) {
	return "X-Request-Id", name == "x-request-id"
}

// writeError answers with the google.rpc.Status as JSON, its details by their types, and says in headers what HTTP has headers for.
func writeError(_ context.Context, _ *runtime.ServeMux, marshaler runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	answer := public(err)
	header := w.Header()
	for _, detail := range answer.Details() {
		switch detail := detail.(type) {
		case *errdetails.RetryInfo:
			header.Set("Retry-After", strconv.Itoa(int(math.Ceil(detail.GetRetryDelay().AsDuration().Seconds()))))
		case *errdetails.RequestInfo:
			header.Set("X-Request-Id", detail.GetRequestId())
		}
	}
	if answer.Code() == codes.Unauthenticated {
		header.Set("WWW-Authenticate", "Bearer")
	}
	body, err := marshaler.Marshal(answer.Proto())
	if err != nil {
		grpclog.Errorf("an error's details cannot be written: %v", err)
		http.Error(w, `{"code": 13, "message": "The error cannot be written as JSON."}`, http.StatusInternalServerError)
		return
	}
	header.Set("Content-Type", marshaler.ContentType(answer.Proto()))
	w.WriteHeader(runtime.HTTPStatusFromCode(answer.Code()))
	if _, err := w.Write(body); err != nil {
		grpclog.Infof("an error could not be sent: %v", err)
	}
}

func streamError(_ context.Context, err error) *status.Status {
	return public(err)
}

// public is what a caller may read of an error. One that the connection made names addresses; those of the service have details.
func public(err error) *status.Status {
	found := status.Convert(err)
	if found.Code() == codes.Unavailable && len(found.Details()) == 0 {
		grpclog.Errorf("the service cannot be reached: %s", found.Message())
		return status.New(codes.Unavailable, "The service cannot be reached.")
	}
	return found
}

// bounded gives each piece of an answer its time, so that a caller who does not read holds nothing for long.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&boundedWriter{w, http.NewResponseController(w)}, r)
	})
}

type boundedWriter struct {
	http.ResponseWriter
	controller *http.ResponseController
}

func (w *boundedWriter) Write(piece []byte) (int, error) {
	if err := w.controller.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(piece)
}

// Unwrap lets a stream flush its pieces.
func (w *boundedWriter) Unwrap() http.ResponseWriter {
	return w.ResponseWriter
}
