// Looks at drawn pages with a real browser: takes a picture of each and complains where words lie over words or leave the page.
//
//   node --import tsx src/preview/look.ts FOLDER

import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import { chromium } from 'playwright-core';

/** Words may touch by so much: reckoned boxes are larger than letters. */
const TOUCH = 2;

interface Box {
  said: string;
  x: number;
  y: number;
  right: number;
  bottom: number;
}

export async function look(folder: string, program: string): Promise<string[]> {
  const browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox'] });
  const page = await browser.newPage({ viewport: { width: 1600, height: 900 } });
  const complaints: string[] = [];
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.html'))) {
    await page.goto(pathToFileURL(join(resolve(folder), file)).href);
    await page.screenshot({ path: join(folder, file.replace('.html', '.png')), fullPage: true });
    const boxes = await page.$$eval('svg text', (texts): Box[] =>
      texts.map((text) => {
        const { x, y, right, bottom } = text.getBoundingClientRect();
        return { said: text.textContent ?? '', x, y, right, bottom };
      }),
    );
    complaints.push(...crowded(boxes).map((complaint) => `${file}: ${complaint}`));
  }
  await browser.close();
  return complaints;
}

/** What lies over something else, or beside the page. */
function crowded(boxes: Box[]): string[] {
  const found = boxes.filter(({ right, x }) => right > 1600 || x < 0).map(({ said }) => `"${said}" leaves the page`);
  for (const [n, one] of boxes.entries()) {
    for (const other of boxes.slice(n + 1)) {
      const wide = Math.min(one.right, other.right) - Math.max(one.x, other.x);
      // A line's box is taller than its letters.
      const high = Math.min(one.bottom, other.bottom) - Math.max(one.y, other.y);
      if (wide > TOUCH && high > TOUCH * 2) found.push(`"${one.said}" lies over "${other.said}"`);
    }
  }
  return found;
}

const [, program, folder] = process.argv;
if (program?.endsWith('look.ts') && folder) {
  const complaints = await look(folder, process.env.KLOKKE_CHROMIUM ?? '/usr/bin/chromium');
  for (const complaint of complaints) console.log(complaint);
  if (complaints.length) process.exitCode = 1;
}
