// A real Prometheus with the generated rules, on time made short: it scrapes every server it is told of and answers queries.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ruleFiles } from '../rules/files.ts';
import { Pace } from '../rules/time.ts';

/** How often it scrapes. In life every 15 seconds; here a test must end. */
const SCRAPE = '300ms';
/** How much shorter the windows of the rules are: an hour is 36 seconds, five minutes are 3, ten scrapes. */
export const FASTER = 100;
/** What `$__rate_interval` stands for in a panel's query here: some twenty scrapes. */
export const RATE_INTERVAL = '6s';

const START_MAX_MS = 30_000;
const PATIENCE_MS = 60_000;
const POLL_MS = 150;

export interface Series {
  metric: Record<string, string>;
  values: [number, string][];
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (!address || typeof address === 'string') throw new Error('no port');
  return address.port;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export class Prometheus {
  #targets = new Map<string, object>();
  #child?: ChildProcess;
  #log = '';

  private constructor(
    readonly folder: string,
    readonly port: number,
  ) {}

  static async start(): Promise<Prometheus> {
    const program = process.env.KLOKKE_PROMETHEUS;
    if (!program) throw new Error('KLOKKE_PROMETHEUS does not name the program: run `cargo xtask test --only dashboards`');
    const folder = mkdtempSync(join(tmpdir(), 'klokke-prometheus-'));
    const prometheus = new Prometheus(folder, await freePort());
    mkdirSync(join(folder, 'rules'));
    for (const [name, text] of Object.entries(ruleFiles(new Pace(FASTER), 'docs/runbooks/'))) {
      // Evaluated as often as it is scraped.
      writeFileSync(join(folder, 'rules', name), text);
    }
    prometheus.#writeTargets();
    writeFileSync(
      join(folder, 'prometheus.yml'),
      JSON.stringify({
        global: { scrape_interval: SCRAPE, scrape_timeout: SCRAPE, evaluation_interval: SCRAPE },
        rule_files: ['rules/*.yaml'],
        scrape_configs: [{ job_name: 'klokke', file_sd_configs: [{ files: ['targets.json'], refresh_interval: '1s' }] }],
      }),
    );
    await prometheus.#run(program);
    return prometheus;
  }

  async #run(program: string): Promise<void> {
    const child = spawn(
      program,
      [
        `--config.file=${join(this.folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(this.folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${this.port}`,
        '--log.level=warn',
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.#child = child;
    for (const output of [child.stdout, child.stderr]) output.on('data', (part) => (this.#log += part));
    const deadline = Date.now() + START_MAX_MS;
    while (!(await fetch(`${this.#base}/-/ready`).then((answer) => answer.ok, () => false))) {
      if (Date.now() > deadline || child.exitCode !== null) throw new Error(`Prometheus does not start; it said:\n${this.#log}`);
      await pause(POLL_MS);
    }
  }

  get #base(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Scrapes a server from now on, as a cluster of its own, so that each is judged alone. */
  watch(job: string, address: string, every = SCRAPE): void {
    const labels = { job, __scrape_interval__: every, __scrape_timeout__: every };
    this.#targets.set(job, { targets: [address], labels });
    this.#writeTargets();
  }

  /** Scrapes it no more. */
  leave(job: string): void {
    this.#targets.delete(job);
    this.#writeTargets();
  }

  #writeTargets(): void {
    const file = join(this.folder, 'targets.json');
    writeFileSync(`${file}.new`, JSON.stringify([...this.#targets.values()]));
    renameSync(`${file}.new`, file);
  }

  async #ask(path: string, form: Record<string, string>): Promise<Series[]> {
    const answer = await fetch(`${this.#base}/api/v1/${path}`, { method: 'POST', body: new URLSearchParams(form) });
    const body = (await answer.json()) as {
      status: string;
      error?: string;
      data?: { resultType: string; result: (Series & { value?: [number, string] })[] };
    };
    if (body.status !== 'success' || !body.data) throw new Error(`${form.query}: ${body.error}`);
    return body.data.result.map(({ metric, values, value }) => ({ metric, values: values ?? (value ? [value] : []) }));
  }

  instant(query: string): Promise<Series[]> {
    return this.#ask('query', { query });
  }

  /** A query as a panel makes it: over a stretch of time, in steps. */
  range(query: string, from: number, to: number, stepSeconds: number): Promise<Series[]> {
    return this.#ask('query_range', { query, start: String(from), end: String(to), step: String(stepSeconds) });
  }

  /** The rules and alerts as Prometheus has them, each with its last error. */
  async rules(): Promise<{ name: string; type: string; query: string; lastError?: string }[]> {
    const body = (await (await fetch(`${this.#base}/api/v1/rules`)).json()) as {
      data: { groups: { rules: { name: string; type: string; query: string; lastError?: string }[] }[] };
    };
    return body.data.groups.flatMap((group) => group.rules);
  }

  /** Waits until a query has an answer. */
  async until(query: string, what = query): Promise<Series[]> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = await this.instant(query);
      if (found.length) return found;
      if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_MS / 1000} s: ${what}`);
      await pause(POLL_MS);
    }
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child && child.exitCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
