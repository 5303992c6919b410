// A person of the class scenario on one of the three SDKs, with everything they ever see.

import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { Centrifuge as Json } from 'centrifuge';
import { Centrifuge as Protobuf } from 'centrifuge/build/protobuf';
import WebSocket from 'ws';

import { asBytes, asIs } from './sdk.js';

import * as token from './token.js';
import { event, until } from './wait.js';

const PYTHON_MEMBER = join(dirname(fileURLToPath(import.meta.url)), '../../python/member.py');

class Member {
  /** Every entry, in the order it came. */
  entries = [];

  constructor({ subject, profile }) {
    this.subject = subject;
    this.profile = profile;
  }

  /** The entries about messages of a thread that hold this text, or all of the thread. */
  messages(thread, text) {
    return this.entries
      .filter((entry) => entry.type === 'message' && entry.thread.id === thread)
      .map((entry) => entry.message)
      .filter((message) => text === undefined || message.text === text);
  }

  /** Whether a text ever stood in anything that came. */
  hasSeen(text) {
    return JSON.stringify(this.entries).includes(text);
  }
}

/** On the JavaScript SDK; the only kind that can also act. */
export class Actor extends Member {
  constructor(person, address, claims = {}, protobuf = false) {
    super(person);
    this.lost = [];
    this.data = protobuf ? asBytes : asIs;
    const Centrifuge = protobuf ? Protobuf : Json;
    this.client = new Centrifuge(`ws://${address}/connection/websocket`, {
      token: token.of(person.subject, claims),
      getToken: async () => token.of(person.subject, claims),
      websocket: WebSocket,
      minReconnectDelay: 20,
      maxReconnectDelay: 200,
      timeout: 20_000,
      // A server that is killed takes leave of nobody over UDP: what tells is that its pings are missing.
      maxServerPingDelay: 5_000,
    });
    this.client.on('publication', ({ data }) => this.entries.push(this.data.in(data)));
    this.client.on('unsubscribed', ({ channel }) => this.lost.push(channel));
  }

  async connect() {
    this.client.connect();
    await this.client.ready();
    return this;
  }

  /** Runs an operation as this person. */
  async call(operation, input = {}) {
    return this.ask(operation, { profile: this.profile, ...input });
  }

  /** Runs an operation that is for whoever is logged in. */
  async ask(operation, input = {}) {
    return this.data.in((await this.client.rpc(operation, this.data.out(input))).data);
  }

  /** The code with which an operation refuses. */
  async refused(operation, input) {
    try {
      await this.call(operation, input);
    } catch (failure) {
      return failure.code;
    }
    throw new Error(`${operation} was not refused`);
  }

  /**
   * Everything said in the unit before this call has arrived when it returns: the answer comes from the same ledger, behind
   * what it said.
   */
  async fence() {
    await this.call('badge.get');
  }

  async close() {
    this.client.disconnect();
  }

  /** What waits, counted anew over all pages: unread threads that are not muted, and notifications. */
  async recount() {
    let messages = 0;
    let cursor;
    do {
      const page = await this.call('thread.list', { limit: 100, ...(cursor ? { cursor } : {}) });
      messages += page.threads.filter((thread) => thread.unread > 0 && !thread.muted).length;
      cursor = page.cursor;
    } while (cursor);
    const { notifications } = await this.call('notification.list');
    return { messages, notifications: notifications.length };
  }

  async badge() {
    return (await this.call('badge.get')).badge;
  }

  reconnected() {
    return event(this.client, 'connected');
  }
}

/** On another language's SDK, as a process that prints what it sees. */
export class Listener extends Member {
  constructor(person, command, arguments_, address) {
    super(person);
    const url = `ws://${address}/connection/websocket`;
    this.process = spawn(command, [...arguments_, url, token.of(person.subject)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.connected = 0;
    createInterface(this.process.stdout).on('line', (line) => {
      const { what, data } = JSON.parse(line);
      if (what === 'connected') this.connected += 1;
      if (what === 'entry') this.entries.push(data);
    });
  }

  async connect() {
    await until(() => this.connected > 0, `${this.subject} connects`);
    return this;
  }

  async close() {
    this.process.stdin.end();
    this.process.kill();
  }
}

export const onPython = (person, address, protobuf = false) => {
  const arguments_ = [PYTHON_MEMBER, ...(protobuf ? ['--protobuf'] : [])];
  return new Listener(person, process.env.KLOKKE_PYTHON ?? 'python3', arguments_, address);
};

export const onGo = (person, address) => {
  const program = process.env.KLOKKE_GO_MEMBER;
  if (!program) throw new Error('KLOKKE_GO_MEMBER does not name the built member of tests/sdk/go');
  return new Listener(person, program, [], address);
};
