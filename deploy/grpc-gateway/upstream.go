package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// maxAnswerBytes is more than any answer has: that to the largest batch repeats its 8 MiB.
const maxAnswerBytes = 16 << 20

// Upstream says where deskledger is and how to speak with it.
type Upstream struct {
	Address     string
	TLS         bool
	CA          string
	Certificate string
	Key         string
	Timeout     time.Duration
}

// dial makes the connection on which all calls go. It connects when it is first needed, and again whenever it must.
func dial(upstream Upstream) (*grpc.ClientConn, error) {
	transport, err := transportCredentials(upstream)
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(upstream.Address,
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)),
		// Finds out about a peer that is gone without a word.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithUnaryInterceptor(withTimeout(upstream.Timeout)),
	)
}

func transportCredentials(upstream Upstream) (credentials.TransportCredentials, error) {
	if !upstream.TLS {
		if upstream.CA != "" || upstream.Certificate != "" || upstream.Key != "" {
			return nil, errors.New("-upstream-ca, -upstream-cert and -upstream-key need -upstream-tls")
		}
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if upstream.CA != "" {
		pem, err := os.ReadFile(upstream.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", upstream.CA)
		}
	}
	if (upstream.Certificate == "") != (upstream.Key == "") {
		return nil, errors.New("-upstream-cert and -upstream-key belong together")
	}
	if upstream.Certificate != "" {
		// Read for each connection, so that a renewed certificate needs no restart.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			certificate, err := tls.LoadX509KeyPair(upstream.Certificate, upstream.Key)
			return &certificate, err
		}
		if _, err := config.GetClientCertificate(nil); err != nil {
			return nil, err
		}
	}
	return credentials.NewTLS(config), nil
}

// withTimeout ends a unary call that takes too long; a stream may take the time that the service gives it.
func withTimeout(timeout time.Duration) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return invoke(ctx, method, request, reply, conn, options...)
	}
}
