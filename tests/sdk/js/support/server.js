// The real server as a child process, on a free port, with a folder of its own.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const TESTS = join(dirname(fileURLToPath(import.meta.url)), '../../..');
/** Where the tests in every language are. */
export const SDK = join(TESTS, 'sdk');
const CONFIG = join(TESTS, 'real-parts.toml');
/** One teacher of one school, for suites that need somebody of the domain. */
export const ROSA = join(TESTS, 'rosa.jsonl');
const API_KEY = "the back end's key";
/** `klokke dev` invents a municipality first. */
const START_MAX_MS = 120_000;

function program() {
  const named = process.env.KLOKKE_BIN;
  if (!named) throw new Error('KLOKKE_BIN does not name the built server: run `cargo xtask test --only sdk-js`');
  return named;
}

// The server takes every variable with this prefix for a setting; those here speak to the tests.
function environment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('KLOKKE_')));
}

export class Server {
  #child;
  #log = '';
  #settings;
  #page;

  /** `page` starts `klokke dev` with that built page in place of `klokke serve`. */
  constructor(settings = {}, page) {
    this.#settings = { ...settings };
    this.#page = page;
    this.folder = mkdtempSync(join(tmpdir(), 'klokke-'));
    copyFileSync(CONFIG, join(this.folder, 'klokke.toml'));
  }

  static async start(settings, page) {
    const server = new Server(settings, page);
    await server.start();
    return server;
  }

  get log() {
    return this.#log;
  }

  /** Settings for the next start. */
  set(settings) {
    Object.assign(this.#settings, settings);
  }

  /** Runs another verb of the program against this server's folder, to its end. */
  run(...arguments_) {
    const ran = spawnSync(program(), [...arguments_, ...this.#set()], { encoding: 'utf8', env: environment() });
    if (ran.status !== 0) throw new Error(`klokke ${arguments_[0]} ended with ${ran.status}: ${ran.stdout}${ran.stderr}`);
    return ran.stdout;
  }

  #set(listen = '127.0.0.1:0') {
    const settings = {
      'listen.address': listen,
      'store.path': join(this.folder, 'data'),
      ...this.#settings,
      ...(this.quic && { 'listen.quic_address': this.quic }),
    };
    const set = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    return ['--config', join(this.folder, 'klokke.toml'), ...set];
  }

  #dev() {
    const port = this.address ? this.address.split(':')[1] : '0';
    return ['dev', '--data', join(this.folder, 'data'), '--web', this.#page, '--port', port];
  }

  /** Starts it; a second start uses the same address. */
  async start() {
    this.#log = '';
    const serve = ['serve', ...this.#set(this.address)];
    this.#child = spawn(program(), this.#page ? this.#dev() : serve, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment(),
    });
    this.address = await new Promise((resolve, reject) => {
      const failed = (why) => reject(new Error(`the server ${why}; it said:\n${this.#log}`));
      const late = setTimeout(() => failed('did not say that it is ready'), START_MAX_MS);
      this.#child.once('exit', (code, signal) => failed(`ended with ${code ?? signal}`));
      for (const output of [this.#child.stdout, this.#child.stderr]) {
        createInterface(output).on('line', (line) => {
          this.#log += `${line}\n`;
          const ready = /ready on ([^\s",]+)/.exec(line);
          if (ready) {
            clearTimeout(late);
            this.quic = /QUIC on (\S+)/.exec(line)?.[1];
            resolve(ready[1]);
          }
        });
      }
    });
    return this;
  }

  async stop(signal = 'SIGKILL') {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  async remove() {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A call of the server API; its result. */
  async api(method, request) {
    const answer = await fetch(`http://${this.address}/api/${method}`, {
      method: 'POST',
      headers: { 'X-API-Key': API_KEY, 'Content-Type': 'application/json' },
      body: JSON.stringify(request),
    });
    const body = await answer.json();
    if (body.error) throw Object.assign(new Error(`${method}: ${body.error.message}`), { code: body.error.code });
    return body.result;
  }

  /** The sum of a metric's samples whose labels hold all the given parts. */
  async metric(name, ...parts) {
    const text = await (await fetch(`http://${this.address}/metrics`)).text();
    return text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      .filter((line) => parts.every((part) => line.includes(part)))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }
}
