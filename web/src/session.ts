// One signed-in person: the SDK's connection, the operations the page uses, and what arrives.

import { Centrifuge, type State } from 'centrifuge';

import { currentLanguage, text } from './texts';
import type { Entry, Person } from './wire';

/** What an operation refused with: the server's own words in the reader's language, when it sent them. */
export class Refused extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

interface Listeners {
  state(state: State): void;
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

  /** Shows the newer login to the open connection. */
  async stepUp(): Promise<void> {
    await this.call('session.step_up', { token: this.person.step_up_token ?? this.person.token });
  }

  close(): void {
    this.#client.disconnect();
  }
}

function refusal(failure: unknown): Refused {
  const { code, message } = failure as { code?: number; message?: string };
  const known = typeof code === 'number' ? refusals.get(code) : undefined;
  const words = known?.[currentLanguage() === 'da' ? 0 : 1];
  return new Refused(code ?? 0, words ?? message ?? text('error.failed'));
}

/** The texts of docs/errors.md that this page can run into. */
const refusals = new Map<number, readonly [string, string]>([
  [400, ['Forespørgslen kunne ikke læses.', 'The request could not be read.']],
  [403, ['Det har du ikke adgang til.', 'You may not do that.']],
  [404, ['Det findes ikke, eller du har ikke adgang til det.', 'It does not exist, or you may not see it.']],
  [1001, ['Log ind igen med MitID for at se eller gøre dette.', 'Sign in again with MitID to see or do this.']],
  [1002, ['Der er lukket for at skrive her.', 'Writing is closed here.']],
  [1004, ['Der kan højst være 400 modtagere.', 'There can be at most 400 recipients.']],
  [1009, ['Svar i denne tråd går kun til afsenderen.', 'Replies in this thread go to its sender only.']],
]);
