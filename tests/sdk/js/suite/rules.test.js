// The rules of the school, one case each, with a few people of the class on the unmodified SDK: what must arrive, and what must
// never arrive.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Actor } from '../support/member.js';
import { CLASS, SCHOOL, WHOLE_SCHOOL, lines, people } from '../support/school.js';
import { Server } from '../support/server.js';
import * as token from '../support/token.js';
import { event, until } from '../support/wait.js';

const code = { notAllowed: 403, notFound: 404, stepUp: 1001, blocked: 1002, outside: 1003, tooMany: 1004, notYours: 1007, refusedStepUp: 1013 };

/** How long a strong login shows sensitive content. */
const STEP_UP_S = 20 * 60;
/** The first screen of one profile, whatever was missed: one round trip on a poor line. */
const FIRST_SCREEN_BYTES_MAX = 16 * 1024;
/** Publications that one recovery replays at most. */
const RECOVERY_MAX = 300;

const strong = () => ({ loa: 'substantial', auth_time: token.now() });

describe('the rules', () => {
  let server;
  const open = [];
  const cast = {};

  const join_ = async (person, claims = {}) => {
    const actor = new Actor(person, server.address, claims);
    open.push(actor);
    return actor.connect();
  };

  before(async () => {
    server = new Server({ 'client.queue_max_size_bytes': 4_194_304 });
    const file = join(server.folder, 'school.jsonl');
    writeFileSync(file, lines());
    server.run('import', file, '--apply');
    await server.start();
    cast.teacher = await join_(people.teacher, strong());
    cast.leader = await join_(people.leader, strong());
    cast.municipality = await join_(people.municipality, strong());
    for (const name of ['townHall', 'stranger', 'granted', 'otherTeacher']) cast[name] = await join_(people[name]);
    cast.guardians = await Promise.all(people.guardians.slice(0, 6).map((guardian) => join_(guardian)));
    [cast.child] = await Promise.all([join_(people.children[0])]);
  });

  after(async () => {
    await Promise.all(open.map((actor) => actor.close()));
    await server?.remove();
  });

  const toOne = (person, text, more = {}) =>
    cast.teacher.call('thread.create', { subject: text, text, recipients: [{ profile: person.profile }], ...more });

  test('a new participant sees the whole thread: edits, withdrawals and who came are in it; the words withdrawn are not', async () => {
    const [guardian, second, outsider] = cast.guardians;
    const { thread, message } = await toOne(guardian, 'Ordlyd før rettelse', { replies: 'everyone' });
    await cast.teacher.call('message.edit', { thread: thread.id, message: message.id, text: 'Ordlyd efter rettelse' });
    const slip = await cast.teacher.call('message.send', { thread: thread.id, text: 'Smuttede ud' });
    await cast.teacher.call('message.withdraw', { thread: thread.id, message: slip.id });
    for (let n = 0; n < 30; n += 1) await guardian.call('message.send', { thread: thread.id, text: `Svar ${n}` });
    assert.equal(await second.refused('message.list', { thread: thread.id }), code.notFound);
    await cast.teacher.call('thread.add_participants', { thread: thread.id, recipients: [{ profile: second.profile }] });

    const all = [];
    let cursor;
    do {
      const page = await second.call('message.list', { thread: thread.id, limit: 10, ...(cursor ? { cursor } : {}) });
      all.push(...page.messages);
      cursor = page.cursor;
    } while (cursor);
    const told = all.reverse().map((said) => [said.kind, said.text, Boolean(said.edited_ms), Boolean(said.withdrawn_ms)]);
    assert.deepEqual(told, [
      ['message', 'Ordlyd efter rettelse', true, false],
      ['message', undefined, false, true],
      ...Array.from({ length: 30 }, (_, n) => ['message', `Svar ${n}`, false, false]),
      ['participants_added', undefined, false, false],
    ]);
    assert.deepEqual(all.at(-1).about.map(({ profile }) => profile), [second.profile]);
    // The new one is told live from now on, and hears of being added; who is not in the thread hears nothing.
    await until(() => second.messages(thread.id).some((said) => said.kind === 'participants_added'));
    await cast.teacher.call('message.send', { thread: thread.id, text: 'Velkommen i tråden' });
    await until(() => second.messages(thread.id, 'Velkommen i tråden').length === 1);
    await outsider.fence();
    for (const words of ['Ordlyd', 'Smuttede ud', 'Svar 0', 'Velkommen i tråden']) assert.equal(outsider.hasSeen(words), false, words);
    assert.equal(second.hasSeen('Smuttede ud'), false);
  });

  test('changes are entries: each is told once to each participant, in the order it was made', async () => {
    const [guardian, second, third] = cast.guardians;
    const { thread, message } = await toOne(guardian, 'Første ord', { replies: 'everyone' });
    await cast.teacher.call('message.edit', { thread: thread.id, message: message.id, text: 'Andre ord' });
    await cast.teacher.call('thread.add_participants', { thread: thread.id, recipients: [{ profile: second.profile }, { profile: third.profile }] });
    await third.call('thread.leave', { thread: thread.id });
    await cast.teacher.call('message.withdraw', { thread: thread.id, message: message.id });
    const told = () => guardian.messages(thread.id).map((said) => (said.withdrawn_ms ? 'withdrawn' : said.edited_ms ? 'edited' : said.kind));
    await until(() => told().length >= 5);
    await guardian.fence();
    assert.deepEqual(told(), ['message', 'edited', 'participants_added', 'participant_left', 'withdrawn']);
    // Nobody changes another's words.
    const { thread: other, message: theirs } = await toOne(guardian, 'Lærerens egne ord');
    for (const operation of ['message.edit', 'message.withdraw']) {
      const input = { thread: other.id, message: theirs.id, ...(operation === 'message.edit' ? { text: 'Forfalsket' } : {}) };
      assert.equal(await guardian.refused(operation, input), code.notAllowed);
    }
    assert.equal(cast.teacher.hasSeen('Forfalsket'), false);
  });

  test('who is blocked writes nothing anywhere; others write, and reading goes on', async () => {
    const [guardian] = cast.guardians;
    const { thread } = await toOne(guardian, 'Før der blev lukket', { replies: 'everyone' });
    await cast.leader.call('communication.block', { unit: SCHOOL, kind: 'guardian' });
    try {
      const words = 'Ord fra en der er lukket ude';
      const attempts = [
        ['thread.create', { subject: words, text: words, recipients: [{ profile: cast.teacher.profile }] }],
        ['message.send', { thread: thread.id, text: words }],
        ['message.reply', { thread: thread.id, text: words }],
      ];
      for (const [operation, input] of attempts) assert.equal(await guardian.refused(operation, input), code.blocked, operation);
      await cast.teacher.call('message.send', { thread: thread.id, text: 'Læreren kan stadig skrive' });
      await until(() => guardian.messages(thread.id, 'Læreren kan stadig skrive').length === 1);
      await cast.child.call('thread.create', { subject: 'Fra eleven', text: 'Fra eleven', recipients: [{ profile: cast.teacher.profile }] });
      await cast.teacher.fence();
      assert.equal(cast.teacher.hasSeen(words), false);
    } finally {
      await cast.leader.call('communication.unblock', { unit: SCHOOL, kind: 'guardian' });
    }
    await guardian.call('message.send', { thread: thread.id, text: 'Åbent igen' });
    await until(() => cast.teacher.messages(thread.id, 'Åbent igen').length === 1);
  });

  test('a municipality closes for all its schools, and a school cannot open what is closed above', async () => {
    const [guardian] = cast.guardians;
    const input = { subject: 'Hej', text: 'Hej', recipients: [{ profile: cast.teacher.profile }] };
    const isBlocked = async () => {
      try {
        await guardian.call('thread.create', input);
        return false;
      } catch (failure) {
        assert.equal(failure.code, code.blocked);
        return true;
      }
    };
    assert.equal(await cast.leader.refused('communication.block', { unit: 'M1', kind: 'guardian' }), code.notYours);
    await cast.municipality.call('communication.block', { unit: 'M1', kind: 'guardian' });
    await until(isBlocked, 'the school hears of it');
    await cast.leader.call('communication.unblock', { unit: SCHOOL, kind: 'guardian' }).catch(() => {});
    assert.equal(await isBlocked(), true);
    await cast.municipality.call('communication.unblock', { unit: 'M1', kind: 'guardian' });
    await until(async () => !(await isBlocked()), 'the school is open again');
  });

  test('the town hall writes inside its municipality only, unless it was granted', async () => {
    const write = (words) => ({ subject: words, text: words, recipients: [{ profile: cast.teacher.profile }] });
    await cast.townHall.call('thread.create', write('Fra egen kommune'));
    await cast.granted.call('thread.create', write('Fra nabokommunen med adgang'));
    assert.equal(await cast.stranger.refused('thread.create', write('Fra nabokommunen uden adgang')), code.outside);
    await until(() => cast.teacher.hasSeen('Fra egen kommune') && cast.teacher.hasSeen('Fra nabokommunen med adgang'));
    await cast.teacher.fence();
    assert.equal(cast.teacher.hasSeen('Fra nabokommunen uden adgang'), false);
  });

  test('400 recipients are reached, 401 are refused and none of them hears of it', async () => {
    const last = await join_(people.crowd[399]);
    const beyond = await join_(people.crowd[400]);
    const named = (count) => people.crowd.slice(0, count).map(({ profile }) => ({ profile }));
    const { thread, recipients } = await cast.leader.call('thread.create', { subject: 'Til 400', text: 'Til 400', recipients: named(400) });
    assert.equal(recipients, 400);
    await until(() => last.messages(thread.id, 'Til 400').length === 1);
    assert.equal(await cast.leader.refused('thread.create', { subject: 'Til 401', text: 'Til 401', recipients: named(401) }), code.tooMany);
    const group = [{ group: WHOLE_SCHOOL }];
    assert.equal(await cast.leader.refused('thread.create', { subject: 'Til 401', text: 'Til 401', recipients: group }), code.tooMany);
    // Nor by adding them afterwards.
    const one = [{ profile: beyond.profile }];
    assert.equal(await cast.leader.refused('thread.add_participants', { thread: thread.id, recipients: one }), code.tooMany);
    await Promise.all([last.fence(), beyond.fence()]);
    for (const pupil of [last, beyond]) assert.equal(pupil.hasSeen('Til 401'), false, pupil.subject);
    assert.equal(beyond.hasSeen('Til 400'), false);
  });

  test('one sensitive unread message hides itself and nothing else', async () => {
    const person = people.guardians[6];
    const guardian = await join_(person);
    await toOne(person, 'Almindelig før');
    const { thread } = await toOne(person, 'Ganske hemmeligt', { sensitive: true });
    await toOne(person, 'Almindelig efter');
    await cast.teacher.call('post.publish', { place: { group: CLASS }, title: 'Opslag ved siden af', body: 'x' });
    await until(() => guardian.hasSeen('Almindelig efter') && guardian.hasSeen('Opslag ved siden af'));
    const { data } = await guardian.client.rpc('session.start', {});
    const [screen] = data.screens;
    assert.deepEqual(screen.threads.slice(0, 3).map((it) => [it.subject, it.step_up_required, it.unread]), [
      ['Almindelig efter', false, 1],
      [undefined, true, 1],
      ['Almindelig før', false, 1],
    ]);
    assert.ok(screen.posts.some(({ title }) => title === 'Opslag ved siden af'));
    assert.deepEqual(screen.badge, await guardian.recount());
    const listed = await guardian.call('thread.list', { unread: true });
    assert.equal(listed.threads.length, screen.badge.messages);
    const read = await guardian.call('message.list', { thread: screen.threads[0].id });
    assert.deepEqual(read.messages.map(({ text }) => text), ['Almindelig efter']);
    assert.equal(guardian.hasSeen('Ganske hemmeligt'), false);
    assert.equal((await guardian.call('message.list', { thread: thread.id })).step_up_required, true);
  });

  test('a stepped-up session is shown in full until its login lapses, and then no more', async () => {
    const person = people.guardians[7];
    const until_ms = (token.now() + 3) * 1000;
    const guardian = await join_(person, { loa: 'substantial', auth_time: until_ms / 1000 - STEP_UP_S });
    const { thread } = await toOne(person, 'Vises mens det varer', { sensitive: true });
    await until(() => guardian.messages(thread.id, 'Vises mens det varer').length === 1);
    await until(() => Date.now() > until_ms);
    await cast.teacher.call('message.send', { thread: thread.id, text: 'Vises ikke længere' });
    await until(() => guardian.messages(thread.id).length === 2);
    assert.equal(guardian.hasSeen('Vises ikke længere'), false);
    assert.equal((await guardian.call('message.list', { thread: thread.id })).step_up_required, true);
    // The same old login does not help; a new one does.
    const old = token.of(person.subject, { loa: 'substantial', auth_time: until_ms / 1000 - STEP_UP_S });
    await assert.rejects(guardian.client.rpc('session.step_up', { token: old }), { code: code.refusedStepUp });
    await guardian.client.rpc('session.step_up', { token: token.of(person.subject, strong()) });
    const opened = await guardian.call('message.list', { thread: thread.id });
    assert.deepEqual(opened.messages.map(({ text }) => text), ['Vises ikke længere', 'Vises mens det varer']);
  });

  test('who saw a sensitive thread can be answered: those who saw it in full, and nobody else', async () => {
    const person = people.guardians[8];
    const guardian = await join_(person);
    const { thread } = await toOne(person, 'Sporet indhold', { sensitive: true });
    await guardian.call('message.list', { thread: thread.id });
    const seenBy = async () => {
      const { accesses } = await cast.leader.call('access.list', { thread: thread.id });
      return accesses.map(({ profile }) => profile);
    };
    assert.equal((await seenBy()).includes(person.profile), false, 'a bare signal is no look');
    await guardian.client.rpc('session.step_up', { token: token.of(person.subject, strong()) });
    await guardian.call('message.list', { thread: thread.id });
    assert.equal((await seenBy()).includes(person.profile), true);
    assert.equal(await cast.teacher.refused('access.list', { thread: thread.id }), code.notAllowed);
  });

  test('posts are important, come and go by their times and by their rights', async () => {
    const [guardian] = cast.guardians;
    const today = new Date().toISOString().slice(0, 10);
    const important = { from: today, to: today };
    const place = { group: CLASS };
    await cast.teacher.call('post.publish', { place, title: 'Vigtigt opslag', body: 'x', important });
    await until(() => guardian.hasSeen('Vigtigt opslag'));
    const { posts } = await guardian.call('post.list', { group: CLASS });
    assert.deepEqual(posts.find(({ title }) => title === 'Vigtigt opslag').important, important);
    assert.equal(await guardian.refused('post.publish', { place, title: 'Mit er vigtigt', body: 'x', important }), code.notAllowed);

    const at = Date.now() + 2000;
    const post = await cast.teacher.call('post.publish', { place, title: 'Kun et øjeblik', body: 'x', expire_ms: at });
    await until(() => guardian.hasSeen('Kun et øjeblik'));
    const isListed = async () => JSON.stringify(await guardian.call('post.list', { group: CLASS })).includes('Kun et øjeblik');
    assert.equal(await isListed(), true);
    await until(async () => !(await isListed()), 'the post goes');
    assert.ok(Date.now() >= at);
    assert.equal(await guardian.refused('post.get', { post: post.id }), code.notFound);
    assert.equal(cast.otherTeacher.hasSeen('Vigtigt opslag'), false);
  });

  test('a notification is about a child, goes when it is no longer worth a notice, and its badge with it', async () => {
    const person = people.guardians[9];
    const guardian = await join_(person);
    const before = await guardian.badge();
    const child = people.children[person.child].profile;
    const at = Date.now() + 2000;
    await cast.teacher.call('notification.create', { recipients: [person.profile], event: 'pickup.changed', child, tag: 'pickup:1', expires_ms: at });
    await until(() => guardian.entries.some((entry) => entry.type === 'notification' && entry.notification.child === child));
    assert.deepEqual(await guardian.badge(), { ...before, notifications: before.notifications + 1 });
    await until(async () => (await guardian.badge()).notifications === before.notifications, 'the badge is cleared');
    assert.ok(Date.now() >= at);
    assert.deepEqual(await guardian.badge(), await guardian.recount());
    assert.equal(cast.guardians[0].entries.some((entry) => entry.notification?.tag === 'pickup:1'), false);
  });

  test('after a long absence the first screen is one answer of bounded size, and there is no flood', async () => {
    const person = people.guardians[10];
    const guardian = await join_(person);
    const start = async () => JSON.stringify((await guardian.client.rpc('session.start', {})).data);
    const away = async (rounds) => {
      const gone = event(guardian.client, 'disconnected');
      guardian.client.disconnect();
      await gone;
      const heard = guardian.entries.length;
      for (let n = 0; n < rounds; n += 1) {
        const { thread } = await toOne(person, `Mens du var væk ${n} ${'x'.repeat(100)}`);
        for (let more = 0; more < 5; more += 1) await cast.teacher.call('message.send', { thread: thread.id, text: 'y'.repeat(2000) });
        await cast.teacher.call('post.publish', { place: { group: CLASS }, title: `Opslag ${n}`, body: 'z'.repeat(2000) });
      }
      guardian.client.connect();
      await guardian.client.ready();
      await guardian.fence();
      return guardian.entries.length - heard;
    };
    await away(12);
    const small = await start();
    const replayed = await away(60);
    const large = await start();
    assert.ok(replayed <= RECOVERY_MAX, `${replayed} entries came at once`);
    assert.ok(large.length < FIRST_SCREEN_BYTES_MAX, `${large.length} bytes`);
    assert.ok(large.length < small.length * 1.1, `five times as much missed, ${small.length} bytes became ${large.length}`);
    const [screen] = JSON.parse(large).screens;
    assert.deepEqual([screen.threads.length, screen.posts.length], [10, 10]);
    assert.deepEqual(screen.badge, await guardian.recount());
    // The rest comes on demand, from where the screen ends.
    const next = await guardian.call('thread.list', { cursor: screen.threads_cursor, limit: 10 });
    assert.equal(next.threads.length, 10);
    assert.equal(next.threads.some(({ id }) => screen.threads.some((shown) => shown.id === id)), false);
  });

  test('badges equal a recount after whatever people do, on each device and after a crash', async () => {
    const seed = Number(process.env.KLOKKE_SEED ?? Date.now() % 1_000_000);
    const random = generator(seed);
    const pick = (all) => all[Math.floor(random() * all.length)];
    const guardians = cast.guardians.slice(0, 4);
    const phones = await Promise.all(people.guardians.slice(0, 4).map((guardian) => join_(guardian)));
    const everybody = [cast.teacher, cast.leader, ...guardians, ...phones];
    const said = [];
    const keep = ({ thread, message }) => said.push({ thread: thread.id, message: message.id });
    const steps = [
      async () => keep(await cast.teacher.call('thread.create', {
        subject: 'S', text: 'T', sensitive: random() < 0.3, replies: pick(['everyone', 'sender']),
        recipients: pick([[{ group: CLASS }], guardians.map(({ profile }) => ({ profile }))]),
      })),
      async (who, { thread }) => {
        const { id } = await who.call('message.send', { thread, text: 'T' });
        said.push({ thread, message: id });
      },
      (who, { thread }) => who.call('message.reply', { thread, text: 'T' }),
      (who, { thread, message }) => who.call('thread.read', { thread, message }),
      (who, { thread, message }) => who.call('thread.read', { thread, message }),
      (who, { thread }) => who.call('thread.mute', { thread, muted: random() < 0.5 }),
      (who, { thread }) => who.call('thread.mark', { thread, marked: random() < 0.5 }),
      (who, { thread }) => who.call('thread.leave', { thread }),
      (_, { thread }) => cast.teacher.call('thread.add_participants', { thread, recipients: [{ profile: pick(everybody).profile }] }),
      (_, { thread, message }) => cast.teacher.call('message.withdraw', { thread, message }),
      (_, { thread, message }) => cast.teacher.call('message.edit', { thread, message, text: 'U' }),
      () => cast.teacher.call('notification.create', { recipients: [pick(guardians).profile], event: 'e', tag: `tag:${Math.floor(random() * 5)}` }),
      (who) => who.call('notification.dismiss', { tag: `tag:${Math.floor(random() * 5)}` }),
    ];
    const check = async (when) => {
      for (const person of everybody) assert.deepEqual(await person.badge(), await person.recount(), `${person.subject} ${when}, seed ${seed}`);
    };
    let done = 0;
    await steps[0]();
    for (let step = 1; step <= 200; step += 1) {
      try {
        await pick(steps)(pick(everybody), pick(said));
        done += 1;
      } catch (failure) {
        // Not everybody may do everything; that too must leave the counts right. Anything but a refusal is a fault.
        assert.ok(failure.code >= 400 && failure.code < 1100, `${failure.code} ${failure.message}, seed ${seed}`);
      }
      if (step % 20 === 0) await check(`after ${step} steps`);
    }
    assert.ok(done > 80, `only ${done} of 200 steps were possible, seed ${seed}`);

    const before = await Promise.all(everybody.map((person) => person.badge()));
    await Promise.all(open.map((person) => person.fence()));
    const heard = everybody.map(({ entries }) => entries.length);
    const back = open.map((person) => person.reconnected());
    await server.stop('SIGKILL');
    await server.start();
    await Promise.all(back);
    await Promise.all(open.map((person) => person.fence()));
    assert.deepEqual(everybody.map(({ entries }) => entries.length), heard, 'nothing is pushed again');
    assert.deepEqual(await Promise.all(everybody.map((person) => person.badge())), before);
    await check('after the crash');
  });
});

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
