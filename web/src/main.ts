// The demo page: sign in as invented people, each in a window of their own, side by side.

import { el } from './dom';
import { currentLanguage, setLanguage, text } from './texts';
import type { Person } from './wire';
import { Window } from './window';

import './style.css';

const app = document.querySelector<HTMLDivElement>('#app')!;
const windows: Window[] = [];
const desk = el('main', { class: 'desk' });
let people: Person[] = [];

async function load(): Promise<void> {
  try {
    const answer = await fetch('dev/people.json');
    people = answer.ok ? ((await answer.json()) as Person[]) : [];
  } catch {
    people = [];
  }
  // ?as=0,2 signs in at once; the order is that of the list.
  const asked = new URLSearchParams(location.search).get('as');
  for (const at of asked ? asked.split(',') : []) open(people[Number(at)]);
  draw();
}

function open(person: Person | undefined): void {
  if (!person) return;
  const made = new Window(person, (closed) => {
    windows.splice(windows.indexOf(closed), 1);
    closed.element.remove();
  });
  windows.push(made);
  desk.append(made.element);
}

function draw(): void {
  const other = currentLanguage() === 'da' ? 'en' : 'da';
  const toggle = () => {
    setLanguage(other);
    draw();
    windows.forEach((window) => window.relabel());
  };
  const choices = people.map((person) =>
    el('li', {}, el('button', { onclick: () => open(person) }, `${person.name} · ${person.role}`)),
  );
  app.replaceChildren(
    el(
      'header',
      { class: 'top' },
      el('h1', {}, 'Klokke'),
      el('button', { class: 'plain', lang: other, onclick: toggle }, text('app.other_language')),
      el('p', {}, text(people.length > 0 ? 'app.intro' : 'app.no_people')),
      el('nav', { 'aria-label': text('app.people') }, el('ul', { class: 'people' }, ...choices)),
    ),
    desk,
  );
}

setLanguage(currentLanguage());
draw();
void load();
