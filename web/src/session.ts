// One signed-in person: the SDK's connection, the operations the page uses, and what arrives.

import { Centrifuge, type State } from 'centrifuge';

import { refusal } from './errors';
import { fetchPeople, type Entry, type Person } from './wire';

interface Listeners {
  /** The connection's state, and the code it was closed with for good. */
  state(state: State, code?: number): void;
  /** The connection is there, and what happened meanwhile has not all been replayed: read the screen anew. */
  fresh(): void;
  entry(entry: Entry): void;
}

export class Session {
  readonly #client: Centrifuge;

  constructor(readonly person: Person, listeners: Listeners) {
    const { host, protocol } = location;
    const secure = protocol === 'https:';
    this.#client = new Centrifuge(
      [
        { transport: 'websocket', endpoint: `${secure ? 'wss' : 'ws'}://${host}/connection/websocket` },
        { transport: 'http_stream', endpoint: `${protocol}//${host}/connection/http_stream` },
        { transport: 'sse', endpoint: `${protocol}//${host}/connection/sse` },
      ],
      { token: person.token, emulationEndpoint: `${protocol}//${host}/emulation`, name: 'js' },
    );
    let started = false;
    let gaps = false;
    this.#client.on('state', (context) => listeners.state(context.newState));
    this.#client.on('disconnected', (context) => listeners.state('disconnected' as State, context.code));
    // The server names the channels of a person at each connect; when all of them recover, nothing was missed.
    this.#client.on('subscribed', (context) => {
      gaps ||= context.wasRecovering && !context.recovered;
    });
    this.#client.on('connected', () => {
      queueMicrotask(() => {
        if (!started || gaps) listeners.fresh();
        started = true;
        gaps = false;
      });
    });
    this.#client.on('publication', (context) => listeners.entry(context.data as Entry));
  }

  /** Listeners hear of it at once, so whoever listens must be ready first. */
  connect(): void {
    this.#client.connect();
  }

  /** Runs an operation. */
  async call<Output>(operation: string, input: object): Promise<Output> {
    try {
      return (await this.#client.rpc(operation, input)).data as Output;
    } catch (failure) {
      throw refusal(failure);
    }
  }

  /** Signs in anew, strongly, and shows that login to the open connection. Until when sensitive content shows, as a time. */
  async stepUp(): Promise<number> {
    const people = await fetchPeople().catch(() => []);
    const again = people.find(({ subject }) => subject === this.person.subject) ?? this.person;
    const raised = await this.call<{ full_until_ms: number }>('session.step_up', { token: again.step_up_token });
    return raised.full_until_ms;
  }

  close(): void {
    this.#client.disconnect();
  }
}
