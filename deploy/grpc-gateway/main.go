// Command grpc-gateway serves deskledger's gRPC API as HTTP and JSON: the paths of the google.api.http options in proto/deskledger/v1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

//go:generate buf generate

// How long parts of an HTTP request and its answer may take. An answer's limit begins anew with each piece, so that an export may last.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 60 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 120 * time.Second
)

// Settings are all that an operator chooses.
type Settings struct {
	Listen   string
	Upstream Upstream
	// How long calls in flight are given to end when the gateway stops.
	Drain time.Duration
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "grpc-gateway:", err)
		os.Exit(1)
	}
}

func run() error {
	settings, err := settings(os.Args[1:], os.LookupEnv)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	conn, err := dial(settings.Upstream)
	if err != nil {
		return err
	}
	defer conn.Close()
	handler, err := gateway(ctx, conn)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", settings.Listen)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
	}
	slog.Info("listening", "address", listener.Addr().String(), "upstream", settings.Upstream.Address)
	return serve(ctx, server, listener, settings.Drain)
}

// serve answers until the context ends, then takes no new connections and waits for the calls in flight.
func serve(ctx context.Context, server *http.Server, listener net.Listener, drain time.Duration) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	slog.Info("stopping", "drain", drain.String())
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("calls were still in flight after %s: %w", drain, errors.Join(err, server.Close()))
	}
	return nil
}

// settings reads the flags. An environment variable, DESKLEDGER_GATEWAY_ and the flag's name, stands for a flag that is not given.
func settings(arguments []string, environment func(string) (string, bool)) (Settings, error) {
	var chosen Settings
	flags := flag.NewFlagSet("grpc-gateway", flag.ContinueOnError)
	flags.StringVar(&chosen.Listen, "listen", "127.0.0.1:8080", "address and port to listen on; port 0 takes a free one and logs it")
	flags.DurationVar(&chosen.Drain, "drain", 20*time.Second, "how long calls in flight are given to end when the gateway stops")
	upstream := &chosen.Upstream
	flags.StringVar(&upstream.Address, "upstream", "127.0.0.1:50051", "address and port of deskledger; dns:///name:port balances over its addresses")
	flags.BoolVar(&upstream.TLS, "upstream-tls", false, "speak TLS with deskledger")
	flags.StringVar(&upstream.CA, "upstream-ca", "", "PEM `file` of the authorities that deskledger's certificate may come from (default: the system's)")
	flags.StringVar(&upstream.Certificate, "upstream-cert", "", "PEM `file` of the client certificate to show to deskledger")
	flags.StringVar(&upstream.Key, "upstream-key", "", "PEM `file` of the client certificate's key")
	flags.DurationVar(&upstream.Timeout, "upstream-timeout", 35*time.Second, "how long a call may take, exports apart; a caller's Grpc-Timeout may be shorter")

	var wrong error
	flags.VisitAll(func(f *flag.Flag) {
		name := "DESKLEDGER_GATEWAY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		f.Usage += " [" + name + "]"
		if value, ok := environment(name); ok {
			if err := flags.Set(f.Name, value); err != nil {
				wrong = errors.Join(wrong, fmt.Errorf("%s: %w", name, err))
			}
		}
	})
	if wrong != nil {
		fmt.Fprintln(flags.Output(), wrong)
		return chosen, wrong
	}
	if err := flags.Parse(arguments); err != nil {
		return chosen, err
	}
	if flags.NArg() > 0 {
		err := fmt.Errorf("unknown argument %q", flags.Arg(0))
		fmt.Fprintln(flags.Output(), err)
		return chosen, err
	}
	return chosen, nil
}
