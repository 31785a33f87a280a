// A peer for the benchmarks: ListChatMessages with grpc-go and a pgx pool.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"

	pb "deskledger.dev/gen/deskledger/v1"
)

func main() {
	applicationKey, err := strconv.ParseInt(os.Getenv("PEER_APPLICATION_KEY"), 10, 32)
	if err != nil {
		log.Fatalf("PEER_APPLICATION_KEY: %v", err)
	}
	config, err := pgxpool.ParseConfig(os.Getenv("PEER_DATABASE_URL"))
	if err != nil {
		log.Fatalf("PEER_DATABASE_URL: %v", err)
	}
	config.MaxConns = 16

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	listener, err := net.Listen("tcp", os.Getenv("PEER_LISTEN"))
	if err != nil {
		log.Fatalf("PEER_LISTEN: %v", err)
	}

	server := grpc.NewServer()
	pb.RegisterChatMessageServiceServer(server, &chatMessages{pool: pool, applicationKey: int32(applicationKey)})
	context.AfterFunc(ctx, server.GracefulStop)
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
