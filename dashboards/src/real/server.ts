// The real server as a child process, with whatever a fault needs around it: an environment, a limit of file handles, signals.

import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const CONFIG = join(dirname(fileURLToPath(import.meta.url)), '../../../tests/real-parts.toml');
const API_KEY = "the back end's key";
const START_MAX_MS = 60_000;

export interface Around {
  settings?: Record<string, string | number | boolean>;
  environment?: Record<string, string>;
  /** The most file handles the process may have. */
  files?: number;
  /** On the first processor alone, and behind others there. */
  behindOthers?: boolean;
  /** People to import before the start, as JSON Lines. */
  people?: string;
}

function program(): string {
  const named = process.env.KLOKKE_BIN;
  if (!named) throw new Error('KLOKKE_BIN does not name the built server: run `cargo xtask test --only dashboards`');
  return named;
}

// The server takes every variable with this prefix for a setting; those here speak to the tests.
const environment = () => Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('KLOKKE_')));

export class Server {
  readonly folder = mkdtempSync(join(tmpdir(), 'klokke-'));
  address = '127.0.0.1:0';
  log = '';
  #child?: ChildProcess;

  private constructor(readonly around: Around) {
    copyFileSync(CONFIG, join(this.folder, 'klokke.toml'));
  }

  static async start(around: Around = {}): Promise<Server> {
    const server = new Server(around);
    if (around.people) {
      const file = join(server.folder, 'people.jsonl');
      writeFileSync(file, around.people);
      const ran = spawnSync(program(), ['import', file, '--apply', ...server.#set()], { encoding: 'utf8', env: environment() });
      if (ran.status !== 0) throw new Error(`the import failed: ${ran.stdout}${ran.stderr}`);
    }
    await server.start();
    return server;
  }

  get data(): string {
    return join(this.folder, 'data');
  }

  #set(): string[] {
    const settings = { 'listen.address': this.address, 'store.path': this.data, ...this.around.settings };
    const set = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    return ['--config', join(this.folder, 'klokke.toml'), ...set];
  }

  /** Starts it; a second start uses the same address. */
  async start(): Promise<void> {
    const { files, behindOthers } = this.around;
    const before = behindOthers ? ['taskset', '--cpu-list', '0', 'nice', '-n', '8'] : [];
    const serve = [...before, program(), 'serve', ...this.#set()];
    // The shell becomes the server: one process, with its limit.
    const [command, ...rest] = files ? ['sh', '-c', `ulimit -n ${files} && exec "$@"`, 'sh', ...serve] : serve;
    if (!command) throw new Error('no program');
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...environment(), ...this.around.environment } });
    this.#child = child;
    this.address = await new Promise<string>((resolve, reject) => {
      const failed = (why: string) => reject(new Error(`the server ${why}; it said:\n${this.log}`));
      const late = setTimeout(() => failed('did not say that it is ready'), START_MAX_MS);
      child.once('exit', (code, signal) => failed(`ended with ${code ?? signal}`));
      for (const output of [child.stdout, child.stderr]) {
        if (!output) continue;
        createInterface(output).on('line', (line) => {
          this.log += `${line}\n`;
          const [, ready] = /ready on ([^\s",]+)/.exec(line) ?? [];
          if (ready) {
            clearTimeout(late);
            resolve(ready);
          }
        });
      }
    });
  }

  /** SIGSTOP, SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A call of the server API. */
  async api(method: string, request: object, key = API_KEY): Promise<void> {
    await fetch(`http://${this.address}/api/${method}`, {
      method: 'POST',
      headers: { 'X-API-Key': key, 'Content-Type': 'application/json' },
      body: JSON.stringify(request),
    }).then((answer) => answer.text());
  }
}
