"""Lets SDKs that speak WebSocket reach a server over QUIC, through a QUIC implementation that is not ours: each WebSocket gets a
connection of its own, raw or WebTransport, and what comes on one goes out on the other.

Usage: bridge.py raw|webtransport HOST:PORT CERTIFICATE.pem. Says where it is ready, and ends when its standard input does."""

import asyncio
import sys

from aioquic.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from support.quic import Raw, WebTransport, configuration

CARRIERS = {"raw": Raw, "webtransport": WebTransport}
PROTOBUF = "centrifuge-protobuf"
# A code between a bridge and its client: the connection on the other side is lost.
LOST = 4000


def is_protobuf(websocket):
    return websocket.subprotocol == PROTOBUF or "protobuf" in websocket.request.path


def choose(_, offered):
    """Who offers nothing speaks JSON."""
    return PROTOBUF if PROTOBUF in offered else None


async def carry(websocket, carrier, host, port, certificate):
    protobuf = is_protobuf(websocket)
    config = configuration(carrier.ALPN, certificate)
    try:
        async with connect(host, port, configuration=config, create_protocol=carrier) as quic:
            await quic.begin(host, port, protobuf)
            up = asyncio.ensure_future(go_up(websocket, quic, protobuf))
            down = asyncio.ensure_future(go_down(websocket, quic, protobuf))
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            for task in (up, down):
                task.cancel()
    except (ConnectionError, asyncio.TimeoutError):
        pass
    await websocket.close(LOST)


async def go_up(websocket, quic, protobuf):
    try:
        async for frame in websocket:
            data = frame.encode() if isinstance(frame, str) else frame
            quic.say(data if protobuf else data.rstrip(b"\n") + b"\n")
    except ConnectionClosed:
        pass


async def go_down(websocket, quic, protobuf):
    rest = b""
    try:
        while data := await quic.hear():
            rest += data
            whole, rest = split(rest, protobuf)
            if whole:
                await websocket.send(whole if protobuf else whole.rstrip(b"\n").decode())
    except ConnectionClosed:
        pass


def split(data, protobuf):
    """The whole messages at the beginning, and what is left."""
    if not protobuf:
        end = data.rfind(b"\n") + 1
        return data[:end], data[end:]
    end = 0
    while led := length(data, end):
        header, size = led
        if len(data) < end + header + size:
            break
        end += header + size
    return data[:end], data[end:]


def length(data, at):
    """How long the length is that stands there, and what it is."""
    value = 0
    for place in range(5):
        if at + place >= len(data):
            return None
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return place + 1, value
    raise ValueError("no length")


async def main(kind, server, certificate):
    host, port = server.rsplit(":", 1)

    async def handle(websocket):
        await carry(websocket, CARRIERS[kind], host, int(port), certificate)

    options = {"select_subprotocol": choose, "max_size": None, "ping_interval": None}
    async with serve(handle, "127.0.0.1", 0, **options) as bridge:
        print(f"bridge is ready on 127.0.0.1:{bridge.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
