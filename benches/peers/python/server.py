"""A peer for the benchmarks: ListChatMessages with grpc.aio and an asyncpg pool, one process for each core."""

import asyncio
import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import wait

CONNECTIONS = 16


def serve(workers: int) -> None:
    # grpc must not be loaded before a process is forked.
    import uvloop

    uvloop.run(serve_until_stopped(workers))


async def serve_until_stopped(workers: int) -> None:
    import asyncpg
    import grpc
    from deskledger.v1.chat_message_pb2_grpc import add_ChatMessageServiceServicer_to_server

    from chat_messages import ChatMessages, decode_json

    pool = await asyncpg.create_pool(
        os.environ["PEER_DATABASE_URL"],
        min_size=1,
        max_size=max(1, CONNECTIONS // workers),
        init=decode_json,
    )
    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
    service = ChatMessages(pool, int(os.environ["PEER_APPLICATION_KEY"]))
    add_ChatMessageServiceServicer_to_server(service, server)
    server.add_insecure_port(os.environ["PEER_LISTEN"])
    await server.start()

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await server.stop(grace=1)
    await pool.close()


def main() -> None:
    workers = len(os.sched_getaffinity(0))
    processes = [multiprocessing.Process(target=serve, args=(workers,)) for _ in range(workers)]
    for process in processes:
        process.start()

    def stop(*_: object) -> None:
        for process in processes:
            process.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # A worker that fails takes the whole peer down: half a peer must not be measured.
    wait([process.sentinel for process in processes])
    stop()
    for process in processes:
        process.join()
    sys.exit(max(abs(process.exitcode) for process in processes))


if __name__ == "__main__":
    main()
