// The unmodified SDK over WebTransport, in a real browser that knows the server's certificate by its hash.

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';

import { certify } from '../support/bridge.js';
import { ROSA, Server } from '../support/server.js';
import * as token from '../support/token.js';

const FLAGS = ['--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const SDK = join(dirname(createRequire(import.meta.url).resolve('centrifuge')), 'index.mjs');

let server;
let browser;
let page;

before(async () => {
  server = new Server();
  const { hash, settings } = certify(server.folder);
  const pages = join(server.folder, 'pages');
  mkdirSync(pages);
  copyFileSync(SDK, join(pages, 'centrifuge.mjs'));
  writeFileSync(join(pages, 'index.html'), '<!doctype html><link rel="icon" href="data:,"><title>WebTransport</title>');
  // The page's origin is of another port than the one that QUIC is on.
  server.set({ ...settings, 'web.folder': pages, 'transport.allowed_origins': 'http://127.0.0.1:*' });
  server.run('import', ROSA, '--apply');
  await server.start();
  browser = await chromium.launch({
    executablePath: process.env.KLOKKE_CHROMIUM ?? '/usr/bin/chromium',
    chromiumSandbox: process.getuid() !== 0,
    args: FLAGS,
  });
  page = await browser.newPage();
  await page.goto(`http://${server.address}/`);
  await page.evaluate(
    async ({ endpoint, hash, connection }) => {
      const { Centrifuge } = await import('/centrifuge.mjs');
      const value = Uint8Array.from(hash.match(/../g), (byte) => parseInt(byte, 16));
      class ByHash extends WebTransport {
        constructor(url) {
          super(url, { serverCertificateHashes: [{ algorithm: 'sha-256', value }] });
          window.transports.push(this);
        }
      }
      window.transports = [];
      // The SDK takes the browser's own class, which knows no certificates by hash unless it is told.
      globalThis.WebTransport = ByHash;
      window.client = new Centrifuge([{ transport: 'webtransport', endpoint }], {
        token: connection,
        minReconnectDelay: 20,
        maxReconnectDelay: 200,
      });
      window.client.connect();
      await window.client.ready(10_000);
    },
    { endpoint: `https://127.0.0.1:${server.quic.split(':')[1]}/connection/webtransport`, hash, connection: token.of('rosa') },
  );
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

test('it connects by WebTransport and nothing else', async () => {
  assert.equal(await server.metric('klokke_connections', 'transport="webtransport"', 'state="open"'), 1);
  assert.equal(await server.metric('klokke_connections', 'transport="websocket"', 'state="open"'), 0);
});

test('an operation is called, and an unknown one refused', async () => {
  const [unit, code] = await page.evaluate(async () => {
    const { data } = await window.client.rpc('session.start', {});
    const refused = await window.client.rpc('no.such.method', {}).catch((failure) => failure.code);
    return [data.screens[0].unit, refused];
  });
  assert.equal(unit, 'Klokkeby Skole');
  assert.equal(code, 104);
});

test('what is published is heard, in order, also what is long', async () => {
  const heard = await page.evaluate(async () => {
    const subscription = window.client.newSubscription('kept:page');
    const heard = [];
    const all = new Promise((resolve) => {
      subscription.on('publication', ({ data }) => heard.push(data.n) === 20 && resolve());
    });
    subscription.subscribe();
    await subscription.ready(10_000);
    for (let n = 0; n < 20; n += 1) await subscription.publish({ n, filling: 'x'.repeat(n * 3_000) });
    await all;
    return heard;
  });
  assert.deepEqual(heard, Array.from({ length: 20 }, (_, n) => n));
});

test('cut off, it comes back and hears what it missed, once and in order', async () => {
  await page.evaluate(async () => {
    const subscription = window.client.newSubscription('kept:gone');
    window.missed = [];
    subscription.on('publication', ({ data }) => window.missed.push(data.n));
    subscription.subscribe();
    await subscription.ready(10_000);
    window.back = new Promise((resolve) => {
      subscription.on('subscribed', resolve);
    });
    window.away = new Promise((resolve) => {
      window.client.on('connecting', resolve);
    });
    window.transports.at(-1).close();
    await window.away;
  });
  for (let n = 1; n <= 5; n += 1) await server.api('publish', { channel: 'kept:gone', data: { n } });
  const missed = await page.evaluate(async () => {
    const context = await window.back;
    while (window.missed.length < 5) await new Promise((resolve) => window.client.getSubscription('kept:gone').once('publication', resolve));
    return { recovered: context.recovered, missed: window.missed };
  });
  assert.deepEqual(missed, { recovered: true, missed: [1, 2, 3, 4, 5] });
});

test('sent away by the server, it learns the code', async () => {
  await page.evaluate(() => {
    window.gone = new Promise((resolve) => {
      window.client.on('disconnected', ({ code }) => resolve(code));
    });
  });
  await server.api('disconnect', { user: 'rosa', disconnect: { code: 4501, reason: 'goodbye' } });
  assert.equal(await page.evaluate(() => window.gone), 4501);
});
