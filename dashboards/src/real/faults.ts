// The faults: for each alert something real that goes wrong with a real server, so that it fires once.
//
// Each case has a server of its own, which Prometheus sees as a cluster of its own, so that no fault hides behind another.

import { spawn, spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Actor } from '../../../tests/sdk/js/support/member.js';
import { people } from '../../../tests/sdk/js/support/school.js';
import * as token from '../../../tests/sdk/js/support/token.js';
import { Bare, school } from './load.ts';
import type { Around, Server } from './server.ts';

/** A fault, and the alerts it must raise. */
export interface Fault {
  /** What goes wrong, for the test's name. */
  what: string;
  alerts: string[];
  /** How often it is scraped, where the fault makes answers late. */
  scrapeEvery?: string;
  around(folder: string): Around;
  /** Makes it go wrong, and goes on with it until every alert has fired. */
  inject(server: Server, isOver: () => boolean): Promise<void>;
}

const HERE = dirname(fileURLToPath(import.meta.url));
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const quiet = <T>(work: Promise<T>) => work.then(() => undefined, () => undefined);

/** A disk that can be made slow or failing while the server runs; see faults/disk.c. */
function disk(folder: string): { environment: Record<string, string>; say: (what: string) => void } {
  const library = join(folder, 'disk.so');
  const ran = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, join(HERE, '../../faults/disk.c'), '-ldl'], { encoding: 'utf8' });
  if (ran.status !== 0) throw new Error(`cc cannot build faults/disk.c: ${ran.stderr}`);
  const said = join(folder, 'disk.txt');
  writeFileSync(said, 'well');
  return { environment: { LD_PRELOAD: library, DISK_FAULT: said }, say: (what) => writeFileSync(said, what) };
}

const strong = () => ({ loa: 'substantial', auth_time: token.now() });

/** Cuts a store's journal in half, as a lost disk block does; the zeros it is filled up with do not count. */
function cutJournal(data: string): void {
  const journals = readdirSync(data, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.jnl'));
  for (const name of journals) {
    const path = join(data, name);
    const bytes = readFileSync(path);
    let end = bytes.length;
    while (end > 0 && bytes[end - 1] === 0) end -= 1;
    const file = openSync(path, 'r+');
    ftruncateSync(file, Math.floor(end / 2));
    closeSync(file);
  }
}

/** Comes in where each login is written down first, at a door for one at a time: the others wait as long as the disk takes (the panel
 * `Waiting to get in`). */
async function wait(server: Server, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const login = (nth: number) => token.of(people.teacher.subject, { ...strong(), auth_time: token.now() - nth });
    const coming = Array.from({ length: 8 }, (_, nth) => new Bare(server.address, { token: login(nth) }));
    await Promise.race([Promise.all(coming.map((one) => one.answered)), pause(2_000)]);
    for (const one of coming) one.close();
  }
}

export const down: Fault = {
  what: 'the server is killed',
  alerts: ['KlokkeDown'],
  around: () => ({}),
  inject: (server) => server.stop('SIGKILL'),
};

export function badDisk(): Fault[] {
  let say: (what: string) => void = () => undefined;
  return [
    {
      what: 'the disk takes 0.7 seconds for every flush',
      alerts: ['KlokkeDeliveryBurn', 'KlokkeAckBurn', 'KlokkeBudgetBurn'],
      around: (folder) => {
        const made = disk(folder);
        say = made.say;
        return { people: school, environment: made.environment };
      },
      inject: async (server, isOver) => {
        const guardians: { subject: string; profile: string }[] = people.guardians.slice(0, 12);
        const writers = await Promise.all(guardians.map((guardian) => new Actor(guardian, server.address).connect()));
        const listener = new Bare(server.address, { token: token.of('lytter') });
        await listener.answered;
        listener.send({ id: 2, subscribe: { channel: 'kept:tavle' } });
        say('slow 700');
        const letter = { subject: 'x', text: 'x', recipients: [{ profile: people.leader.profile }] };
        const publishing = Array.from({ length: 12 }, () => () => server.api('publish', { channel: 'kept:tavle', data: 1 }));
        const writing = writers.map((writer) => () => writer.call('thread.create', letter));
        await Promise.all([...publishing, ...writing].map(async (once) => { while (!isOver()) await quiet(once()); }));
        say('well');
        await Promise.all(writers.map((writer) => writer.close()));
        listener.close();
      },
    },
    {
      what: 'the disk takes 4 seconds for every flush, while one unit has something to tell another',
      alerts: ['KlokkeOutboxStuck'],
      around: (folder) => {
        const made = disk(folder);
        say = made.say;
        return { people: school, environment: made.environment, settings: { 'admission.connects_at_once_max': 1, 'node.shards': 1 } };
      },
      inject: async (server, isOver) => {
        const municipality = await new Actor(people.municipality, server.address, strong()).connect();
        // What the teacher is, is known from here on.
        const teacher = await new Actor(people.teacher, server.address).connect();
        await teacher.close();
        say('slow 4000');
        const telling = async () => {
          for (let n = 0; !isOver(); n += 1) {
            const turn = n % 2 ? 'communication.unblock' : 'communication.block';
            await quiet(municipality.call(turn, { unit: 'M1', kind: 'external_actor' }));
          }
        };
        await Promise.all([telling(), wait(server, isOver)]);
        say('well');
        await municipality.close();
      },
    },
    {
      what: 'the disk refuses to flush',
      alerts: ['KlokkeStoreUnavailable', 'KlokkeLogErrors'],
      around: (folder) => {
        const made = disk(folder);
        say = made.say;
        return { people: school, environment: made.environment };
      },
      inject: async (server, isOver) => {
        say('fail');
        while (!isOver()) {
          await server.api('publish', { channel: 'kept:tavle', data: 1 });
          await pause(100);
        }
      },
    },
  ];
}

export const frozen: Fault = {
  what: 'the machine freezes for 0.6 seconds again and again',
  alerts: ['KlokkeShardLag'],
  scrapeEvery: '800ms',
  around: () => ({}),
  inject: async (server, isOver) => {
    while (!isOver()) {
      server.signal('SIGSTOP');
      await pause(600);
      server.signal('SIGCONT');
      await pause(200);
    }
  },
};

export const crowded: Fault = {
  what: 'the whole staff comes at once to a door for one at a time',
  alerts: ['KlokkeStaffRefused', 'KlokkeConnectBurn'],
  // A fast machine lets some dozen in within the wait; the others must be many times that.
  around: () => ({ people: school, settings: { 'admission.connects_at_once_max': 1, 'admission.wait_max': '1ms' } }),
  inject: async (server, isOver) => {
    const staff = [people.teacher, people.leader, people.office, people.townHall, people.otherTeacher];
    while (!isOver()) {
      const coming = Array.from({ length: 400 }, (_, n) => Bare.atTheDoor(server.address, { token: token.of(staff[n % staff.length]!.subject) }));
      await Promise.all(coming.map((one) => one.opened));
      for (const one of coming) one.knock();
      await Promise.all(coming.map((one) => one.answered));
      for (const one of coming) one.close();
    }
  },
};

/** Programs that take all they can get of the first processor. */
const GREEDY = 6;

export const starved: Fault = {
  what: 'other programs take the processor, and people keep coming',
  alerts: ['KlokkeShedding'],
  scrapeEvery: '1500ms',
  around: () => ({ behindOthers: true, settings: { 'admission.lag_max': '4ms' } }),
  inject: async (server, isOver) => {
    const spin = ['--cpu-list', '0', process.execPath, '--eval', 'for (;;);'];
    const greedy = Array.from({ length: GREEDY }, () => spawn('taskset', spin, { stdio: 'ignore' }));
    try {
      while (!isOver()) {
        const coming = Array.from({ length: 40 }, (_, n) => new Bare(server.address, { token: token.of(`p-${n}`) }));
        await Promise.race([Promise.all(coming.map((one) => one.answered)), pause(2_000)]);
        for (const one of coming) one.close();
      }
    } finally {
      for (const one of greedy) one.kill('SIGKILL');
    }
  },
};

/** Connects with tokens that somebody made up. */
async function guess(server: Server, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const guessing = Array.from({ length: 8 }, () => new Bare(server.address, { token: token.signed({ sub: 'x' }, 'gættet') }));
    await Promise.all(guessing.map((one) => one.answered));
    for (const one of guessing) one.close();
  }
}

/** Sends more than a frame may hold. */
async function breakFrames(server: Server, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const broken = Array.from({ length: 4 }, () => new Bare(server.address, { token: token.of('x') }));
    await Promise.all(broken.map((one) => one.answered));
    for (const one of broken) one.raw('*'.repeat(100_000));
    await pause(200);
    for (const one of broken) one.close();
  }
}

/** Subscribes and does not read: first the kernel's buffers fill, then the queue, slowly enough to be seen, then it is closed. */
async function dawdle(server: Server, channel: string, isOver: () => boolean): Promise<void> {
  const text = '*'.repeat(60_000);
  while (!isOver()) {
    const slow = Array.from({ length: 4 }, () => new Bare(server.address, { token: token.of('y') }));
    await Promise.all(slow.map((one) => one.answered));
    for (const one of slow) {
      one.send({ id: 2, subscribe: { channel } });
      one.pause();
    }
    for (let n = 0; n < 170 && !isOver(); n += 1) {
      await server.api('publish', { channel, data: text });
      if (n >= 80) await pause(15);
    }
    for (const one of slow) one.close();
  }
}

export const hostile: Fault = {
  what: 'guessed tokens, broken frames, and readers that do not read',
  alerts: ['KlokkeTokensRefused', 'KlokkeFramesRefused', 'KlokkeSlowConsumers'],
  around: () => ({}),
  inject: async (server, isOver) => {
    const slow = ['open:a', 'open:b'].map((channel) => dawdle(server, channel, isOver));
    await Promise.all([guess(server, isOver), breakFrames(server, isOver), ...slow]);
  },
};

export const fewFiles: Fault = {
  what: 'a limit of 120 file handles, and people who stay',
  alerts: ['KlokkeFileHandles'],
  around: () => ({ files: 120 }),
  inject: async (server, isOver) => {
    const staying: Bare[] = [];
    for (let n = 0; n < 85; n += 1) {
      const one = new Bare(server.address, { token: token.of(`p-${n}`) });
      await Promise.race([one.answered, pause(500)]);
      staying.push(one);
    }
    while (!isOver()) await pause(100);
    for (const one of staying) one.close();
  },
};

export const littleMemory: Fault = {
  what: 'a server that may have no more memory than an empty one has',
  alerts: ['KlokkeMemoryHigh'],
  around: () => ({ settings: { 'node.memory_limit_bytes': 24 * 1024 * 1024 } }),
  inject: async (server, isOver) => {
    // Entries kept for recovery fill it.
    while (!isOver()) {
      await Promise.all(
        Array.from({ length: 20 }, (_, n) => server.api('publish', { channel: `kept:${n}`, data: '*'.repeat(20_000) })),
      );
    }
  },
};

export const damaged: Fault = {
  what: 'the journal is cut in half while the server is off',
  alerts: ['KlokkeStoreDamaged'],
  around: () => ({ people: school }),
  inject: async (server) => {
    // What lies in the journal is what was written last.
    for (let n = 0; n < 50; n += 1) await server.api('publish', { channel: 'kept:tavle', data: n });
    await server.stop('SIGKILL');
    cutJournal(server.data);
    await server.start();
  },
};

export const noKeys: Fault = {
  what: 'the key set is not where it should be',
  alerts: ['KlokkeKeysetFailing'],
  around: (folder) => ({ settings: { 'client.token.jwks_file': join(folder, 'nothing.json') } }),
  inject: async () => undefined,
};
