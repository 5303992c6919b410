// The class scenario: a teacher, 24 children and 42 guardians on three SDKs, and outsiders who must never see what is said
// there. Each rule has its case: what must arrive, and what must never arrive.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Breaker } from '../support/breaker.js';
import { Bridge, certify } from '../support/bridge.js';
import { Actor, onGo, onPython } from '../support/member.js';
import { CLASS, INBOX, SCHOOL, WHOLE_SCHOOL, lines, people } from '../support/school.js';
import { Server } from '../support/server.js';
import * as token from '../support/token.js';
import { event, until } from '../support/wait.js';

const ON_PYTHON = 2;
const ON_GO = 2;

const code = {
  notAllowed: 403,
  notFound: 404,
  conflict: 409,
  stepUp: 1001,
  blocked: 1002,
  outside: 1003,
  tooMany: 1004,
  unknownRecipient: 1006,
  replyToSender: 1009,
  withdrawn: 1010,
  commentsClosed: 1012,
};

/** A login that was strong and just now. */
const strong = () => ({ loa: 'substantial', auth_time: token.now() });

/** The ways to the server. Over QUIC a program on a library that is not ours carries each of these connections. */
const WAYS = [
  { name: 'WebSocket' },
  { name: 'raw QUIC', carrier: 'raw', protobuf: true },
  { name: 'WebTransport', carrier: 'webtransport' },
];

for (const { name: way, carrier, protobuf } of WAYS) describe(`the class over ${way}`, () => {
  let server;
  let bridge;
  let reach;
  let breaker;
  let teacher;
  let leader;
  let children;
  let guardians;
  let outsiders;
  const byName = {};

  const everyone = () => [...children, ...guardians];
  /** The guardians on the JavaScript SDK, who can act. */
  const active = () => guardians.filter((guardian) => guardian instanceof Actor);

  before(async () => {
    server = new Server({ 'client.queue_max_size_bytes': 4_194_304 });
    const file = join(server.folder, 'school.jsonl');
    writeFileSync(file, lines());
    server.run('import', file, '--apply');
    if (carrier) server.set({ ...certify(server.folder).settings, 'client.ping_interval': '5s', 'client.pong_timeout': '4s' });
    await server.start();
    if (carrier) bridge = await Bridge.to(server, carrier);
    reach = bridge?.address ?? server.address;
    breaker = await Breaker.to(reach);
    teacher = new Actor(people.teacher, reach, strong(), protobuf);
    leader = new Actor(people.leader, reach, strong(), protobuf);
    children = people.children.map((child) => new Actor(child, reach, {}, protobuf));
    guardians = people.guardians.map((guardian, n) => {
      if (n < ON_PYTHON) return onPython(guardian, reach, protobuf);
      if (n < ON_PYTHON + ON_GO) return onGo(guardian, reach);
      // A few go through the breaker, so that they can be cut off.
      return new Actor(guardian, n % 8 === 0 ? breaker.address : reach, {}, protobuf);
    });
    for (const name of ['office', 'townHall', 'stranger', 'otherTeacher', 'otherChild', 'otherGuardian', 'outsideFather']) {
      byName[name] = new Actor(people[name], reach, {}, protobuf);
    }
    outsiders = [byName.otherTeacher, byName.otherChild, byName.otherGuardian, byName.outsideFather];
    await Promise.all([teacher, leader, ...everyone(), ...Object.values(byName)].map((person) => person.connect()));
  });

  after(async () => {
    const all = [teacher, leader, ...(children ?? []), ...(guardians ?? []), ...Object.values(byName)];
    await Promise.all(all.filter(Boolean).map((person) => person.close()));
    breaker?.close();
    bridge?.close();
    await server?.remove();
  });

  /** A thread to the whole class. */
  const toClass = (text, more = {}) =>
    teacher.call('thread.create', { subject: 'Til 2.A', text, recipients: [{ group: CLASS }], ...more });

  const nobodyElse = async (text) => {
    await Promise.all(outsiders.map((outsider) => outsider.fence()));
    for (const outsider of outsiders) assert.equal(outsider.hasSeen(text), false, `${outsider.subject} saw it`);
  };

  test('what the teacher writes reaches all sixty-six, once, and nobody else', async () => {
    const text = 'Husk madpakke i morgen';
    const { thread, recipients } = await toClass(text);
    assert.equal(recipients, 66);
    await until(() => everyone().every((member) => member.messages(thread.id, text).length > 0));
    for (const member of everyone()) assert.equal(member.messages(thread.id, text).length, 1, member.subject);
    await nobodyElse(text);
    for (const outsider of outsiders) {
      assert.equal(await outsider.refused('thread.get', { thread: thread.id }), code.notFound);
      assert.equal(await outsider.refused('message.list', { thread: thread.id }), code.notFound);
    }
  });

  test('a hundred messages arrive in one order with everybody', async () => {
    const { thread } = await toClass('Nummer 0', { replies: 'everyone' });
    for (let n = 1; n < 100; n += 1) await teacher.call('message.send', { thread: thread.id, text: `Nummer ${n}` });
    await until(() => everyone().every((member) => member.messages(thread.id).length >= 100));
    const expected = Array.from({ length: 100 }, (_, n) => `Nummer ${n}`);
    for (const member of everyone()) {
      assert.deepEqual(member.messages(thread.id).map((message) => message.text), expected, member.subject);
    }
  });

  test('who was offline catches up, once and in order', async () => {
    const cutOff = active().filter((_, n) => (n + ON_PYTHON + ON_GO) % 8 === 0);
    assert.ok(cutOff.length >= 4);
    const gone = cutOff.map((guardian) => event(guardian.client, 'connecting'));
    breaker.cut();
    await Promise.all(gone);
    const { thread } = await toClass('Mens I var væk 0');
    for (let n = 1; n < 10; n += 1) await teacher.call('message.send', { thread: thread.id, text: `Mens I var væk ${n}` });
    const back = cutOff.map((guardian) => guardian.reconnected());
    breaker.mend();
    await Promise.all(back);
    await until(() => cutOff.every((guardian) => guardian.messages(thread.id).length >= 10));
    const expected = Array.from({ length: 10 }, (_, n) => `Mens I var væk ${n}`);
    for (const guardian of cutOff) {
      assert.deepEqual(guardian.messages(thread.id).map((message) => message.text), expected, guardian.subject);
    }
  });

  test('a reply to the class goes to the sender alone', async () => {
    const { thread } = await toClass('Hvem kan hjælpe på turen?');
    const [guardian, neighbour] = active();
    assert.equal(await guardian.refused('message.send', { thread: thread.id, text: 'Til alle' }), code.replyToSender);
    const text = 'Det kan jeg, men sig det ikke til de andre';
    const reply = await guardian.call('message.reply', { thread: thread.id, text });
    assert.notEqual(reply.thread, thread.id);
    await until(() => teacher.messages(reply.thread, text).length === 1);
    await Promise.all(active().map((other) => other.fence()));
    for (const other of everyone().filter((other) => other !== guardian)) assert.equal(other.hasSeen(text), false, other.subject);
    assert.equal(await neighbour.refused('message.list', { thread: reply.thread }), code.notFound);
  });

  test('edits and withdrawals are told, and what was said before is gone from every list', async () => {
    const { thread, message } = await toClass('Vi mødes kl. 9');
    await teacher.call('message.edit', { thread: thread.id, message: message.id, text: 'Vi mødes kl. 10' });
    await until(() => everyone().every((member) => member.messages(thread.id, 'Vi mødes kl. 10').length === 1));
    const slip = await teacher.call('message.send', { thread: thread.id, text: 'Dette skulle ikke ud' });
    await teacher.call('message.withdraw', { thread: thread.id, message: slip.id });
    await until(() => everyone().every((member) => member.messages(thread.id).some((said) => said.withdrawn_ms)));
    const listed = await active()[0].call('message.list', { thread: thread.id });
    assert.equal(JSON.stringify(listed).includes('Dette skulle ikke ud'), false);
    assert.equal(JSON.stringify(listed).includes('Vi mødes kl. 9'), false);
    assert.equal(await teacher.refused('message.edit', { thread: thread.id, message: slip.id, text: 'igen' }), code.withdrawn);
  });

  test('who is away when a message is withdrawn never sees what it said', async () => {
    const guardian = active().find((_, n) => (n + ON_PYTHON + ON_GO) % 8 === 0);
    const gone = event(guardian.client, 'connecting');
    breaker.cut();
    await gone;
    const text = 'Trukket tilbage før du kom';
    const { thread, message } = await toClass(text);
    await teacher.call('message.withdraw', { thread: thread.id, message: message.id });
    const back = guardian.reconnected();
    breaker.mend();
    await back;
    await until(() => guardian.messages(thread.id).some((said) => said.withdrawn_ms));
    assert.equal(guardian.hasSeen(text), false);
  });

  test('a new participant sees the whole thread, and the others learn that they came', async () => {
    const guardian = active()[1];
    const { thread } = await teacher.call('thread.create', {
      subject: 'Om Ida', text: 'Første', recipients: [{ profile: guardian.profile }],
    });
    await guardian.call('message.send', { thread: thread.id, text: 'Anden' });
    assert.equal(await leader.refused('message.list', { thread: thread.id }), code.notFound);
    await teacher.call('thread.add_participants', { thread: thread.id, recipients: [{ profile: leader.profile }] });
    await until(() => guardian.messages(thread.id).some((said) => said.kind === 'participants_added'));
    const { messages } = await leader.call('message.list', { thread: thread.id });
    const texts = messages.map((message) => message.text).filter(Boolean);
    assert.deepEqual(texts.slice(-2), ['Anden', 'Første']);
  });

  test('who leaves a thread hears nothing more of it', async () => {
    const [guardian, other] = active();
    const { thread } = await teacher.call('thread.create', {
      subject: 'Turen', text: 'Hej begge', replies: 'everyone', recipients: [{ profile: guardian.profile }, { profile: other.profile }],
    });
    await guardian.call('thread.leave', { thread: thread.id });
    await until(() => other.messages(thread.id).some((said) => said.kind === 'participant_left'));
    await teacher.call('message.send', { thread: thread.id, text: 'Efter at du gik' });
    await until(() => other.messages(thread.id, 'Efter at du gik').length === 1);
    await guardian.fence();
    assert.equal(guardian.hasSeen('Efter at du gik'), false);
    assert.equal(await guardian.refused('message.send', { thread: thread.id, text: 'Hov' }), code.notFound);
  });

  test('reading on one device clears the other, and badges equal a recount', async () => {
    const guardian = active()[2];
    const phone = await new Actor(people.guardians.find(({ profile }) => profile === guardian.profile), reach, {}, protobuf).connect();
    try {
      const { thread, message } = await toClass('Læs mig');
      const { badge } = await guardian.call('badge.get');
      await guardian.call('thread.read', { thread: thread.id, message: message.id });
      await until(() => phone.entries.some((entry) => entry.type === 'thread.state' && entry.thread === thread.id));
      const state = phone.entries.find((entry) => entry.type === 'thread.state' && entry.thread === thread.id);
      assert.deepEqual([state.unread, state.badge.messages], [0, badge.messages - 1]);
      await guardian.call('thread.mute', { thread: thread.id, muted: true });
      await teacher.call('message.send', { thread: thread.id, text: 'Stille besked' });
      const after = await guardian.call('badge.get');
      assert.equal(after.badge.messages, badge.messages - 1);
      assert.deepEqual(after.badge, await guardian.recount());
      await guardian.call('thread.mark', { thread: thread.id, marked: true });
      const { thread: shown } = await guardian.call('thread.get', { thread: thread.id });
      assert.deepEqual([shown.muted, shown.marked, shown.unread], [true, true, 1]);
    } finally {
      await phone.close();
    }
  });

  test('sensitive content is a bare signal until the session steps up: live, in lists, in history, in recovery', async () => {
    const text = 'Om barnets trivsel';
    const subject = 'Fortroligt om trivsel';
    const person = people.guardians.at(-1);
    const guardian = await new Actor(person, breaker.address, {}, protobuf).connect();
    try {
      const { thread } = await teacher.call('thread.create', {
        subject, text, sensitive: true, recipients: [{ profile: guardian.profile }],
      });
      await until(() => guardian.messages(thread.id).length === 1);
      const signal = guardian.entries.find((entry) => entry.thread?.id === thread.id);
      assert.equal(signal.step_up_required, true);
      const secret = () => [text, subject].filter((words) => guardian.hasSeen(words));
      assert.deepEqual(secret(), []);

      const listed = await guardian.call('thread.list', { limit: 1 });
      assert.equal(listed.threads[0].step_up_required, true);
      const history = await guardian.call('message.list', { thread: thread.id });
      assert.equal(history.step_up_required, true);
      const start = await guardian.ask('session.start');
      for (const answer of [listed, history, start]) {
        for (const words of [text, subject]) assert.equal(JSON.stringify(answer).includes(words), false);
      }
      assert.equal(await guardian.refused('message.send', { thread: thread.id, text: 'Svar' }), code.stepUp);

      const gone = event(guardian.client, 'connecting');
      breaker.cut();
      await gone;
      const later = 'Mere om trivsel, mens du var væk';
      await teacher.call('message.send', { thread: thread.id, text: later });
      const back = guardian.reconnected();
      breaker.mend();
      await back;
      await until(() => guardian.messages(thread.id).length === 2);
      assert.equal(guardian.hasSeen(later), false);

      const raised = await guardian.ask('session.step_up', { token: token.of(guardian.subject, strong()) });
      assert.ok(raised.full_until_ms > Date.now());
      const opened = await guardian.call('message.list', { thread: thread.id });
      assert.deepEqual(opened.messages.map((message) => message.text), [later, text]);
      await teacher.call('message.send', { thread: thread.id, text: 'Nu kan du læse med' });
      await until(() => guardian.messages(thread.id, 'Nu kan du læse med').length === 1);
    } finally {
      await guardian.close();
    }
  });

  test('a step-up needs a newer and stronger login of the same person', async () => {
    const guardian = active()[3];
    const weak = token.of(guardian.subject, { loa: 'low', auth_time: token.now() });
    const foreign = token.of('teacher', strong());
    for (const wrong of [weak, foreign, 'not a token']) {
      await assert.rejects(guardian.ask('session.step_up', { token: wrong }), { code: 1013 });
    }
  });

  test('only a stepped-up session marks a thread sensitive', async () => {
    const low = await new Actor(people.teacher, reach, {}, protobuf).connect();
    try {
      const { thread } = await low.call('thread.create', {
        subject: 'Endnu ikke følsom', text: 'Hej', recipients: [{ profile: active()[0].profile }],
      });
      assert.equal(await low.refused('thread.set_sensitivity', { thread: thread.id, sensitive: true }), code.stepUp);
      await teacher.call('thread.set_sensitivity', { thread: thread.id, sensitive: true });
      const { thread: shown } = await low.call('thread.get', { thread: thread.id });
      assert.deepEqual([shown.step_up_required, shown.subject], [true, undefined]);
    } finally {
      await low.close();
    }
  });

  test('at most 400 recipients, and nobody who is not there', async () => {
    assert.equal(
      await leader.refused('thread.create', { subject: 'Alle', text: 'Alle', recipients: [{ group: WHOLE_SCHOOL }] }),
      code.tooMany,
    );
    assert.equal(
      await teacher.refused('thread.create', { subject: 'Ingen', text: 'Ingen', recipients: [{ profile: `${SCHOOL}.p99999` }] }),
      code.unknownRecipient,
    );
    assert.equal(
      await leader.refused('group.add_member', { group: CLASS, member: `${SCHOOL}.p99999` }),
      code.unknownRecipient,
    );
  });

  test('the same idempotency key says it once, with other words it is refused', async () => {
    const guardian = active()[4];
    const input = { subject: 'Én gang', text: 'Kun én gang', recipients: [{ profile: guardian.profile }], idempotency_key: 'once' };
    const first = await teacher.call('thread.create', input);
    const again = await teacher.call('thread.create', input);
    assert.deepEqual(again, first);
    assert.equal(await teacher.refused('thread.create', { ...input, text: 'Noget andet' }), code.conflict);
    await until(() => guardian.messages(first.thread.id).length >= 1);
    await guardian.fence();
    assert.equal(guardian.messages(first.thread.id).length, 1);
    assert.equal(guardian.hasSeen('Noget andet'), false);
  });

  test('a child taken out of the class takes its guardians out at once, and back in again', async () => {
    const person = people.guardians.filter(({ child }) => child === 20)[0];
    const guardian = guardians[people.guardians.indexOf(person)];
    const child = children[20];
    const channel = `group:${SCHOOL}/g1`;
    await leader.call('group.remove_member', { group: CLASS, member: child.profile });
    await teacher.call('post.publish', { place: { group: CLASS }, title: 'Mens de var ude', body: 'Kun for klassen' });
    await Promise.all([guardian.fence(), child.fence()]);
    await until(() => guardian.lost.includes(channel) && child.lost.includes(channel));
    for (const member of [guardian, child]) assert.equal(member.hasSeen('Mens de var ude'), false, member.subject);
    const back = event(guardian.client, 'subscribed', (context) => context.channel === channel);
    await leader.call('group.add_member', { group: CLASS, member: child.profile });
    await back;
    await teacher.call('post.publish', { place: { group: CLASS }, title: 'Velkommen tilbage', body: 'Godt at se jer' });
    await until(() => guardian.hasSeen('Velkommen tilbage') && child.hasSeen('Velkommen tilbage'));
  });

  test('a relation that ends stops what is new the same moment', async () => {
    const person = people.guardians.filter(({ child }) => child === 19)[0];
    const guardian = guardians[people.guardians.indexOf(person)];
    const { thread } = await toClass('Før relationen ophørte');
    await until(() => guardian.messages(thread.id).length === 1);
    await leader.call('relation.end', { adult: guardian.profile, child: children[19].profile });
    await teacher.call('message.send', { thread: thread.id, text: 'Efter at relationen ophørte' });
    await teacher.call('post.publish', { place: { group: CLASS }, title: 'Opslag efter ophør', body: 'x' });
    await guardian.ask('session.start');
    await until(() => children[19].hasSeen('Opslag efter ophør'));
    for (const words of ['Efter at relationen ophørte', 'Opslag efter ophør']) assert.equal(guardian.hasSeen(words), false);
  });

  test('posts reach those they are for, change for all, and go when withdrawn', async () => {
    const post = await teacher.call('post.publish', {
      place: { group: CLASS }, title: 'Til forældrene', body: 'Gave til klasselæreren', portals: ['guardian'], comments_open: true,
    });
    const reached = active().filter((guardian) => !guardian.lost.length);
    await until(() => reached.every((guardian) => guardian.hasSeen('Gave til klasselæreren')));
    await Promise.all(children.map((child) => child.fence()));
    for (const child of children) assert.equal(child.hasSeen('Gave til klasselæreren'), false, child.subject);
    await nobodyElse('Gave til klasselæreren');

    const [guardian] = reached;
    await guardian.call('post.comment', { post: post.id, text: 'God idé' });
    await until(() => teacher.hasSeen('God idé'));
    for (const child of children) assert.equal(child.hasSeen('God idé'), false);

    const kept = { title: 'Til forældrene', body: 'Kaffe til klasselæreren', comments_open: false };
    await teacher.call('post.edit', { post: post.id, ...kept });
    await until(() => reached.every((other) => other.hasSeen('Kaffe til klasselæreren')));
    assert.equal(await guardian.refused('post.comment', { post: post.id, text: 'For sent' }), code.commentsClosed);
    await teacher.call('post.withdraw', { post: post.id });
    const listed = await guardian.call('post.list', { group: CLASS });
    assert.equal(JSON.stringify(listed).includes('Kaffe til klasselæreren'), false);
  });

  test('a post with a time comes out then and not before', async () => {
    const at = Date.now() + 1500;
    await teacher.call('post.publish', { place: { group: CLASS }, title: 'Senere', body: 'Kommer om lidt', publish_ms: at });
    const guardian = active().find((other) => !other.lost.length);
    await guardian.fence();
    assert.equal(guardian.hasSeen('Kommer om lidt'), false);
    await until(() => guardian.hasSeen('Kommer om lidt'));
    assert.ok(Date.now() >= at);
  });

  test('pupils do not post, and nobody subscribes or publishes to the school\'s channels', async () => {
    assert.equal(
      await children[0].refused('post.publish', { place: { group: CLASS }, title: 'Fri', body: 'Fri' }),
      code.notAllowed,
    );
    for (const channel of [`group:${SCHOOL}/g1`, `unit:${SCHOOL}`, `person:${SCHOOL}/p1`]) {
      const { client } = byName.otherGuardian;
      await assert.rejects(client.publish(channel, {}), (failure) => [102, 103].includes(failure.code));
      if (channel.startsWith('unit:')) continue; // Theirs already, by the server.
      const subscription = client.newSubscription(channel);
      const ended = event(subscription, 'unsubscribed');
      subscription.subscribe();
      assert.ok([102, 103].includes((await ended).code), channel);
    }
  });

  test('communication can be closed and opened again', async () => {
    const guardian = active()[5];
    const input = { subject: 'Hej', text: 'Hej', recipients: [{ profile: teacher.profile }] };
    await leader.call('communication.block', { unit: SCHOOL, kind: 'guardian' });
    assert.equal(await guardian.refused('thread.create', input), code.blocked);
    await leader.call('communication.unblock', { unit: SCHOOL, kind: 'guardian' });
    await guardian.call('thread.create', input);
  });

  test('the town hall writes inside its municipality only', async () => {
    const input = { subject: 'Fra forvaltningen', text: 'Hej', recipients: [{ profile: teacher.profile }] };
    await byName.townHall.call('thread.create', input);
    assert.equal(await byName.stranger.refused('thread.create', input), code.outside);
  });

  test('a shared inbox reaches who looks after it', async () => {
    const { thread } = await active()[6].call('thread.create', { subject: 'Til kontoret', text: 'Skolepenge', recipients: [{ inbox: INBOX }] });
    await until(() => byName.office.messages(thread.id, 'Skolepenge').length === 1);
    await nobodyElse('Skolepenge');
    assert.equal(teacher.hasSeen('Skolepenge'), false);
  });

  test('notifications of one key are one, count once, and are cleared on every device', async () => {
    const guardian = active()[7];
    const before = (await guardian.call('badge.get')).badge.notifications;
    const input = { recipients: [guardian.profile], event: 'meeting.moved', tag: 'meeting:7' };
    await teacher.call('notification.create', input);
    await teacher.call('notification.create', input);
    const { notifications } = await guardian.call('notification.list');
    assert.equal(notifications.find(({ tag }) => tag === 'meeting:7').times, 2);
    assert.equal((await guardian.call('badge.get')).badge.notifications, before + 1);
    await guardian.call('notification.dismiss', { tag: 'meeting:7' });
    assert.equal((await guardian.call('badge.get')).badge.notifications, before);
  });

  test('a protected name is never shown', async () => {
    const hidden = children.at(-1);
    const { thread } = await hidden.call('thread.create', { subject: 'Hej', text: 'Fra mig', recipients: [{ profile: teacher.profile }] });
    await until(() => teacher.messages(thread.id, 'Fra mig').length === 1);
    assert.equal(teacher.messages(thread.id)[0].by.name, 'Skjult Elev');
    for (const person of [teacher, leader, ...everyone()]) assert.equal(person.hasSeen(`Navn ${hidden.subject}`), false);
    assert.equal(JSON.stringify(await leader.call('post.list', { group: CLASS }).catch(() => '')).includes(`Navn ${hidden.subject}`), false);
  });

  test('the first screen comes in one answer', async () => {
    const data = await active()[8].ask('session.start');
    assert.equal(data.screens.length, 1);
    const [screen] = data.screens;
    assert.ok(screen.threads.length > 0 && screen.threads.length <= 10);
    assert.ok(JSON.stringify(data).length < 64 * 1024);
  });

  test('killed and started again, everybody is back and nothing is lost or doubled', async () => {
    const before = await toClass('Lige før');
    const everybody = [...children, ...guardians];
    await until(() => everybody.filter((member) => !member.lost?.length).every((member) => member.messages(before.thread.id, 'Lige før').length > 0));
    await Promise.all([...children, ...active()].map((member) => member.fence()));
    const heard = new Map(everybody.map((member) => [member, member.entries.length]));
    const back = active().map((guardian) => guardian.reconnected());
    const teacherBack = teacher.reconnected();
    await server.stop('SIGKILL');
    await server.start();
    await Promise.all([teacherBack, ...back]);
    await Promise.all([...children, ...active()].map((member) => member.fence()));
    for (const [member, count] of heard) assert.equal(member.entries.length, count, `${member.subject} is told again`);
    const { thread } = await toClass('Lige efter');
    const still = [...children, ...active()].filter((member) => !member.lost.length);
    await until(() => still.every((member) => member.messages(thread.id, 'Lige efter').length > 0));
    for (const member of still) {
      assert.equal(member.messages(before.thread.id, 'Lige før').length, 1, member.subject);
      assert.equal(member.messages(thread.id, 'Lige efter').length, 1, member.subject);
    }
    for (const guardian of active().slice(0, 5)) {
      assert.deepEqual(await guardian.badge(), await guardian.recount(), guardian.subject);
    }
  });
});
