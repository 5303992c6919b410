// What a dashboard is, before it becomes Grafana's JSON or a preview: both are made from this, so that they show the same.

/** Danish is what operators read first; English stands beside it. */
export interface Words {
  da: string;
  en: string;
}

/** A panel's title and what it means, what is normal, and what to do when it is not. */
export interface PanelText extends Words {
  help: Words;
}

/** What a figure counts; each has one way to be written (format.ts) and one name in Grafana. */
export type Unit = 'count' | 'perSecond' | 'seconds' | 'age' | 'bytes' | 'bytesPerSecond' | 'ratio' | 'cores' | 'level';

export interface Query {
  expr: string;
  /** A legend as Grafana writes it: `{{role}}`, or words. */
  legend: string;
}

/** From this value on (or down to it, when `below`) it is worth a look, or wrong. */
export interface Threshold {
  at: number;
  means: 'watch' | 'wrong';
  below?: boolean;
}

interface Common {
  text: PanelText;
  width: number;
}

export interface Figures extends Common {
  kind: 'lines' | 'stack' | 'stat';
  unit: Unit;
  queries: Query[];
  thresholds?: Threshold[];
  max?: number;
  /** Nothing happening is good here: the series must be there, at 0. Otherwise the value must be a number other than 0. */
  quiet?: boolean;
  /** Words for single values of a stat. */
  values?: Record<number, Words>;
}

/** The alerts that fire, each with a link to its runbook. */
export interface AlertTable extends Common {
  kind: 'alerts';
  queries: Query[];
}

/** Words with links. */
export interface Note extends Common {
  kind: 'note';
  lines: { text: string; link?: string }[];
}

export type Panel = Figures | AlertTable | Note;

export interface Row {
  title?: Words;
  height: number;
  panels: Panel[];
}

export interface Board {
  uid: string;
  title: Words;
  help: Words;
  rows: Row[];
}

/** Grafana's grid. */
export const COLUMNS = 24;

/** A panel with its place on the grid. */
export interface Placed {
  panel: Panel;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A heading between panels. */
export interface Heading {
  title: Words;
  y: number;
}

/** Where everything on a board stands. A row that does not fill the grid is a mistake. */
export function place(board: Board): { panels: Placed[]; headings: Heading[]; height: number } {
  const panels: Placed[] = [];
  const headings: Heading[] = [];
  let y = 0;
  for (const row of board.rows) {
    if (row.title) headings.push({ title: row.title, y: y++ });
    let x = 0;
    for (const panel of row.panels) {
      panels.push({ panel, x, y, width: panel.width, height: row.height });
      x += panel.width;
    }
    if (x !== COLUMNS) throw new Error(`a row of ${board.uid} is ${x} columns wide, not ${COLUMNS}`);
    y += row.height;
  }
  return { panels, headings, height: y };
}

export function queriesOf(panel: Panel): Query[] {
  return panel.kind === 'note' ? [] : panel.queries;
}
