"""A server that is asked for more than it does at once: the unmodified `centrifuge-python` is told so, comes again by itself,
and is in in the end."""

import asyncio

import pytest
from centrifuge import Client, ClientEventHandler

from support import token
from support.server import Server

CLIENTS = 100
# Channels that each connect takes along, so that one takes a while.
CHANNELS = [f"kept:busy-{n}" for n in range(100)]


class Heard(ClientEventHandler):
    def __init__(self):
        self.refused = []
        self.ended = []

    async def on_error(self, ctx):
        self.refused.append(ctx)

    async def on_disconnected(self, ctx):
        self.ended.append(ctx)


@pytest.fixture
def narrow():
    # Nobody waits: who cannot go at once is to come again.
    settings = {"node__shards": 1, "admission__connects_at_once_max": 1, "admission__wait_max": "0s"}
    server = Server(**settings).start()
    yield server
    server.remove()


async def test_who_is_told_that_others_come_first_comes_again_and_is_in_in_the_end(narrow):
    heard = Heard()
    url = f"ws://{narrow.address}/connection/websocket"
    clients = [
        Client(url, events=heard, token=token.of(f"u{n}", channels=CHANNELS), min_reconnect_delay=0.05,
               max_reconnect_delay=2, proxy=None)
        for n in range(CLIENTS)
    ]
    await asyncio.gather(*(client.connect() for client in clients))
    await asyncio.gather(*(client.ready(timeout=60) for client in clients))
    assert heard.ended == []
    told = [ctx for ctx in heard.refused if getattr(ctx.error, "code", None) == 111]
    assert told, "nobody was told to come again"
    assert all(ctx.error.temporary for ctx in told)
    await asyncio.gather(*(client.disconnect() for client in clients))
