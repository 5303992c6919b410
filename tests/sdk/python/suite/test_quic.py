"""`aioquic`, a QUIC implementation written by others, raw and with WebTransport."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from aioquic.asyncio.client import connect
from centrifuge.protocol import client_pb2 as protocol
from google.protobuf.internal.decoder import _DecodeVarint as read_length
from google.protobuf.internal.encoder import _VarintBytes as length

import certificate
from support import token
from support.quic import Raw, WebTransport, configuration
from support.server import ROSA, Server

WAIT_S = 10


@pytest.fixture(scope="module")
def server():
    server = Server()
    certificate.make(server.folder)
    server.set(
        listen__quic_address="127.0.0.1:0",
        listen__tls_certificate=server.folder / "chain.pem",
        listen__tls_key=server.folder / "key.pem",
    )
    server.run("import", str(ROSA), "--apply")
    server.start()
    yield server
    server.remove()


@asynccontextmanager
async def over(server, carrier, protobuf=False, **named):
    host, port = server.quic.split(":")
    config = configuration(carrier.ALPN, server.folder / "chain.pem")
    async with connect(host, int(port), configuration=config, create_protocol=carrier) as quic:
        await quic.begin(host, int(port), protobuf, **named)
        yield quic


class Lines:
    """Speaks JSON."""

    def __init__(self, quic):
        self.quic, self.rest, self.replies = quic, b"", []

    def say(self, command):
        self.quic.say(json.dumps(command).encode() + b"\n")

    async def hear(self):
        while not self.replies:
            self.rest += await asyncio.wait_for(self.quic.hear(), WAIT_S)
            *lines, self.rest = self.rest.split(b"\n")
            self.replies += [json.loads(line) for line in lines]
        return self.replies.pop(0)

    async def ask(self, id, **request):
        """The answer to a command; pushes before it are dropped."""
        self.say({"id": id, **request})
        while (reply := await self.hear()).get("id") != id:
            pass
        return reply


class Messages:
    """Speaks Protobuf."""

    def __init__(self, quic):
        self.quic, self.rest = quic, b""

    def say(self, command):
        message = command.SerializeToString()
        self.quic.say(length(len(message)) + message)

    async def hear(self):
        while True:
            try:
                size, begin = read_length(self.rest, 0)
                if len(self.rest) >= begin + size:
                    reply = protocol.Reply.FromString(self.rest[begin : begin + size])
                    self.rest = self.rest[begin + size :]
                    return reply
            except IndexError:
                pass
            self.rest += await asyncio.wait_for(self.quic.hear(), WAIT_S)


async def test_an_app_connects_subscribes_publishes_and_hears(server):
    async with over(server, Raw) as quic:
        app = Messages(quic)
        app.say(protocol.Command(id=1, connect=protocol.ConnectRequest(token=token.of("anna"))))
        assert (await app.hear()).connect.client
        app.say(protocol.Command(id=2, subscribe=protocol.SubscribeRequest(channel="kept:quic")))
        assert (await app.hear()).id == 2
        app.say(protocol.Command(id=3, publish=protocol.PublishRequest(channel="kept:quic", data=b"1")))
        replies = [await app.hear(), await app.hear()]
        assert any(reply.id == 3 for reply in replies)
        assert any(reply.push.pub.data == b"1" and reply.push.pub.offset == 1 for reply in replies)


async def test_a_refusal_comes_as_a_push_and_as_the_code_that_closes(server):
    async with over(server, Raw) as quic:
        app = Messages(quic)
        app.say(protocol.Command(id=1, connect=protocol.ConnectRequest()))
        assert (await app.hear()).push.disconnect.code == 3501
        await asyncio.wait_for(quic.wait_closed(), WAIT_S)
        assert quic.close_code == 3501


async def test_a_browser_connects_calls_and_recovers_what_it_missed(server):
    async with over(server, WebTransport) as quic:
        page = Lines(quic)
        assert "client" in (await page.ask(1, connect={"token": token.of("rosa")}))["connect"]
        answer = await page.ask(2, rpc={"method": "session.start", "data": {}})
        assert answer["rpc"]["data"]["screens"][0]["unit"] == "Klokkeby Skole"
        place = (await page.ask(3, subscribe={"channel": "kept:missed", "recover": True}))["subscribe"]
        await page.ask(4, publish={"channel": "kept:missed", "data": {"n": 1}})
    server.api("publish", channel="kept:missed", data={"n": 2})
    async with over(server, WebTransport) as quic:
        page = Lines(quic)
        await page.ask(1, connect={"token": token.of("rosa")})
        position = {"recover": True, "epoch": place["epoch"], "offset": place.get("offset", 0)}
        back = (await page.ask(2, subscribe={"channel": "kept:missed", **position}))["subscribe"]
        assert back["recovered"] is True
        assert [publication["data"]["n"] for publication in back["publications"]] == [1, 2]


async def test_a_page_of_another_origin_and_another_path_are_refused(server):
    for named, status in (({"origin": "https://elsewhere.example"}, "403"), ({"path": "/connection/websocket"}, "404")):
        with pytest.raises(ConnectionRefusedError, match=status):
            async with over(server, WebTransport, **named):
                pass


async def test_another_protocol_is_refused(server):
    class Other(Raw):
        ALPN = ["hq-interop"]

    with pytest.raises(ConnectionError):
        async with over(server, Other):
            pass
