// The way of unmodified SDKs over QUIC: a program on a QUIC implementation that is not ours carries each WebSocket over.

import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { SDK } from './server.js';

const python = () => process.env.KLOKKE_PYTHON ?? 'python3';

/** Makes a certificate in a server's folder, for settings to name; gives its hash. */
export function certify(folder) {
  const made = spawnSync(python(), [join(SDK, 'python/certificate.py'), folder], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`no certificate: ${made.stderr}`);
  return {
    hash: made.stdout.trim(),
    settings: {
      'listen.quic_address': '127.0.0.1:0',
      'listen.tls_certificate': join(folder, 'chain.pem'),
      'listen.tls_key': join(folder, 'key.pem'),
    },
  };
}

export class Bridge {
  #child;

  /** `kind` is `raw` or `webtransport`. */
  static async to(server, kind) {
    const bridge = new Bridge();
    const program = [join(SDK, 'python/bridge.py'), kind, server.quic, join(server.folder, 'chain.pem')];
    bridge.#child = spawn(python(), program, { stdio: ['pipe', 'pipe', 'inherit'] });
    bridge.address = await new Promise((resolve, reject) => {
      bridge.#child.once('exit', (code) => reject(new Error(`the bridge ended with ${code}`)));
      createInterface(bridge.#child.stdout).on('line', (line) => resolve(/ready on (\S+)/.exec(line)?.[1]));
    });
    return bridge;
  }

  close() {
    this.#child.stdin.end();
    this.#child.kill();
  }
}
