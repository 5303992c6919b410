"""What an app developer relies on, by the unmodified PyPI `centrifuge-python`, in JSON and Protobuf."""

import asyncio
import itertools
import json

import pytest
from centrifuge import (
    CentrifugeError,
    Client,
    ClientEventHandler,
    DeltaType,
    ReplyError,
    StreamPosition,
    SubscriptionEventHandler,
)
from centrifuge.filter import Filter

from support import token
from support.breaker import Breaker
from support.wait import until

names = itertools.count()


def fresh(namespace):
    """A channel that no other test uses."""
    return f"{namespace}:python-{next(names)}"


class Heard(ClientEventHandler, SubscriptionEventHandler):
    """Keeps everything that either handler hears, by the event's name."""

    def __init__(self):
        self.events = {}

    def of(self, name):
        return self.events.setdefault(name, [])


def _keep(name):
    async def keep(self, context):
        self.of(name).append(context)

    return keep


for _name in ("connecting", "connected", "disconnected", "error", "subscribing", "subscribed", "unsubscribed",
              "publication", "join", "leave"):
    setattr(Heard, f"on_{_name}", _keep(_name))


@pytest.fixture(params=["json", "protobuf"])
async def way(request, server):
    way = Way(server, request.param == "protobuf")
    yield way
    for client in way.open:
        await client.disconnect()


class Way:
    """Clients of one protocol."""

    def __init__(self, server, protobuf):
        self.server = server
        self.protobuf = protobuf
        self.open = []

    def out(self, value):
        return json.dumps(value).encode() if self.protobuf else value

    def data(self, publications):
        """The values that publications (or contexts of them) carry."""
        values = [getattr(publication, "pub", publication).data for publication in publications]
        return [json.loads(value) for value in values] if self.protobuf else values

    def client(self, user="anna", address=None, **options):
        heard = Heard()
        options.setdefault("token", token.of(user))
        url = f"ws://{address or self.server.address}/connection/websocket"
        client = Client(url, events=heard, use_protobuf=self.protobuf, min_reconnect_delay=0.02,
                        max_reconnect_delay=0.2, proxy=None, **options)
        self.open.append(client)
        return client, heard

    async def connected(self, *args, **options):
        client, heard = self.client(*args, **options)
        await client.connect()
        await client.ready(timeout=10)
        return client, heard

    async def subscribed(self, client, channel, **options):
        heard = Heard()
        subscription = client.new_subscription(channel, events=heard, **options)
        await subscription.subscribe()
        await subscription.ready(timeout=10)
        return subscription, heard


async def test_connects_and_is_told_who_it_is(way):
    _, heard = await way.connected()
    assert len(heard.of("connected")[0].client) == 36


async def test_a_foreign_token_ends_it_for_good(way):
    client, heard = way.client(token=token.signed({"sub": "anna"}, b"another secret"))
    await client.connect()
    await until(lambda: heard.of("disconnected"))
    assert heard.of("disconnected")[0].code == 3500


async def test_an_expired_token_is_renewed_and_then_connects(way):
    asked = []

    async def renew():
        asked.append(1)
        return token.of("anna")

    await way.connected(token=token.of("anna", exp=token.now() - 10), get_token=renew)
    assert len(asked) == 1


async def test_publications_arrive_once_and_in_order(way):
    channel = fresh("open")
    one, _ = await way.connected()
    other, _ = await way.connected("bent")
    _, heard = await way.subscribed(one, channel)
    sender, _ = await way.subscribed(other, channel)
    for n in range(50):
        await sender.publish(way.out({"n": n}))
    await until(lambda: len(heard.of("publication")) >= 50)
    assert way.data(heard.of("publication")) == [{"n": n} for n in range(50)]
    assert heard.of("publication")[0].pub.info.user == "bent"


async def test_join_and_leave_and_presence(way):
    channel = fresh("open")
    one, _ = await way.connected()
    subscription, heard = await way.subscribed(one, channel, join_leave=True)
    other, _ = await way.connected("bent")
    await way.subscribed(other, channel)
    await until(lambda: [join for join in heard.of("join") if join.info.user == "bent"])
    present = await subscription.presence()
    assert sorted(info.user for info in present.clients.values()) == ["anna", "bent"]
    stats = await subscription.presence_stats()
    assert (stats.num_clients, stats.num_users) == (2, 2)
    await other.disconnect()
    await until(lambda: [leave for leave in heard.of("leave") if leave.info.user == "bent"])


async def test_history_pages_both_ways(way):
    channel = fresh("kept")
    client, _ = await way.connected()
    subscription, _ = await way.subscribed(client, channel)
    for n in range(1, 11):
        await subscription.publish(way.out(n))
    top = await subscription.history(limit=0)
    assert (len(top.publications), top.offset) == (0, 10)
    since = StreamPosition(offset=3, epoch=top.epoch)
    assert way.data((await subscription.history(limit=3, since=since)).publications) == [4, 5, 6]
    assert way.data((await subscription.history(limit=2, reverse=True)).publications) == [10, 9]
    with pytest.raises(ReplyError) as refused:
        await subscription.history(limit=1, since=StreamPosition(offset=1, epoch="other"))
    assert refused.value.code == 112


async def test_what_was_missed_while_cut_off_arrives_once_and_in_order(way):
    channel = fresh("kept")
    async with Breaker(way.server.address) as breaker:
        one, connection = await way.connected(address=breaker.address)
        _, heard = await way.subscribed(one, channel)
        other, _ = await way.connected("bent")
        await other.publish(channel, way.out("live"))
        await until(lambda: len(heard.of("publication")) == 1)
        breaker.cut()
        await until(lambda: len(connection.of("connecting")) == 2)
        for n in range(20):
            await other.publish(channel, way.out(n))
        breaker.mend()
        await until(lambda: len(heard.of("publication")) >= 21)
        assert way.data(heard.of("publication")) == ["live", *range(20)]
        back = heard.of("subscribed")[-1]
        assert (back.was_recovering, back.recovered) == (True, True)


async def test_an_rpc_is_answered_and_an_unknown_one_refused(way):
    client, heard = await way.connected("rosa")

    async def call(method, **given):
        result = (await client.rpc(method, way.out(given))).data
        return json.loads(result) if way.protobuf else result

    (screen,) = (await call("session.start"))["screens"]
    assert (screen["person"]["name"], screen["unit"]) == ("Rosa Prøve", "Klokkeby Skole")
    profile = screen["person"]["profile"]
    post = await call("post.publish", profile=profile, place={"unit": "G1"}, title="Fra Python", body="Æbler")
    await until(lambda: heard.of("publication"))
    (entry,) = way.data(heard.of("publication"))
    assert (heard.of("publication")[0].channel, entry["post"]["id"], entry["post"]["body"]) == ("unit:G1", post["id"], "Æbler")
    for method, given, code in [("post.get", {"profile": profile, "post": "G1.o999"}, 404), ("no.such.method", {}, 104)]:
        with pytest.raises(ReplyError) as refused:
            await call(method, **given)
        assert refused.value.code == code


async def test_channels_without_permission_are_refused(way):
    client, _ = await way.connected()
    for channel, code in [(fresh("closed"), 103), (fresh("nowhere"), 102)]:
        heard = Heard()
        subscription = client.new_subscription(channel, events=heard)
        await subscription.subscribe()
        await until(lambda: heard.of("unsubscribed"))
        assert heard.of("unsubscribed")[0].code == code


async def test_a_subscription_token_opens_its_channel_and_is_renewed(way):
    channel = fresh("closed")
    asked = []

    async def renew(_):
        asked.append(1)
        return token.for_channel("anna", channel, **({"exp": token.now() + 2} if len(asked) == 1 else {}))

    client, _ = await way.connected()
    _, heard = await way.subscribed(client, channel, get_token=renew)
    await until(lambda: len(asked) >= 2)
    way.server.api("publish", channel=channel, data="still here")
    await until(lambda: heard.of("publication"))
    assert not heard.of("unsubscribed")


async def test_a_connection_token_is_renewed_without_a_reconnect(way):
    asked = []

    async def renew():
        asked.append(1)
        return token.of("anna")

    client, heard = await way.connected(token=token.of("anna", exp=token.now() + 2), get_token=renew)
    await until(lambda: asked)
    channel = fresh("kept")
    await client.publish(channel, way.out("after the refresh"))
    assert (await client.history(channel, limit=0)).offset == 1
    assert len(heard.of("connecting")) == 1


async def test_server_side_subscriptions_come_recover_and_go(way):
    channel, another = fresh("closed"), fresh("closed")
    user = f"carla-{next(names)}"
    async with Breaker(way.server.address) as breaker:
        _, heard = await way.connected(user, address=breaker.address, token=token.of(user, channels=[channel]))
        await until(lambda: heard.of("subscribed"))
        assert heard.of("subscribed")[0].channel == channel
        way.server.api("publish", channel=channel, data=1)
        await until(lambda: len(heard.of("publication")) == 1)
        breaker.cut()
        await until(lambda: len(heard.of("connecting")) == 2)
        way.server.api("publish", channel=channel, data=2)
        way.server.api("publish", channel=channel, data=3)
        breaker.mend()
        await until(lambda: len(heard.of("publication")) >= 3)
        assert way.data(heard.of("publication")) == [1, 2, 3]
        way.server.api("subscribe", user=user, channel=another)
        await until(lambda: another in [context.channel for context in heard.of("subscribed")])
        way.server.api("unsubscribe", user=user, channel=another)
        await until(lambda: another in [context.channel for context in heard.of("unsubscribed")])


async def test_deltas_are_undone_into_whole_documents(way):
    channel = fresh("delta")
    async with Breaker(way.server.address) as breaker:
        client, connection = await way.connected(address=breaker.address)
        _, heard = await way.subscribed(client, channel, delta=DeltaType.FOSSIL)
        lessons = [{"text": "Den lille bog om klokker. " * 20, "n": n} for n in range(16)]

        async def publish(some):
            for lesson in some:
                await asyncio.to_thread(way.server.api, "publish", channel=channel, data=lesson, delta=True)

        received = breaker.received
        await publish(lessons[:8])
        await until(lambda: len(heard.of("publication")) >= 8)
        whole = len(json.dumps(lessons[:8]))
        assert breaker.received - received < whole / 2, f"{breaker.received - received} bytes came for {whole}"
        breaker.cut()
        await until(lambda: len(connection.of("connecting")) == 2)
        await publish(lessons[8:12])
        breaker.mend()
        await until(lambda: len(heard.of("publication")) >= 12)
        await publish(lessons[12:])
        await until(lambda: len(heard.of("publication")) >= 16)
        assert way.data(heard.of("publication")) == lessons


async def test_a_tags_filter_lets_through_what_fits(way):
    channel = fresh("tags")
    client, _ = await way.connected()
    _, heard = await way.subscribed(client, channel, tags_filter=Filter.gte("year", "7"))
    for year in ["3", "7", "6", "10"]:
        way.server.api("publish", channel=channel, data=year, tags={"year": year})
    await until(lambda: len(heard.of("publication")) >= 2)
    with pytest.raises(CentrifugeError):
        await client.rpc("no.such.method", way.out({}))
    assert way.data(heard.of("publication")) == ["7", "10"]
