"""A proxy that cuts one connection at the worst moment: when the service has carried out the call whose bytes hold a marker, and its answer
is on the way. Arguments: the service's address, the marker. Prints its own address. Ends with its standard input."""

import asyncio
import sys

ADDRESS, MARKER = sys.argv[1], sys.argv[2].encode()
HOST, PORT = ADDRESS.rsplit(":", 1)


class Cut:
    """Shared by both directions of all connections: whether the marker went by, and on which connection the answer is to be lost."""

    connection = None
    done = False


async def copy(reader, writer, at_bytes):
    try:
        while data := await reader.read(65536):
            if not at_bytes(data):
                break
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def connected(client_reader, client_writer):
    service_reader, service_writer = await asyncio.open_connection(HOST, PORT)
    connection = object()

    def to_service(data):
        if MARKER in data and not Cut.done:
            Cut.connection, Cut.done = connection, True
        return True

    # A data frame after the marker is the answer; settings, acknowledgements and pings before it pass.
    def to_client(data):
        lost = Cut.connection is connection and b"grpc-status" not in data and len(data) > 60
        if lost:
            Cut.connection = None
            service_writer.close()
        return not lost

    await asyncio.gather(
        copy(client_reader, service_writer, to_service), copy(service_reader, client_writer, to_client)
    )


async def main():
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print("%s:%d" % server.sockets[0].getsockname()[:2], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    sys.exit(0 if Cut.done and Cut.connection is None else "no connection was cut")


asyncio.run(main())
