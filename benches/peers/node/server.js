// A peer for the benchmarks: ListChatMessages with grpc-js and a pg pool, one worker process for each core.
import cluster from 'node:cluster';
import { availableParallelism } from 'node:os';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import pg from 'pg';
import { lister } from './list.js';

const CONNECTIONS = 16;
const workers = availableParallelism();

if (cluster.isPrimary) {
  for (let i = 0; i < workers; i++) cluster.fork();
  const stop = () => {
    for (const worker of Object.values(cluster.workers)) worker.kill('SIGTERM');
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // A worker that fails takes the whole peer down: half a peer must not be measured.
  cluster.on('exit', (worker, code) => {
    if (code) process.exitCode = code;
    stop();
  });
} else {
  const { PEER_LISTEN, PEER_DATABASE_URL, PEER_APPLICATION_KEY } = process.env;
  const pool = new pg.Pool({
    connectionString: PEER_DATABASE_URL,
    max: Math.max(1, Math.floor(CONNECTIONS / workers)),
    options: '-c timezone=UTC',
  });
  const file = new URL('proto/deskledger/v1/chat_message.proto', import.meta.url).pathname;
  const definition = await protoLoader.load(file, {
    includeDirs: [new URL('proto', import.meta.url).pathname],
    keepCase: true,
    enums: String,
    longs: Number,
    defaults: true,
  });
  const { ChatMessageService } = grpc.loadPackageDefinition(definition).deskledger.v1;

  const server = new grpc.Server();
  server.addService(ChatMessageService.service, {
    ListChatMessages: lister(pool, Number(PEER_APPLICATION_KEY)),
  });
  server.bindAsync(PEER_LISTEN, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error) throw error;
  });
  const stop = () => server.tryShutdown(() => pool.end().then(() => process.exit()));
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}
