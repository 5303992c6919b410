// A small school morning against a real server: people of every role come in over every transport, write, read, recover and
// try what they may not, so that everything the boards draw happens. It is paced, not synchronised: nothing waits for a clock.

import { spawnSync } from 'node:child_process';
import { connect as connectTls } from 'node:tls';

import WebSocket from 'ws';

import { Actor } from '../../../tests/sdk/js/support/member.js';
import { CLASS, lines, people } from '../../../tests/sdk/js/support/school.js';
import { ways } from '../../../tests/sdk/js/support/sdk.js';
import * as token from '../../../tests/sdk/js/support/token.js';
import { Server } from './server.ts';

/** A beat of the load; each does a little of everything. */
const BEAT_MS = 120;
const BEATS_UNDER_WAY_MAX = 20;
const BEATS_A_THREAD = 200;
/** What has no answer by then is left alone. */
const PATIENCE_MS = 5_000;
const patience = () => new Promise<void>((resolve) => setTimeout(resolve, PATIENCE_MS).unref());

export const school: string = lines();

const guardians: { subject: string; profile: string }[] = people.guardians;
/** Of those who come back without an SDK, so many stay. */
const STRANGERS_MAX = 10;

/** Files for TLS, made on the spot. */
export function certificate(folder: string): { certificate: string; key: string } {
  const files = { certificate: `${folder}/certificate.pem`, key: `${folder}/key.pem` };
  const ran = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'],
    ...['-subj', '/CN=localhost', '-keyout', files.key, '-out', files.certificate],
  ]);
  if (ran.status !== 0) throw new Error(`openssl made no certificate: ${ran.stderr}`);
  return files;
}

/** A connection without an SDK: cheap, answers pings, forgets what it hears. */
export class Bare {
  #socket: WebSocket;
  #connect: string;
  /** Settles when the socket is open, or is not to be. */
  readonly opened: Promise<void>;
  /** Settles when it is in or refused. */
  readonly answered: Promise<boolean>;

  /** Comes in by itself, unless it is to wait for [`knock`]. */
  constructor(address: string, connect: object, waits = false) {
    this.#connect = JSON.stringify({ id: 1, connect });
    this.#socket = new WebSocket(`ws://${address}/connection/websocket`);
    this.opened = new Promise((resolve) => {
      for (const event of ['open', 'close', 'error']) this.#socket.on(event, () => resolve());
    });
    this.answered = new Promise((resolve) => {
      if (!waits) this.#socket.on('open', () => this.knock());
      this.#socket.on('message', (data) => {
        for (const line of String(data).split('\n')) {
          if (line === '{}') this.#socket.send('{}');
          else if (line.includes('"connect":')) resolve(true);
          else if (line.includes('"error":')) resolve(false);
        }
      });
      this.#socket.on('close', () => resolve(false));
      this.#socket.on('error', () => resolve(false));
    });
  }

  /** A socket that is open and has not said who it is. */
  static atTheDoor(address: string, connect: object): Bare {
    return new Bare(address, connect, true);
  }

  /** Asks to come in. */
  knock(): void {
    this.raw(this.#connect);
  }

  send(command: object): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(command));
  }

  raw(bytes: string | Buffer): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(bytes);
  }

  /** Reads no more, as a phone in a tunnel. */
  pause(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#socket.terminate();
  }
}

/** From 0 to 1, slowly first, fast in the middle, as a morning does. */
const risen = (part: number) => (part >= 1 ? 1 : part * part * (3 - 2 * part));

const strong = () => ({ loa: 'substantial', auth_time: token.now() });

/** A TLS handshake, and a second one that resumes it. */
function handshakes(address: string): Promise<void> {
  const [host, port] = address.split(':');
  const once = (session?: Buffer) =>
    new Promise<Buffer | undefined>((resolve) => {
      let ticket: Buffer | undefined;
      const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ['http/1.1'], session });
      socket.on('session', (given) => (ticket = given));
      socket.on('secureConnect', () => socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'));
      socket.on('close', () => resolve(ticket));
      socket.on('error', () => resolve(ticket));
      socket.resume();
    });
  return once().then((session) => once(session)).then(() => undefined);
}

export interface Load {
  /** Lets it run on until it is stopped. */
  stop(): Promise<void>;
}

/** Starts the morning. `crowd` are the pupils that come one after the other over `rampSeconds`. */
export async function startLoad(server: Server, tlsAddress: string, crowd: number, rampSeconds: number): Promise<Load> {
  const { address } = server;
  const teacher = new Actor(people.teacher, address, strong());
  const leader = new Actor(people.leader, address, strong());
  const municipality = new Actor(people.municipality, address, strong());
  const guardian = new Actor(guardians[0]!, address);
  const child = new Actor(people.children[0]!, address);
  const actors = [teacher, leader, municipality, guardian, child];
  await Promise.all(actors.map((actor) => actor.connect()));

  const clients = ways.map((way) => way.client(address, { token: token.of(`gæst-${way.name}`) }));
  const subscriptions = clients.map((client, n) => {
    const kept = client.newSubscription('kept:tavle');
    kept.subscribe();
    const open = client.newSubscription('open:gård', { joinLeave: true });
    if (n < 2) open.subscribe();
    client.connect();
    return kept;
  });
  const filtered = clients[0]!.newSubscription('tags:vejr', { tagsFilter: { key: 'slags', cmp: 'eq', val: 'sport' } });
  filtered.subscribe();
  await Promise.all(clients.map((client) => client.ready()));
  await Promise.all(subscriptions.map((subscription) => subscription.ready()));

  const begin = async () => {
    const to = { recipients: [{ group: CLASS }], replies: 'everyone' };
    return (await teacher.call('thread.create', { subject: 'Til 2.A', text: 'God morgen', ...to })).thread;
  };
  let thread = await begin();
  const secret = await teacher.call('thread.create', {
    subject: 'Fortroligt',
    text: 'Kun for dig',
    recipients: [{ profile: guardians[0]!.profile }],
    sensitive: true,
  });

  const bare: Bare[] = [];
  const strangers: Bare[] = [];
  const come = (subject: string) => bare.push(new Bare(address, { token: token.of(subject), name: 'js' }));
  // In this order they come: staff first, then guardians, then pupils.
  const coming = [
    ...['office', 'town-hall', 'other-teacher'],
    ...guardians.slice(1).map((it) => it.subject),
    ...people.children.slice(1).map((it) => it.subject),
    ...people.crowd.slice(0, crowd).map((it) => it.subject),
  ];
  const began = Date.now();
  let beat = 0;
  let running = true;
  const quiet = <T>(work: Promise<T>) => Promise.race([work.then(() => undefined, () => undefined), patience()]);

  const one = async (n: number): Promise<void> => {
    const due = Math.ceil(coming.length * risen((Date.now() - began) / (rampSeconds * 1000)));
    while (bare.length < due) come(coming[bare.length]!);
    // A thread holds a thousand messages; a morning has more than one thread.
    if (n % BEATS_A_THREAD === BEATS_A_THREAD - 1) thread = await begin();
    const work: Promise<unknown>[] = [
      teacher.call('message.send', { thread: thread.id, text: `Nummer ${n}` }),
      guardian.call('message.reply', { thread: thread.id, text: `Svar ${n}` }),
      guardian.call('badge.get'),
      server.api('publish', { channel: 'kept:tavle', data: { n } }),
      server.api('broadcast', { channels: ['open:gård', 'kept:andet'], data: { n } }),
      server.api('publish', { channel: 'tags:vejr', data: { n }, tags: { slags: n % 2 ? 'vejr' : 'sport' } }),
    ];
    if (n % 3 === 0) {
      work.push(
        teacher.call('post.publish', { place: { group: CLASS }, title: `Opslag ${n}`, body: 'Husk madpakke' }),
        teacher.call('notification.create', { recipients: [guardians[1]!.profile], event: 'child.checked_in', tag: `in:${n}` }),
        // A phone that does not know whether it was heard says it again.
        ...[1, 2].map(() => teacher.call('message.send', { thread: thread.id, text: `Igen ${n}`, idempotency_key: `igen-${n}` })),
        teacher.call('thread.list', { limit: 20 }),
        child.call('message.list', { thread: thread.id }),
      );
    }
    if (n % 5 === 0) work.push(...refusals(n), handshakes(tlsAddress));
    if (n % 6 === 0) work.push(returning(n));
    await Promise.all(work.map(quiet));
  };

  /** What is not allowed, a little of each; a storm of it is for the faults. */
  const refusals = (n: number): Promise<unknown>[] => [
    child.call('post.publish', { place: { group: CLASS }, title: 'Fri', body: 'Fri' }),
    child.call('thread.get', { thread: 'G1.t999999' }),
    guardian.call('thread.get', { thread: secret.thread.id }),
    guardian.call('message.list', { thread: secret.thread.id }),
    municipality.call(n % 2 ? 'communication.block' : 'communication.unblock', { unit: 'M1', kind: 'external_actor' }),
    // The child is connected, so its rights change under it.
    leader.call(n % 10 ? 'group.remove_member' : 'group.add_member', { group: 'G1.g2', member: people.children[0]!.profile }),
    server.api('publish', { channel: 'ukendt:kanal', data: 1 }),
    server.api('unsubscribe', { channel: 'kept:tavle', user: 'gæst-SSE' }).then(() => subscriptions[3]!.subscribe()),
    fetch(`http://${address}/health`).then((answer) => answer.text()),
    clients[0]!.history('open:gård', { limit: 1 }),
    clients[0]!.presence('open:gård'),
    clients[0]!.publish('open:gård', { n }),
    ...(n % 40 === 0 ? [foreign()] : []),
  ];

  /** A page from elsewhere, and a token that is none. */
  const foreign = async (): Promise<void> => {
    const page = new WebSocket(`ws://${address}/connection/websocket`, { origin: 'https://et.andet.sted' });
    await new Promise((resolve) => page.on('error', resolve).on('open', resolve));
    page.terminate();
    await fetch(`http://${address}/v1/session`, { headers: { Authorization: 'Bearer forkert' } }).then((answer) => answer.text());
    const guess = new Bare(address, { token: 'ikke.et.token' });
    await guess.answered;
    guess.close();
  };

  /** Somebody goes and comes back, and fetches what was said meanwhile. */
  const returning = async (n: number): Promise<void> => {
    const client = clients[n % clients.length]!;
    client.disconnect();
    await server.api('publish', { channel: 'kept:tavle', data: { mens: n } });
    client.connect();
    await client.ready();
    const away = new Bare(address, {
      token: token.of('andre'),
      subs: { 'kept:tavle': { recover: true, epoch: 'en anden', offset: 1 } },
    });
    await away.answered;
    away.send({ id: 2, subscribe: { channel: 'kept:andet', recover: true, epoch: 'en anden', offset: 3 } });
    away.send({ id: 3, subscribe: { channel: 'closed:dør' } });
    strangers.push(away);
    if (strangers.length > STRANGERS_MAX) strangers.shift()?.close();
  };

  // A slow answer does not slow the beat down; only very many of them do.
  const under = new Set<Promise<void>>();
  const loop = (async () => {
    while (running) {
      const work = one(beat++).finally(() => under.delete(work));
      under.add(work);
      if (under.size >= BEATS_UNDER_WAY_MAX) await Promise.race(under);
      await new Promise((resolve) => setTimeout(resolve, BEAT_MS));
    }
    await Promise.all(under);
  })();

  return {
    stop: async () => {
      running = false;
      await loop;
      await Promise.all(actors.map((actor) => actor.close()));
      for (const client of clients) client.disconnect();
      for (const one of [...bare, ...strangers]) one.close();
    },
  };
}
