// `ws`, a WebSocket peer written by others, against the server's framing and handshake.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';

import WebSocket from 'ws';

import { Server } from '../support/server.js';
import * as token from '../support/token.js';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server.remove());

async function open(protocols, options) {
  const socket = new WebSocket(`ws://${server.address}/connection/websocket`, protocols, options);
  await once(socket, 'open');
  return socket;
}

/** Sends commands and resolves with the first so many lines that come back. */
async function talk(socket, text, lines) {
  const heard = [];
  const done = new Promise((resolve) => {
    socket.on('message', (data, binary) => {
      assert.equal(binary, false);
      heard.push(...data.toString().split('\n').filter(Boolean).map((line) => JSON.parse(line)));
      if (heard.length >= lines) resolve(heard);
    });
  });
  socket.send(text);
  return done;
}

test('the offered subprotocol is chosen, none when none is offered', async () => {
  assert.equal((await open(['centrifuge-json'])).protocol, 'centrifuge-json');
  assert.equal((await open(['centrifuge-protobuf'])).protocol, 'centrifuge-protobuf');
  assert.equal((await open()).protocol, '');
});

test('pings of the frame layer are answered with their payload', async () => {
  const socket = await open();
  const pong = once(socket, 'pong');
  socket.ping('are you there');
  assert.equal((await pong)[0].toString(), 'are you there');
  socket.terminate();
});

test('commands of one frame are answered, whole or fragmented', async () => {
  const socket = await open();
  const connect = JSON.stringify({ id: 1, connect: { token: token.of('anna') } });
  const subscribe = JSON.stringify({ id: 2, subscribe: { channel: 'open:ws' } });
  const [first, second] = await talk(socket, `${connect}\n${subscribe}`, 2);
  assert.deepEqual([first.id, second.id], [1, 2]);
  socket.removeAllListeners('message');
  const publish = JSON.stringify({ id: 3, publish: { channel: 'open:ws', data: 'æøå' } });
  const heard = new Promise((resolve) => socket.on('message', (data) => {
    if (data.toString().includes('æøå')) resolve();
  }));
  socket.send(publish.slice(0, 20), { fin: false });
  socket.send(publish.slice(20), { fin: true });
  await heard;
  socket.terminate();
});

test('a close is answered with the same code', async () => {
  const socket = await open();
  const closed = once(socket, 'close');
  socket.close(1000, 'bye');
  assert.equal((await closed)[0], 1000);
});

test('deltas go over the wire as deltas', async () => {
  const socket = await open();
  const channel = 'delta:wire';
  const connect = JSON.stringify({ id: 1, connect: { token: token.of('anna') } });
  const subscribe = JSON.stringify({ id: 2, subscribe: { channel, delta: 'fossil' } });
  const [, reply] = await talk(socket, `${connect}\n${subscribe}`, 2);
  assert.equal(reply.subscribe.delta, true);
  const pushes = [];
  const both = new Promise((resolve) => socket.on('message', (data) => {
    for (const line of data.toString().split('\n').filter(Boolean)) {
      const { push } = JSON.parse(line);
      if (push?.pub) pushes.push(push.pub);
    }
    if (pushes.length === 2) resolve();
  }));
  for (const n of [1, 2]) {
    await server.api('publish', { channel, data: { text: 'Den samme lange tekst. '.repeat(30), n }, delta: true });
  }
  await both;
  assert.equal(typeof pushes[0].data, 'string');
  assert.deepEqual([pushes[0].delta, pushes[1].delta], [undefined, true]);
  assert.ok(pushes[1].data.length < pushes[0].data.length / 5);
  socket.terminate();
});

test('a page of another origin is refused', async () => {
  const socket = new WebSocket(`ws://${server.address}/connection/websocket`, {
    origin: 'https://elsewhere.example',
  });
  const [request, response] = await once(socket, 'unexpected-response');
  assert.equal(response.statusCode, 403);
  request.destroy();
});

test('compression is not negotiated, and a client that offers it is served all the same', async () => {
  const socket = await open(undefined, { perMessageDeflate: true });
  assert.equal(socket.extensions, '');
  const [reply] = await talk(socket, JSON.stringify({ id: 1, connect: { token: token.of('anna') } }), 1);
  assert.equal(reply.id, 1);
  socket.terminate();
});
