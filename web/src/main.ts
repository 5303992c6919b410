// The demo page: sign in as invented people, each in a window of their own, side by side.

import { el, redraw } from './dom';
import { currentLanguage, setLanguage, text } from './texts';
import { fetchPeople, type Person } from './wire';
import { Window } from './window';

import './style.css';

const app = document.querySelector<HTMLDivElement>('#app')!;
const windows: Window[] = [];
const top = el('header', { class: 'top' });
const desk = el('main', { class: 'desk' });
let people: Person[] | undefined;

async function load(): Promise<void> {
  people = await fetchPeople().catch(() => []);
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
    draw();
  });
  windows.push(made);
  desk.append(made.element);
  made.open();
}

function choice(person: Person, place: number): HTMLElement {
  const sign = () => {
    open(person);
    draw();
    windows.at(-1)?.element.scrollIntoView({ block: 'nearest' });
  };
  const isOpen = windows.some((window) => window.person.subject === person.subject);
  return el(
    'li',
    {},
    el(
      'button',
      { class: isOpen ? 'person open' : 'person', 'data-key': `person-${place}`, onclick: sign },
      el('span', {}, person.name),
      el('span', { class: 'quiet' }, currentLanguage() === 'da' ? person.role_da : person.role_en),
    ),
  );
}

function draw(): void {
  const other = currentLanguage() === 'da' ? 'en' : 'da';
  const toggle = () => {
    setLanguage(other);
    draw();
    windows.forEach((window) => window.relabel());
  };
  redraw(top, () => [
    el('h1', {}, 'Klokke'),
    el('button', { class: 'plain', lang: other, 'data-key': 'language', onclick: toggle }, text('app.other_language')),
    people && el('p', {}, text(people.length > 0 ? 'app.intro' : 'app.no_people')),
    people && el('nav', { 'aria-label': text('app.people') }, el('ul', { class: 'people' }, ...people.map(choice))),
  ]);
}

app.append(top, desk);
setLanguage(currentLanguage());
draw();
void load();
