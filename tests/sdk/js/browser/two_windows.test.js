// The demo page in a real browser: two windows, a teacher writes in one, a parent sees it arrive in the other.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';

import { Server } from '../support/server.js';

// Without these the browser looks for its maker's hosts at every start.
const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

let server;
let browser;
let people;

before(async () => {
  server = await Server.start({}, process.env.KLOKKE_PAGE);
  browser = await chromium.launch({
    executablePath: process.env.KLOKKE_CHROMIUM ?? '/usr/bin/chromium',
    chromiumSandbox: process.getuid() !== 0,
    args: FLAGS,
  });
  people = await (await fetch(`http://${server.address}/dev/people.json`)).json();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

/** The place of the first person with a role. */
function placeOf(role) {
  const at = people.findIndex((person) => person.role === role);
  assert.ok(at >= 0, `nobody is ${role}: ${people.map((person) => person.role)}`);
  return at;
}

/** A browser window of its own, signed in as these roles. */
async function signIn(roles, viewport = { width: 900, height: 900 }) {
  const context = await browser.newContext({ viewport, locale: 'da-DK' });
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (line) => line.type() === 'error' && errors.push(line.text()));
  await page.goto(`http://${server.address}/?as=${roles.map(placeOf)}`);
  const windows = roles.map((_, n) => page.locator('section.window').nth(n));
  for (const window of windows) {
    await window.getByRole('status').getByText('Forbundet').waitFor();
    await window.getByRole('heading', { name: 'Beskeder' }).waitFor();
  }
  return { page, windows, window: windows[0], errors };
}

/** Fills in a folded form and sends it; a tick is `true`. */
async function write(window, form, fields, button) {
  const fold = window.locator(`[data-form="${form}"]`);
  await fold.locator('summary').click();
  for (const [label, value] of Object.entries(fields)) {
    const field = fold.getByLabel(label, { exact: true });
    await (value === true ? field.check() : field.fill(value));
  }
  await fold.getByRole('button', { name: button, exact: true }).click();
}

const isWider = (page) => page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);

test('the people to sign in as: a teacher, a leader, two parents and a pupil, in both languages', () => {
  assert.deepEqual(people.map(({ role }) => role), ['teacher', 'leader', 'parent', 'parent', 'pupil']);
  for (const { role, ...person } of people) {
    for (const key of ['name', 'role_da', 'role_en', 'unit_name', 'token', 'step_up_token']) assert.ok(person[key], `${role}: ${key}`);
    assert.ok(server.log.includes(person.token), 'the token is printed, to be pasted');
  }
});

test('what the teacher writes arrives in the parent\'s window', async () => {
  const teacher = await signIn(['teacher']);
  const parent = await signIn(['parent'], { width: 390, height: 844 });
  await write(teacher.window, 'new-thread', { Emne: 'Skovtur på fredag', Besked: 'Husk regntøj og madpakke' }, 'Send');
  const arrived = parent.window.getByRole('button', { name: /Skovtur på fredag/ });
  await arrived.waitFor();
  await parent.window.locator('[data-badge="badge.messages"]').getByText(/^[1-9]/).waitFor();
  await arrived.click();
  await parent.window.getByText('Husk regntøj og madpakke').waitFor();
  await parent.window.locator('[data-badge="badge.messages"]').getByText('0 ulæste tråde').waitFor();
  await parent.window.getByLabel('Svar kun til afsenderen').fill('Det skal vi nok');
  await parent.window.getByRole('button', { name: 'Send', exact: true }).click();
  await teacher.window.getByRole('button', { name: /1 ulæst/ }).click();
  await teacher.window.getByText('Det skal vi nok').waitFor();
  assert.deepEqual([teacher.errors, parent.errors], [[], []]);
});

test('side by side on one page, and what is being written stays when something arrives', async () => {
  const { page, windows: [teacher, parent], errors } = await signIn(['teacher', 'parent'], { width: 1280, height: 900 });
  const [left, right] = [await teacher.boundingBox(), await parent.boundingBox()];
  assert.ok(left.x + left.width <= right.x && Math.abs(left.y - right.y) < 1, 'beside each other');
  const draft = parent.locator('[data-form="new-thread"]');
  await draft.locator('summary').click();
  await draft.getByLabel('Emne').fill('Halvt skrevet');
  // Sent without leaving the parent's field.
  await teacher.locator('[data-form="new-post"] summary').evaluate((summary) => summary.click());
  const post = teacher.locator('[data-form="new-post"]');
  await post.getByLabel('Overskrift').evaluate((field) => { field.value = 'Mens du skriver'; });
  await post.getByLabel('Tekst').evaluate((field) => { field.value = 'Kom det'; field.form.requestSubmit(); });
  await parent.getByRole('heading', { name: 'Mens du skriver' }).waitFor();
  assert.equal(await draft.getByLabel('Emne').inputValue(), 'Halvt skrevet');
  assert.equal(await draft.getByLabel('Emne').evaluate((field) => field === document.activeElement), true);
  await page.getByRole('button', { name: 'English' }).click();
  assert.equal(await draft.getByLabel('Subject').inputValue(), 'Halvt skrevet');
  assert.deepEqual(errors, []);
});

test('a post arrives live, and the page speaks both languages and fits a phone', async () => {
  const teacher = await signIn(['teacher']);
  const parent = await signIn(['parent'], { width: 360, height: 740 });
  await write(teacher.window, 'new-post', { Overskrift: 'Ny klokke', Tekst: 'Den ringer kl. 8' }, 'Slå op');
  await parent.window.getByRole('heading', { name: 'Ny klokke' }).waitFor();
  assert.equal(await isWider(parent.page), false);
  await parent.page.getByRole('button', { name: 'English' }).click();
  await parent.window.getByRole('heading', { name: 'Messages' }).waitFor();
  await parent.window.getByRole('status').getByText('Connected').waitFor();
  await parent.window.getByText('parent of a pupil of 2.A').waitFor();
  assert.equal(await isWider(parent.page), false);
});

test('of a long post the first screen has the beginning, and the rest when it is asked for', async () => {
  const teacher = await signIn(['teacher']);
  const body = `${'Husk regntøj og madpakke. '.repeat(100)}Hilsen os`;
  await write(teacher.window, 'new-post', { Overskrift: 'Langt opslag', Tekst: body }, 'Slå op');
  await teacher.window.getByText('Hilsen os').waitFor();
  const parent = await signIn(['parent']);
  await parent.window.getByRole('heading', { name: 'Langt opslag' }).waitFor();
  assert.equal(await parent.window.getByText('Hilsen os').count(), 0);
  await parent.window.getByRole('button', { name: 'Læs resten' }).click();
  await parent.window.getByText('Hilsen os').waitFor();
  assert.equal(await parent.window.getByRole('button', { name: 'Læs resten' }).count(), 0);
});

test('sensitive content needs MitID, for who writes and for who reads, and errors are sentences', async () => {
  const teacher = await signIn(['teacher']);
  const parent = await signIn(['parent'], { width: 360, height: 740 });
  await write(teacher.window, 'new-thread', { Emne: 'Om trivsel', Besked: 'Kun for jer', 'Følsomt indhold': true }, 'Send');
  const refused = teacher.window.getByRole('alert');
  await refused.getByText('Log ind igen med MitID for at se eller gøre dette.').waitFor();
  await refused.getByRole('button', { name: 'Log ind med MitID' }).click();
  await teacher.window.getByText('Følsomt indhold vises til kl.').waitFor();
  await teacher.window.locator('[data-form="new-thread"]').getByRole('button', { name: 'Send' }).click();

  await parent.window.getByRole('button', { name: /Følsom besked/ }).click();
  await parent.window.getByText('Tråden er følsom.').waitFor();
  assert.equal((await parent.page.content()).includes('Om trivsel'), false);
  assert.equal((await parent.page.content()).includes('Kun for jer'), false);
  assert.equal(await isWider(parent.page), false);
  await parent.window.getByRole('button', { name: 'Log ind med MitID' }).click();
  await parent.window.getByText('Kun for jer').waitFor();
  await parent.window.getByRole('heading', { name: 'Om trivsel' }).waitFor();
  assert.deepEqual([teacher.errors, parent.errors], [[], []]);
});

test('a message that is withdrawn goes from the other window', async () => {
  const teacher = await signIn(['teacher']);
  const leader = await signIn(['leader']);
  await leader.window.locator('[data-form="new-thread"] summary').click();
  assert.match(await leader.window.locator('[data-form="new-thread"] option').first().textContent(), /Personale/);
  await leader.window.locator('[data-form="new-thread"] summary').click();
  await write(leader.window, 'new-thread', { Emne: 'Møde', Besked: 'Kl. 14 i stedet' }, 'Send');
  await teacher.window.getByRole('button', { name: /Møde/ }).click();
  await teacher.window.getByText('Kl. 14 i stedet').waitFor();
  await leader.window.getByRole('button', { name: /Møde/ }).click();
  await leader.window.getByRole('button', { name: 'Træk tilbage' }).click();
  await teacher.window.getByText('Beskeden er trukket tilbage.').waitFor();
  assert.equal(await teacher.window.getByText('Kl. 14 i stedet').count(), 0);
});

test('a pupil is offered what a pupil may do', async () => {
  const { window, errors } = await signIn(['pupil']);
  await window.locator('[data-form="new-thread"]').waitFor();
  assert.equal(await window.locator('[data-form="new-post"]').count(), 0);
  assert.equal(await window.getByLabel('Følsomt indhold').count(), 0);
  assert.deepEqual(errors, []);
});

test('a lost connection is shown, and comes back by itself', async () => {
  const { window } = await signIn(['teacher']);
  await server.stop('SIGKILL');
  await window.getByRole('status').getByText('Forbinder').waitFor();
  await server.start();
  await window.getByRole('status').getByText('Forbundet').waitFor();
});
