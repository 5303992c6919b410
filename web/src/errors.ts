// What went wrong, as a sentence in the reader's language. The table of the server's errors is docs/errors.md itself, which
// `cargo xtask tidy` keeps equal to the server's.

import table from '../../docs/errors.md?raw';
import { currentLanguage, text } from './texts';

const STEP_UP_REQUIRED = 1001;
/** The protocol's and the SDK's own codes; those of operations come after. */
const OPERATIONS_FROM = 400;
/** The SDK's: no answer came in time, or the connection went. */
const NO_CONNECTION = [1, 2, 3, 4];

const ROW = /^\| (\d+) \| `error\.\w+` \| \d+ \| \w* \| ([^|]+) \| ([^|]+) \|/gm;
const sentences = new Map([...table.matchAll(ROW)].map(([, code, danish, english]) => [Number(code), [danish, english] as const]));

/** An operation did not do what was asked; `message` is for people. */
export class Refused extends Error {
  constructor(readonly code: number) {
    super(sentenceOf(code));
  }

  /** Whether a newer, stronger login helps. */
  get needsStepUp(): boolean {
    return this.code === STEP_UP_REQUIRED;
  }
}

export function refusal(failure: unknown): Refused {
  if (failure instanceof Refused) return failure;
  const code = (failure as { code?: unknown } | null)?.code;
  return new Refused(typeof code === 'number' ? code : 0);
}

function sentenceOf(code: number): string {
  const known = code >= OPERATIONS_FROM ? sentences.get(code) : undefined;
  if (known) return known[currentLanguage() === 'da' ? 0 : 1] ?? '';
  return text(NO_CONNECTION.includes(code) ? 'error.no_connection' : 'error.failed');
}
