// A TCP forwarder that can cut every connection through it, as a tunnel or a lift does to a phone.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export class Breaker {
  #sockets = new Set();
  #server;
  #broken = false;
  /** Bytes that came from the server. */
  received = 0;

  static async to(address) {
    const breaker = new Breaker();
    const [host, port] = address.split(':');
    breaker.#server = createServer((client) => {
      if (breaker.#broken) return client.destroy();
      const server = connect(Number(port), host);
      server.on('data', (part) => {
        breaker.received += part.length;
      });
      for (const [socket, other] of [[client, server], [server, client]]) {
        breaker.#sockets.add(socket);
        socket.on('error', () => other.destroy());
        socket.on('close', () => {
          breaker.#sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    breaker.#server.listen(0, '127.0.0.1');
    await once(breaker.#server, 'listening');
    breaker.address = `127.0.0.1:${breaker.#server.address().port}`;
    return breaker;
  }

  /** Cuts what is open and lets nobody through. */
  cut() {
    this.#broken = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.#broken = false;
  }

  close() {
    this.cut();
    this.#server.close();
  }
}
