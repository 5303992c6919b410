// What an app developer relies on, by the unmodified npm `centrifuge`, over every way it connects.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { Breaker } from '../support/breaker.js';
import { ways } from '../support/sdk.js';
import { ROSA, Server } from '../support/server.js';
import * as token from '../support/token.js';
import { event, until } from '../support/wait.js';

let server;
before(async () => {
  server = new Server();
  server.run('import', ROSA, '--apply');
  await server.start();
});
after(() => server.remove());

let names = 0;
/** A channel that no other test uses. */
const fresh = (namespace) => `${namespace}:test-${++names}`;

for (const way of ways) {
  describe(way.name, () => {
    const open = [];
    const client = (options = {}, address = server.address) => {
      const made = way.client(address, { token: token.of('anna'), ...options });
      open.push(made);
      return made;
    };
    const connected = async (options, address) => {
      const made = client(options, address);
      made.connect();
      await made.ready();
      return made;
    };
    const subscribed = async (made, channel, options) => {
      const subscription = made.newSubscription(channel, options);
      const seen = [];
      subscription.on('publication', (publication) => seen.push(way.data.in(publication.data)));
      const joined = event(subscription, 'subscribed');
      subscription.subscribe();
      return { subscription, seen, first: await joined };
    };
    const publish = (made, channel, value) => made.publish(channel, way.data.out(value));
    afterEach(() => open.splice(0).forEach((made) => made.disconnect()));

    test('connects and is told who it is', async () => {
      const made = client();
      const context = event(made, 'connected');
      made.connect();
      assert.match((await context).client, /^[0-9a-f-]{36}$/);
    });

    test('a foreign token ends it for good', async () => {
      const made = client({ token: token.signed({ sub: 'anna' }, 'another secret') });
      const ended = event(made, 'disconnected');
      made.connect();
      assert.equal((await ended).code, 3500);
    });

    test('an expired token is renewed and then connects', async () => {
      let asked = 0;
      const made = await connected({
        token: token.of('anna', { exp: token.now() - 10 }),
        getToken: async () => {
          asked += 1;
          return token.of('anna');
        },
      });
      assert.equal(asked, 1);
      assert.equal(made.state, 'connected');
    });

    test('publications arrive once and in order, with who sent them', async () => {
      const channel = fresh('open');
      const one = await connected();
      const other = await connected({ token: token.of('bent') });
      const { subscription, seen } = await subscribed(one, channel);
      await subscribed(other, channel);
      const first = event(subscription, 'publication');
      for (let n = 0; n < 100; n += 1) await publish(other, channel, { n });
      assert.equal((await first).info.user, 'bent');
      await until(() => seen.length >= 100);
      assert.deepEqual(seen, Array.from({ length: 100 }, (_, n) => ({ n })));
    });

    test('after unsubscribing nothing arrives', async () => {
      const channel = fresh('open');
      const one = await connected();
      const other = await connected();
      const { subscription, seen } = await subscribed(one, channel);
      await subscribed(other, channel);
      await publish(other, channel, 'before');
      await until(() => seen.length === 1);
      subscription.unsubscribe();
      // Any answer to a later command has passed behind the unsubscribe.
      await one.presenceStats(channel).catch(() => {});
      await publish(other, channel, 'after');
      await one.presenceStats(channel).catch(() => {});
      assert.deepEqual(seen, ['before']);
    });

    test('join and leave are told to those who ask', async () => {
      const channel = fresh('open');
      const one = await connected();
      const { subscription } = await subscribed(one, channel, { joinLeave: true });
      const other = await connected({ token: token.of('bent') });
      const join = event(subscription, 'join', (context) => context.info.user === 'bent');
      await subscribed(other, channel);
      await join;
      const leave = event(subscription, 'leave', (context) => context.info.user === 'bent');
      other.disconnect();
      await leave;
    });

    test('presence names everybody, its stats count users once', async () => {
      const channel = fresh('open');
      const one = await connected();
      const { subscription } = await subscribed(one, channel);
      await subscribed(await connected(), channel);
      await subscribed(await connected({ token: token.of('bent') }), channel);
      const { clients } = await subscription.presence();
      assert.deepEqual(Object.values(clients).map((info) => info.user).sort(), ['anna', 'anna', 'bent']);
      const { numClients, numUsers } = await subscription.presenceStats();
      assert.deepEqual([numClients, numUsers], [3, 2]);
    });

    test('history pages both ways and tells the position', async () => {
      const channel = fresh('kept');
      const made = await connected();
      const { subscription } = await subscribed(made, channel);
      for (let n = 1; n <= 10; n += 1) await publish(made, channel, n);
      const data = (result) => result.publications.map((publication) => way.data.in(publication.data));
      const top = await subscription.history({ limit: 0 });
      assert.deepEqual([top.publications.length, top.offset], [0, 10]);
      const since = { offset: 3, epoch: top.epoch };
      assert.deepEqual(data(await subscription.history({ limit: 3, since })), [4, 5, 6]);
      assert.deepEqual(data(await subscription.history({ limit: 2, reverse: true })), [10, 9]);
      assert.deepEqual(data(await subscription.history({ limit: -1, since, reverse: true })), [2, 1]);
      await assert.rejects(subscription.history({ limit: 1, since: { offset: 1, epoch: 'other' } }), { code: 112 });
    });

    test('what was missed while cut off arrives once and in order', async () => {
      const channel = fresh('kept');
      const breaker = await Breaker.to(server.address);
      try {
        const one = await connected({}, breaker.address);
        const other = await connected();
        const { subscription, seen } = await subscribed(one, channel);
        const expected = [];
        for (let round = 0; round < 3; round += 1) {
          await publish(other, channel, { round, live: true });
          await until(() => seen.length === expected.length + 1);
          expected.push({ round, live: true });
          const gone = event(one, 'connecting');
          breaker.cut();
          await gone;
          for (let n = 0; n < 20; n += 1) {
            await publish(other, channel, { round, n });
            expected.push({ round, n });
          }
          const back = event(subscription, 'subscribed');
          breaker.mend();
          const context = await back;
          assert.deepEqual([context.wasRecovering, context.recovered], [true, true]);
          await until(() => seen.length >= expected.length);
        }
        assert.deepEqual(seen, expected);
      } finally {
        breaker.close();
      }
    });

    test('a position that is gone is said to be unrecovered', async () => {
      const channel = fresh('kept');
      const made = await connected();
      const { first } = await subscribed(made, channel, { since: { offset: 7, epoch: 'another epoch' } });
      assert.deepEqual([first.wasRecovering, first.recovered], [true, false]);
    });

    test('in cache mode a new subscriber gets the latest at once', async () => {
      const channel = fresh('cache');
      await server.api('publish', { channel, data: 'older' });
      await server.api('publish', { channel, data: 'latest' });
      const { seen } = await subscribed(await connected(), channel);
      await until(() => seen.length >= 1);
      assert.deepEqual(seen, ['latest']);
    });

    test('an RPC is answered, an unknown one refused', async () => {
      const made = client({ token: token.of('rosa') });
      const heard = [];
      made.on('publication', ({ channel, data }) => heard.push([channel, way.data.in(data)]));
      made.connect();
      await made.ready();
      const call = async (method, input) => way.data.in((await made.rpc(method, way.data.out(input))).data);
      const { screens } = await call('session.start', {});
      assert.deepEqual(screens.map(({ person, unit }) => [person.name, unit]), [['Rosa Prøve', 'Klokkeby Skole']]);
      const { profile } = screens[0].person;
      const post = await call('post.publish', { profile, place: { unit: 'G1' }, title: `Fra ${way.name}`, body: 'Æbler' });
      await until(() => heard.length > 0);
      assert.deepEqual(heard.map(([channel, entry]) => [channel, entry.post.id, entry.post.body]), [['unit:G1', post.id, 'Æbler']]);
      await assert.rejects(call('post.get', { profile, post: 'G1.o999' }), { code: 404 });
      await assert.rejects(call('no.such.method', {}), { code: 104 });
    });

    test('a channel without permission is refused, and one of no namespace', async () => {
      const made = await connected();
      for (const [channel, code] of [[fresh('closed'), 103], [fresh('nowhere'), 102], ['dialog:x#bent', 103]]) {
        const subscription = made.newSubscription(channel);
        const ended = event(subscription, 'unsubscribed');
        subscription.subscribe();
        assert.equal((await ended).code, code, channel);
      }
    });

    test('a subscription token opens its channel, and is renewed before it expires', async () => {
      const channel = fresh('closed');
      const made = await connected();
      let asked = 0;
      const { subscription, seen } = await subscribed(made, channel, {
        getToken: async () => {
          asked += 1;
          return token.forChannel('anna', channel, asked === 1 ? { exp: token.now() + 2 } : {});
        },
      });
      subscription.on('unsubscribed', () => assert.fail('the subscription was lost'));
      await until(() => asked >= 2);
      await server.api('publish', { channel, data: 'still here' });
      await until(() => seen.length === 1);
      assert.equal(subscription.state, 'subscribed');
    });

    test('a connection token is renewed without a reconnect', async () => {
      let asked = 0;
      const made = await connected({
        token: token.of('anna', { exp: token.now() + 2 }),
        getToken: async () => {
          asked += 1;
          return token.of('anna');
        },
      });
      made.on('connecting', () => assert.fail('it had to reconnect'));
      await until(() => asked >= 1);
      const channel = fresh('kept');
      await publish(made, channel, 'after the refresh');
      assert.equal((await made.history(channel, { limit: 0 })).offset, 1);
      assert.equal(made.state, 'connected');
      made.removeAllListeners('connecting');
    });

    test('server-side subscriptions come with the token, recover, and go by the API', async () => {
      const channel = fresh('closed');
      const user = `carla-${names}`;
      const breaker = await Breaker.to(server.address);
      try {
        const made = client({ token: token.of(user, { channels: [channel] }) }, breaker.address);
        const seen = [];
        made.on('publication', (context) => {
          if (context.channel === channel) seen.push(way.data.in(context.data));
        });
        const joined = event(made, 'subscribed');
        made.connect();
        assert.equal((await joined).channel, channel);
        await server.api('publish', { channel, data: 1 });
        await until(() => seen.length === 1);
        const gone = event(made, 'connecting');
        breaker.cut();
        await gone;
        await server.api('publish', { channel, data: 2 });
        await server.api('publish', { channel, data: 3 });
        const back = event(made, 'subscribed');
        breaker.mend();
        assert.equal((await back).recovered, true);
        await until(() => seen.length >= 3);
        assert.deepEqual(seen, [1, 2, 3]);

        const another = fresh('closed');
        const added = event(made, 'subscribed', (context) => context.channel === another);
        await server.api('subscribe', { user, channel: another });
        await added;
        const removed = event(made, 'unsubscribed', (context) => context.channel === another);
        await server.api('unsubscribe', { user, channel: another });
        await removed;
      } finally {
        breaker.close();
      }
    });

    test('deltas are undone into whole documents, live and recovered', async () => {
      const channel = fresh('delta');
      const lesson = (n) => ({ subject: 'dansk', text: 'Den lille bog om klokker. '.repeat(20), n });
      const breaker = await Breaker.to(server.address);
      try {
        const made = await connected({}, breaker.address);
        const { subscription, seen } = await subscribed(made, channel, { delta: 'fossil' });
        const received = breaker.received;
        const expected = [];
        const send = async (n) => {
          await server.api('publish', { channel, data: lesson(n), delta: true });
          expected.push(lesson(n));
        };
        for (let n = 0; n < 5; n += 1) await send(n);
        await until(() => seen.length === 5);
        const whole = 5 * JSON.stringify(lesson(0)).length;
        assert.ok(breaker.received - received < whole / 2, `${breaker.received - received} bytes came for ${whole}`);
        const gone = event(made, 'connecting');
        breaker.cut();
        await gone;
        for (let n = 5; n < 10; n += 1) await send(n);
        const back = event(subscription, 'subscribed');
        breaker.mend();
        assert.equal((await back).recovered, true);
        for (let n = 10; n < 13; n += 1) await send(n);
        await until(() => seen.length >= 13);
        assert.deepEqual(seen, expected);
      } finally {
        breaker.close();
      }
    });

    test('a tags filter lets through what fits and nothing else', async () => {
      const channel = fresh('tags');
      const made = await connected();
      const { seen } = await subscribed(made, channel, { tagsFilter: { key: 'year', cmp: 'gte', val: '7' } });
      for (const year of ['3', '7', '6', '10']) {
        await server.api('publish', { channel, data: year, tags: { year } });
      }
      await until(() => seen.length >= 2);
      await made.presenceStats(channel).catch(() => {});
      assert.deepEqual(seen, ['7', '10']);
    });

    test('the back end can disconnect a user, for good or to come back', async () => {
      const user = `dorte-${++names}`;
      const made = await connected({ token: token.of(user) });
      const connecting = event(made, 'connecting');
      const again = event(made, 'connected');
      await server.api('disconnect', { user, disconnect: { code: 3011, reason: 'force reconnect' } });
      assert.equal((await connecting).code, 3011);
      await again;
      const ended = event(made, 'disconnected');
      await server.api('disconnect', { user });
      assert.equal((await ended).code, 3503);
    });
  });
}
