"""One person of the class scenario on the Python SDK: connects, prints every entry it sees as a line of JSON, and stops
when its standard input ends. Usage: member.py [--protobuf] URL TOKEN"""

import asyncio
import json
import sys

from centrifuge import Client, ClientEventHandler


def say(what, data=None):
    print(json.dumps({"what": what, "data": data}), flush=True)


class Member(ClientEventHandler):
    async def on_connected(self, ctx):
        say("connected")

    async def on_disconnected(self, ctx):
        say("disconnected")

    async def on_publication(self, ctx):
        say("entry", ctx.pub.data)


class BinaryMember(Member):
    async def on_publication(self, ctx):
        say("entry", json.loads(ctx.pub.data))


async def main(*arguments):
    *options, url, token = arguments
    protobuf = "--protobuf" in options
    events = BinaryMember() if protobuf else Member()
    client = Client(url, events=events, token=token, use_protobuf=protobuf, proxy=None)
    await client.connect()
    await asyncio.to_thread(sys.stdin.read)
    await client.disconnect()


asyncio.run(main(*sys.argv[1:]))
