"""`websockets`, a WebSocket peer written by others, against the server's framing and handshake."""

import asyncio
import json

import pytest
import websockets

from support import token


def url(server, query=""):
    return f"ws://{server.address}/connection/websocket{query}"


def connect_command():
    return json.dumps({"id": 1, "connect": {"token": token.of("anna")}})


async def test_the_offered_subprotocol_is_chosen(server):
    for offered in (["centrifuge-json"], ["centrifuge-protobuf"], ["unknown", "centrifuge-json"]):
        async with websockets.connect(url(server), subprotocols=offered, proxy=None) as peer:
            assert peer.subprotocol == offered[-1]
    async with websockets.connect(url(server), proxy=None) as peer:
        assert peer.subprotocol is None


async def test_pings_are_answered(server):
    async with websockets.connect(url(server), proxy=None) as peer:
        pong = await peer.ping(b"are you there")
        await asyncio.wait_for(pong, 10)


async def test_fragmented_commands_are_answered(server):
    async with websockets.connect(url(server), proxy=None) as peer:
        command = connect_command()
        await peer.send([command[:10], command[10:20], command[20:]])
        reply = json.loads(await asyncio.wait_for(peer.recv(), 10))
        assert reply["id"] == 1 and "connect" in reply


async def test_protobuf_is_binary_and_length_delimited(server):
    async with websockets.connect(url(server, "?format=protobuf"), proxy=None) as peer:
        # A connect command with id 1 and no token: closed as a bad request, which shows that it was understood.
        await peer.send(bytes([4, 8, 1, 0x22, 0]))
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(peer.recv(), 10)
        assert closed.value.rcvd.code == 3501


async def test_a_close_is_answered(server):
    peer = await websockets.connect(url(server), proxy=None)
    await peer.close(1000, "bye")
    assert peer.close_code == 1000


async def test_a_message_that_is_too_large_is_refused_as_such(server):
    async with websockets.connect(url(server), proxy=None) as peer:
        await peer.send("x" * 65537)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(peer.recv(), 10)
        assert closed.value.rcvd.code == 1009


async def test_another_origin_is_refused(server):
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(url(server), origin="https://elsewhere.example", proxy=None)
    assert refused.value.response.status_code == 403
