// A form: labelled fields and one button. It empties itself when what it sent went well.

import { el } from './dom';

export interface Field {
  name: string;
  label: string;
  long?: boolean;
  check?: boolean;
  options?: { value: string; label: string }[];
}

let ids = 0;

export function compose(
  fields: Field[],
  button: string,
  send: (values: Record<string, string>) => Promise<void>,
): HTMLFormElement {
  const form = el('form', { class: 'compose' });
  for (const field of fields) {
    const id = `field-${++ids}`;
    form.append(el('label', { for: id }, field.label), control(field, id));
  }
  const submit = el('button', { type: 'submit' }, button);
  form.append(submit);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit.disabled = true;
    const values = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value)]));
    void send(values).finally(() => {
      submit.disabled = false;
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
