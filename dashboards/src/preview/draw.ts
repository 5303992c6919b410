// Draws every board from answers that were kept: right after a run, or again later from their file.
//
//   node --import tsx src/preview/draw.ts FOLDER    (with the answers.json of a run)

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { boards } from '../boards/all.ts';
import type { Panel } from '../model.ts';
import { place } from '../model.ts';
import type { Answered, Stretch } from '../real/queries.ts';
import { html, picture } from './page.ts';

/** What a run keeps: the answers of every panel, in the order in which the boards hold them. */
export interface Kept {
  stretch: Stretch;
  answers: Record<string, Answered[][]>;
}

export function draw(folder: string, { stretch, answers }: Kept): string[] {
  return boards.map((board) => {
    const of = new Map<Panel, Answered[]>(place(board).panels.map(({ panel }, n) => [panel, answers[board.uid]?.[n] ?? []]));
    const svg = picture(board, of, stretch);
    const file = join(folder, `${board.uid}.html`);
    writeFileSync(join(folder, `${board.uid}.svg`), svg);
    writeFileSync(file, html(board, svg));
    return file;
  });
}

const [, program, folder] = process.argv;
if (program?.endsWith('draw.ts') && folder) {
  for (const file of draw(folder, JSON.parse(readFileSync(join(folder, 'answers.json'), 'utf8')))) console.log(file);
}
