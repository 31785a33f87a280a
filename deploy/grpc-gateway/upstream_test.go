package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// certificate makes a self-signed certificate for 127.0.0.1 and writes it with its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// secured starts a server that speaks TLS, wants a client certificate, and has health only; answers its address.
func secured(t *testing.T, certFile, keyFile string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(pair.Leaf)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	})))
	healthpb.RegisterHealthServer(server, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// healthStatus is what a gateway in front of the upstream answers at /healthz.
func healthStatus(t *testing.T, upstream Upstream) int {
	t.Helper()
	upstream.Timeout = 10 * time.Second
	conn, err := dial(upstream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	handler, err := gateway(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest("GET", "/healthz", nil))
	return recorder.Code
}

func TestTheUpstreamsCertificateIsChecked(t *testing.T) {
	certFile, keyFile := certificate(t)
	other, _ := certificate(t)
	address := secured(t, certFile, keyFile)
	if got := healthStatus(t, Upstream{Address: address, TLS: true, CA: certFile, Certificate: certFile, Key: keyFile}); got != http.StatusOK {
		t.Errorf("with the right authority: %d", got)
	}
	if got := healthStatus(t, Upstream{Address: address, TLS: true, CA: other, Certificate: certFile, Key: keyFile}); got != http.StatusServiceUnavailable {
		t.Errorf("with another authority: %d", got)
	}
	if got := healthStatus(t, Upstream{Address: address, TLS: true, CA: certFile}); got != http.StatusServiceUnavailable {
		t.Errorf("without a client certificate: %d", got)
	}
	if got := healthStatus(t, Upstream{Address: address}); got != http.StatusServiceUnavailable {
		t.Errorf("without TLS: %d", got)
	}
}

func TestSettingsComeFromFlagsAndEnvironment(t *testing.T) {
	environment := func(name string) (string, bool) {
		value, ok := map[string]string{"DESKLEDGER_GATEWAY_UPSTREAM": "a:1", "DESKLEDGER_GATEWAY_UPSTREAM_TLS": "true"}[name]
		return value, ok
	}
	chosen, err := settings([]string{"-upstream", "b:2"}, environment)
	if err != nil || chosen.Upstream.Address != "b:2" || !chosen.Upstream.TLS || chosen.Listen != "127.0.0.1:8080" {
		t.Fatalf("%+v, %v", chosen, err)
	}
	if _, err := settings(nil, func(name string) (string, bool) { return "soon", name == "DESKLEDGER_GATEWAY_DRAIN" }); err == nil {
		t.Fatal("a wrong duration was taken")
	}
	if _, err := dial(Upstream{Address: "a:1", CA: "ca.pem"}); err == nil {
		t.Fatal("an authority without TLS was taken")
	}
}
