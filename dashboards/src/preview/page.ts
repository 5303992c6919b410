// A whole board as one picture: the same panels at the same places as in Grafana, drawn from what the queries really returned.

import type { Board, Figures, Panel, Placed, Unit } from '../model.ts';
import { COLUMNS, place } from '../model.ts';
import type { Answered, Stretch } from '../real/queries.ts';
import { isTranslated, nameOf, orderOf } from '../text/names.ts';
import { BOUNDS, type Line, chart, spark } from './chart.ts';
import { clock, written } from './format.ts';
import { FONT, INK, broken, escape, fitted, rect, text, widthOf } from './svg.ts';

const WIDTH = 1600;
const MARGIN = 20;
const GAP = 8;
const ROW = 30;
const HEAD = 66;
const TITLE = 26;

const PALETTE = ['#1f6fd6', '#d9730d', '#23905a', '#a8358f', '#0f93a5', '#8a6d00', '#c0343f', '#6556c9', '#5c6874', '#3f7f1f', '#b0578a', '#34608f'];
/** Whoever it is has one colour on every board. */
const FIXED: Record<string, string> = {
  staff: '#1f6fd6',
  guardian: '#d9730d',
  pupil: '#23905a',
  other: '#a8358f',
  anonymous: '#5c6874',
  care: '#0f93a5',
  messages: '#6556c9',
  posts: '#8a6d00',
  lists: '#5c6874',
  p50: '#23905a',
  p95: '#d9730d',
  p99: '#c0343f',
  '–': '#9aa5b0',
};

/** The answers as lines, in the order and colours in which Grafana would draw them. */
export function linesOf(answers: Answered[]): Line[] {
  const lines: { key: string; name: string; points: Map<number, number> }[] = [];
  for (const { query, series } of answers) {
    for (const { metric, values } of series) {
      const key = query.legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '').trim();
      const name = isTranslated(query.legend) || key === '–' ? nameOf(key) : key;
      lines.push({ key, name: name || 'uden navn', points: new Map(values.map(([time, value]) => [time, Number(value)])) });
    }
  }
  // Who comes first on one board comes first on all.
  if (answers.every(({ query }) => isTranslated(query.legend))) lines.sort((a, b) => orderOf(a.key) - orderOf(b.key));
  const free = PALETTE.filter((colour) => !lines.some(({ key }) => FIXED[key] === colour));
  let next = 0;
  return lines.map(({ key, name, points }) => {
    const colour = FIXED[key] ?? free[next++ % free.length] ?? PALETTE[0]!;
    return { name, colour, points };
  });
}

const UNIT_WORDS: Partial<Record<Unit, string>> = { perSecond: 'pr. sekund', bytesPerSecond: 'pr. sekund', cores: 'kerner' };

function asideOf({ thresholds = [], unit }: Figures): { said: string; colour: string } {
  const bound = thresholds.find(({ means }) => means === 'wrong') ?? thresholds[0];
  if (!bound) return { said: UNIT_WORDS[unit] ?? '', colour: INK.faint };
  return { said: `grænse ${written(bound.at, unit)}`, colour: BOUNDS[bound.means] };
}

/** What a value means by its bounds. */
function judged({ thresholds = [] }: Figures, value: number): 'good' | 'watch' | 'wrong' {
  const hit = thresholds.filter(({ at, below }) => (below ? value < at : value >= at));
  if (hit.some(({ means }) => means === 'wrong')) return 'wrong';
  return hit.length ? 'watch' : 'good';
}

const CARDS = {
  good: { fill: '#e4f4ea', ink: '#14633a' },
  watch: { fill: '#fdf0d9', ink: '#8a5200' },
  wrong: { fill: '#fde3e4', ink: '#a31621' },
};

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

function statCard(figures: Figures, answers: Answered[], box: Box, { from, to }: Stretch): string {
  const [one] = linesOf(answers);
  const value = one ? ([...one.points.values()].at(-1) ?? Number.NaN) : Number.NaN;
  const words = figures.values?.[value]?.da ?? written(value, figures.unit);
  const { fill, ink } = figures.thresholds && Number.isFinite(value) ? CARDS[judged(figures, value)] : { fill: INK.card, ink: INK.strong };
  return [
    rect(box.x, box.y, box.width, box.height, fill, INK.line, 4),
    text(box.x + 12, box.y + 19, fitted(figures.text.da, 12, box.width - 20), { size: 12, weight: 600, colour: INK.strong }),
    one ? spark(one, { x: box.x + box.width * 0.55, y: box.y + 34, width: box.width * 0.42, height: box.height - 44 }, from, to, ink) : '',
    text(box.x + 12, box.y + box.height - 16, words, { size: 30, weight: 600, colour: ink }),
  ].join('\n');
}

function alertRows(answers: Answered[], box: Box, { to, step }: Stretch): string {
  const rows = (answers[0]?.series ?? []).filter(({ metric }) => metric.alertname !== '–');
  // One that ended earlier has no value at the end.
  const still = rows.filter(({ values }) => (values.at(-1)?.[0] ?? 0) > to - 2 * step);
  const base = box.y + TITLE + 22;
  if (!still.length) return text(box.x + 12, base, 'Ingen alarmer lyder.', { size: 13, colour: CARDS.good.ink, weight: 600 });
  return still
    .slice(0, Math.floor((box.height - TITLE - 20) / 22))
    .map(({ metric }, n) => {
      const isPage = metric.severity === 'page';
      const y = base + n * 22;
      return [
        rect(box.x + 12, y - 13, 54, 18, isPage ? CARDS.wrong.fill : CARDS.watch.fill, 'none', 3),
        text(box.x + 39, y, isPage ? 'vækker' : 'sag', { size: 11, anchor: 'middle', weight: 600, colour: isPage ? BOUNDS.wrong : BOUNDS.watch }),
        text(box.x + 76, y, metric.alertname ?? '', { size: 13, colour: '#1f5fbf' }),
      ].join('');
    })
    .join('\n');
}

function noteLines(panel: Panel, box: Box): string {
  if (panel.kind !== 'note') return '';
  let y = box.y + TITLE + 16;
  const out: string[] = [];
  for (const { text: said } of panel.lines) {
    const [, bold = '', rest = said] = /^\*\*(.+?)\*\*(.*)$/.exec(said) ?? [];
    for (const [n, part] of broken(`${bold}${rest}`, 12, box.width - 36).entries()) {
      if (n === 0) {
        out.push(`<circle cx="${box.x + 16}" cy="${y - 4}" r="2.2" fill="${INK.faint}"/>`);
        out.push(
          `<text x="${box.x + 26}" y="${y}" font-size="12" fill="${INK.plain}"><tspan font-weight="600" fill="${INK.strong}">${escape(part.slice(0, bold.length))}</tspan>${escape(part.slice(bold.length))}</text>`,
        );
      } else out.push(text(box.x + 26, y, part, { size: 12 }));
      y += 16;
    }
    y += 5;
  }
  return out.join('\n');
}

function card(panel: Panel, answers: Answered[], box: Box, stretch: Stretch): string {
  if (panel.kind === 'stat') return statCard(panel, answers, box, stretch);
  const aside = panel.kind === 'lines' || panel.kind === 'stack' ? asideOf(panel) : { said: '', colour: INK.faint };
  const frame = [
    rect(box.x, box.y, box.width, box.height, INK.card, INK.line, 4),
    text(box.x + 12, box.y + 19, fitted(panel.text.da, 13, box.width - 30 - widthOf(aside.said, 11)), { size: 13, weight: 600, colour: INK.strong }),
    text(box.x + box.width - 10, box.y + 19, aside.said, { size: 11, colour: aside.colour, anchor: 'end' }),
  ];
  if (panel.kind === 'alerts') return [...frame, alertRows(answers, box, stretch)].join('\n');
  if (panel.kind === 'note') return [...frame, noteLines(panel, box)].join('\n');
  const inside = { x: box.x + 10, y: box.y + TITLE, width: box.width - 14, height: box.height - TITLE - 4 };
  return [...frame, chart(panel, linesOf(answers), inside, stretch.from, stretch.to)].join('\n');
}

function boxOf({ x, y, width, height }: Placed): Box {
  const column = (WIDTH - 2 * MARGIN + GAP) / COLUMNS;
  return {
    x: MARGIN + x * column,
    y: HEAD + y * (ROW + GAP),
    width: width * column - GAP,
    height: height * (ROW + GAP) - GAP,
  };
}

/** The picture. `answers` are by panel. */
export function picture(board: Board, answers: Map<Panel, Answered[]>, stretch: Stretch): string {
  const { panels, headings, height } = place(board);
  const total = HEAD + height * (ROW + GAP) + MARGIN;
  const said = `Ægte tal fra en kørsel, ${clock(stretch.from)} til ${clock(stretch.to)}; vinduer på sekunder i stedet for minutter.`;
  const body = [
    rect(0, 0, WIDTH, total, INK.page),
    text(MARGIN, 34, board.title.da, { size: 22, weight: 600, colour: INK.strong }),
    text(MARGIN, 54, board.help.da, { size: 13, colour: INK.plain }),
    text(WIDTH - MARGIN, 34, board.title.en, { size: 13, colour: INK.faint, anchor: 'end' }),
    text(WIDTH - MARGIN, 54, said, { size: 12, colour: INK.faint, anchor: 'end' }),
    ...headings.map(({ title, y }) => text(MARGIN + 2, HEAD + y * (ROW + GAP) + 22, title.da, { size: 14, weight: 600, colour: INK.plain })),
    ...panels.map((placed) => card(placed.panel, answers.get(placed.panel) ?? [], boxOf(placed), stretch)),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${total}" viewBox="0 0 ${WIDTH} ${total}" font-family="${FONT}" role="img" aria-label="${escape(board.title.da)}">\n${body.join('\n')}\n</svg>\n`;
}

/** The picture in a page of its own, for a browser. */
export function html(board: Board, svg: string): string {
  return `<!doctype html>\n<html lang="da"><meta charset="utf-8"><title>${escape(board.title.da)}</title>\n<style>body{margin:0;background:${INK.page}}svg{display:block;margin:0 auto;max-width:100%;height:auto}</style>\n${svg}</html>\n`;
}
