// Waiting for what must happen, without sleeping for it.

const PATIENCE_MS = 30_000;

/** Resolves with the next event of that name. */
export function event(emitter, name, fits = () => true) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      emitter.off(name, heard);
      reject(new Error(`no "${name}" within ${PATIENCE_MS} ms`));
    }, PATIENCE_MS);
    const heard = (context) => {
      if (!fits(context)) return;
      clearTimeout(late);
      emitter.off(name, heard);
      resolve(context);
    };
    emitter.on(name, heard);
  });
}

/** Resolves when the condition holds; asked again whenever timers run. */
export async function until(condition, what = condition.toString()) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
