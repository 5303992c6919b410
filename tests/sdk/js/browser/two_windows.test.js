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

/** A browser window of its own, signed in as the person with this role. */
async function signIn(part, viewport) {
  const at = people.findIndex(({ role }) => role.includes(part));
  assert.ok(at >= 0, `nobody is ${part}: ${people.map(({ role }) => role)}`);
  const context = await browser.newContext({ viewport: viewport ?? { width: 900, height: 900 }, locale: 'da-DK' });
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (line) => line.type() === 'error' && errors.push(line.text()));
  await page.goto(`http://${server.address}/?as=${at}`);
  await page.getByRole('status').getByText('Forbundet').waitFor();
  await page.getByRole('heading', { name: 'Beskeder' }).waitFor();
  return { page, errors, person: people[at] };
}

async function write(page, form, fields, button) {
  const fold = page.locator(`[data-form="${form}"]`);
  await fold.locator('summary').click();
  for (const [label, value] of Object.entries(fields)) await fold.getByLabel(label, { exact: true }).fill(value);
  await fold.getByRole('button', { name: button }).click();
}

test('what the teacher writes arrives in the parent\'s window', async () => {
  const teacher = await signIn('teacher');
  const parent = await signIn('guardian of the first child', { width: 390, height: 844 });
  await write(teacher.page, 'new-thread', { Emne: 'Skovtur på fredag', Besked: 'Husk regntøj og madpakke' }, 'Send');
  const arrived = parent.page.getByRole('button', { name: /Skovtur på fredag/ });
  await arrived.waitFor();
  await parent.page.locator('[data-badge="badge.messages"]').getByText(/^[1-9]/).waitFor();
  await arrived.click();
  await parent.page.getByText('Husk regntøj og madpakke').waitFor();
  await parent.page.getByLabel('Svar kun til afsenderen').fill('Det skal vi nok');
  await parent.page.getByRole('button', { name: 'Send', exact: true }).click();
  await teacher.page.getByRole('button', { name: /Skovtur på fredag/ }).first().waitFor();
  await teacher.page.getByRole('button', { name: /1 ulæste/ }).first().click();
  await teacher.page.getByText('Det skal vi nok').waitFor();
  assert.deepEqual([teacher.errors, parent.errors], [[], []]);
});

test('a post arrives live, and the page speaks both languages and fits a phone', async () => {
  const teacher = await signIn('teacher');
  const parent = await signIn('guardian of the first child', { width: 360, height: 740 });
  await write(teacher.page, 'new-post', { Overskrift: 'Ny klokke', Tekst: 'Den ringer kl. 8' }, 'Slå op');
  await parent.page.getByRole('heading', { name: 'Ny klokke' }).waitFor();
  const wider = await parent.page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  assert.equal(wider, false);
  await parent.page.getByRole('button', { name: 'English' }).click();
  await parent.page.getByRole('heading', { name: 'Messages' }).waitFor();
  await parent.page.getByRole('status').getByText('Connected').waitFor();
});

test('a lost connection is shown, and comes back by itself', async () => {
  const { page } = await signIn('teacher');
  await server.stop('SIGKILL');
  await page.getByRole('status').getByText('Forbinder').waitFor();
  await server.start();
  await page.getByRole('status').getByText('Forbundet').waitFor();
});
