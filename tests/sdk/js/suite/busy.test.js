// A server that is asked for more than it does at once: the unmodified npm `centrifuge` is told so, comes again by itself, and
// is in in the end.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';

import { Server } from '../support/server.js';
import * as token from '../support/token.js';

const CLIENTS = 150;
/** Channels that each connect takes along, so that one takes a while. */
const CHANNELS = Array.from({ length: 100 }, (_, n) => `kept:busy-${n}`);

let server;
before(async () => {
  server = await Server.start({
    'node.shards': 1,
    'admission.connects_at_once_max': 1,
    // Nobody waits: who cannot go at once is to come again.
    'admission.wait_max': '0s',
  });
});
after(() => server.remove());

test('who is told that others come first comes again, and everybody is in in the end', async (t) => {
  const url = `ws://${server.address}/connection/websocket`;
  const refusals = [];
  const ended = [];
  const clients = Array.from({ length: CLIENTS }, (_, n) => {
    const client = new Centrifuge(url, {
      token: token.of(`u${n}`, { channels: CHANNELS }),
      websocket: WebSocket,
      minReconnectDelay: 50,
      maxReconnectDelay: 2000,
    });
    client.on('error', (context) => refusals.push(context));
    client.on('disconnected', (context) => ended.push(context));
    return client;
  });
  // Also when it fails: who still comes again keeps the process alive.
  t.after(() => clients.forEach((client) => client.disconnect()));
  clients.forEach((client) => client.connect());
  await Promise.all(clients.map((client) => client.ready(60_000)));
  assert.deepEqual(ended, [], 'nobody gave up');
  const told = refusals.filter((context) => context.type === 'connect' && context.error.code === 111);
  assert.ok(told.length > 0, 'nobody was told to come again');
  assert.ok(told.every((context) => context.error.temporary === true));
});
