// A form: labelled fields, one button, and what went wrong beside it. It empties itself when what it sent went well.

import { el } from './dom';

export interface Field {
  name: string;
  label: string;
  long?: boolean;
  check?: boolean;
  options?: { value: string; label: string }[];
}

/** What to show when sending failed; nothing when it went well. */
export type Outcome = HTMLElement | undefined;

let ids = 0;

export function compose(fields: Field[], button: string, send: (values: Record<string, string>) => Promise<Outcome>): HTMLFormElement {
  const form = el('form', { class: 'compose' });
  for (const field of fields) {
    const id = `field-${++ids}`;
    const label = el('label', { for: id }, field.label);
    form.append(...(field.check ? [el('div', { class: 'check' }, control(field, id), label)] : [label, control(field, id)]));
  }
  const submit = el('button', { type: 'submit' }, button);
  const failed = el('div', { 'aria-live': 'assertive' });
  form.append(submit, failed);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit.disabled = true;
    failed.replaceChildren();
    const values = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value)]));
    void send(values).then((problem) => {
      submit.disabled = false;
      if (problem) failed.replaceChildren(problem);
      else form.reset();
    });
  });
  return form;
}

function control(field: Field, id: string): HTMLElement {
  const common = { id, name: field.name };
  if (field.options) {
    return el('select', common, ...field.options.map(({ value, label }) => el('option', { value }, label)));
  }
  if (field.check) return el('input', { ...common, type: 'checkbox' });
  if (field.long) return el('textarea', { ...common, rows: '3', required: true });
  return el('input', { ...common, type: 'text', required: true, autocomplete: 'off' });
}
