// Everything against a real Prometheus and a real server: every query returns data, every rule evaluates, every alert fires from
// a real fault, and a healthy server raises none.
//
// KLOKKE_BIN and KLOKKE_PROMETHEUS name the programs; KLOKKE_PREVIEWS where the previews go; KLOKKE_PREVIEW_SECONDS how long a
// morning they show.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { boards } from '../boards/all.ts';
import { place } from '../model.ts';
import { type Kept, draw } from '../preview/draw.ts';
import { look } from '../preview/look.ts';
import { ALERTS } from '../rules/alerts.ts';
import { recordings } from '../rules/objectives.ts';
import { Pace } from '../rules/time.ts';
import * as faults from './faults.ts';
import type { Fault } from './faults.ts';
import { type Load, certificate, school, startLoad } from './load.ts';
import { FASTER, Prometheus } from './prometheus.ts';
import { type Stretch, ask, asking, fault, filled } from './queries.ts';
import { Server } from './server.ts';

const HEALTHY = 'klokke-healthy';
const SECONDS = Number(process.env.KLOKKE_PREVIEW_SECONDS ?? 25);
/** Points on a preview's lines. */
const POINTS = 120;

/** These judge how fast a machine is; on a busy one a healthy server may raise them with windows of seconds. */
const JUDGE_SPEED = ['KlokkeDeliveryBurn', 'KlokkeConnectBurn', 'KlokkeAckBurn', 'KlokkeBudgetBurn', 'KlokkeShardLag', 'KlokkeShedding'];

/** Panels of what cannot be brought about from outside; that it is counted is shown where docs/metrics.md says. */
const NEVER_HERE = [
  // Another node must write the same ledger.
  'Conflicts and read-backs',
  // Once at the start, then every quarter of an hour.
  'Fetches of key sets',
  // 1,024 calls must wait at one ledger.
  'Mailbox full',
  // 8,192 things must wait at one shard.
  'Shards with a full mailbox',
];

const ALL_FAULTS: Fault[] = [
  faults.down,
  ...faults.badDisk(),
  faults.frozen,
  faults.crowded,
  faults.starved,
  faults.hostile,
  faults.fewFiles,
  faults.littleMemory,
  faults.damaged,
  faults.noKeys,
];

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function freeAddress(): Promise<string> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (!address || typeof address === 'string') throw new Error('no port');
  return `127.0.0.1:${address.port}`;
}

describe('dashboards and rules on a real Prometheus', () => {
  let prometheus: Prometheus;
  let healthy: Server;
  let load: Load | undefined;
  let stretch: Stretch;
  const folder = mkdtempSync(join(tmpdir(), 'klokke-dashboards-'));

  before(async () => {
    prometheus = await Prometheus.start();
    const files = certificate(folder);
    const tls = await freeAddress();
    healthy = await Server.start({
      people: school,
      settings: {
        'listen.tls_address': tls,
        'listen.tls_certificate': files.certificate,
        'listen.tls_key': files.key,
        'client.ping_interval': '2s',
        'client.pong_timeout': '1s',
      },
    });
    prometheus.watch(HEALTHY, healthy.address);
    await prometheus.until(`up{job="${HEALTHY}"} == 1`, 'it is scraped');
    load = await startLoad(healthy, tls, 400, SECONDS * 0.7);
    const from = Date.now() / 1000;
    await pause(SECONDS * 1000);
    const to = Date.now() / 1000 - 1;
    stretch = { from, to, step: Math.max(0.3, (to - from) / POINTS) };
  });

  after(async () => {
    await load?.stop();
    await healthy?.remove();
    await prometheus?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const board of boards) {
    describe(board.title.en, () => {
      for (const panel of asking(board)) {
        test(panel.text.en, async () => {
          for (const answered of await ask(prometheus, panel, HEALTHY, stretch)) {
            assert.equal(fault(panel, answered), undefined, answered.query.expr);
          }
        });
      }
    });
  }

  const previews = process.env.KLOKKE_PREVIEWS ?? join(folder, 'previews');
  const browser = process.env.KLOKKE_CHROMIUM;

  test('previews are drawn', async () => {
    mkdirSync(previews, { recursive: true });
    const kept: Kept = { stretch, answers: {} };
    for (const board of boards) {
      kept.answers[board.uid] = await Promise.all(place(board).panels.map(({ panel }) => ask(prometheus, panel, HEALTHY, stretch)));
    }
    writeFileSync(join(previews, 'answers.json'), JSON.stringify(kept));
    for (const file of draw(previews, kept)) console.log(`# drawn: ${file}`);
  });

  test('in the previews nothing lies over anything', { skip: browser ? false : 'KLOKKE_CHROMIUM names no browser' }, async () => {
    assert.deepEqual(await look(previews, browser ?? ''), []);
  });

  describe('recording rules', () => {
    for (const { record, labels } of recordings(new Pace(FASTER))) {
      test(`${record} ${labels?.slo ?? ''}`, async () => {
        const found = await prometheus.instant(`${record}{job="${HEALTHY}"${labels ? `, slo="${labels.slo}"` : ''}}`);
        assert.equal(found.length, labels ? 1 : 3);
        for (const { values } of found) assert.ok(Number.isFinite(Number(values[0]?.[1])), `${values[0]?.[1]}`);
      });
    }

    test('no rule has an error', async () => {
      const rules = await prometheus.rules();
      assert.equal(rules.length, recordings(new Pace()).length + ALERTS.length);
      assert.deepEqual(rules.filter(({ lastError }) => lastError), []);
    });
  });

  test('a healthy server raises no alert', async () => {
    const fired = await prometheus.instant(`max by (alertname) (max_over_time(ALERTS{job="${HEALTHY}", alertstate="firing"}[1h]))`);
    const names = fired.map(({ metric }) => metric.alertname ?? '');
    assert.deepEqual(names.filter((name) => !JUDGE_SPEED.includes(name)), []);
  });

  describe('faults', () => {
    before(async () => {
      // What follows is about others.
      await load?.stop();
      load = undefined;
      prometheus.leave(HEALTHY);
      await healthy.stop();
    });

    for (const [n, one] of ALL_FAULTS.entries()) {
      describe(one.what, () => {
        const job = `klokke-${n}`;
        let server: Server | undefined;
        let over = false;
        let injected: Promise<void> = Promise.resolve();

        before(async () => {
          const own = mkdtempSync(join(folder, 'fault-'));
          server = await Server.start(one.around(own));
          prometheus.watch(job, server.address, one.scrapeEvery);
          await prometheus.until(`up{job="${job}"} == 1`, 'it is scraped');
          injected = one.inject(server, () => over);
          // A failure is reported where it is awaited, after.
          injected.catch(() => undefined);
        });

        after(async () => {
          over = true;
          prometheus.leave(job);
          await injected.finally(() => server?.remove());
        });

        for (const alert of one.alerts) {
          test(`${alert} fires`, async () => {
            await prometheus.until(`ALERTS{alertname="${alert}", alertstate="firing", job="${job}"}`);
          });
        }
      });
    }

    // Its query would be 0 on a healthy server for ever, wrong or right; here something has happened.
    test('what was quiet has moved', async () => {
      const never: string[] = [];
      for (const panel of boards.flatMap(asking)) {
        if (panel.kind === 'note' || panel.kind === 'alerts' || !panel.quiet) continue;
        for (const { expr } of panel.queries) {
          const whole = `max(max_over_time((${filled(expr, 'klokke.*')})[10m:150ms]))`;
          const [highest] = await prometheus.instant(whole);
          if (!(Number(highest?.values[0]?.[1]) > 0)) never.push(panel.text.en);
        }
      }
      // A busy machine may move one of these too.
      assert.deepEqual([...new Set(never)].filter((name) => !NEVER_HERE.includes(name)), []);
    });

    test('every alert had its fault', () => {
      const had = ALL_FAULTS.flatMap(({ alerts }) => alerts).sort();
      assert.deepEqual(had, ALERTS.map(({ name }) => name).sort());
    });
  });
});
