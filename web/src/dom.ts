// Making elements. Text only ever becomes text: nothing that somebody wrote is read as HTML.

type Child = Node | string | null | undefined | false;

/** An element with attributes, listeners (`onclick` and so on) and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string | boolean | EventListener | undefined> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, '');
    else if (typeof value === 'string') made.setAttribute(key, value);
  }
  made.append(...children.filter((child): child is Node | string => Boolean(child)));
  return made;
}

/**
 * Puts new children into an element; whoever is writing or walking by keyboard stays where they were. The children are made
 * in here, because one that is kept loses the focus as soon as it is put into another.
 */
export function redraw(into: HTMLElement, make: () => Child[]): void {
  const focused = document.activeElement instanceof HTMLElement && into.contains(document.activeElement) ? document.activeElement : undefined;
  const key = focused?.dataset['key'];
  const writing = focused instanceof HTMLInputElement || focused instanceof HTMLTextAreaElement ? focused : undefined;
  const marked = writing && writing.type !== 'checkbox' ? ([writing.selectionStart, writing.selectionEnd] as const) : undefined;
  into.replaceChildren(...make().filter((child): child is Node | string => Boolean(child)));
  if (!focused) return;
  if (into.contains(focused)) {
    focused.focus({ preventScroll: true });
    if (writing && marked) writing.setSelectionRange(...marked);
  } else if (key) {
    into.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  }
}
