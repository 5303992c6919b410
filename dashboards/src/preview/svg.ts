// Shapes and words of a picture. Widths of words are reckoned, generously, because nothing here can measure them.

export const FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";
/** A letter's width by its size, on average, in the widest of those fonts. */
const LETTER = 0.6;

export const INK = { strong: '#1b2530', plain: '#3b4754', faint: '#667380', grid: '#e6eaee', line: '#d3dae1', card: '#ffffff', page: '#f4f6f8' };

export const escape = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

export const widthOf = (text: string, size: number) => text.length * size * LETTER;

/** What of a text fits. */
export function fitted(text: string, size: number, width: number): string {
  if (widthOf(text, size) <= width) return text;
  const letters = Math.max(1, Math.floor(width / (size * LETTER)) - 1);
  return `${text.slice(0, letters).trimEnd()}…`;
}

/** Lines of a text that is broken at spaces. */
export function broken(text: string, size: number, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line ? `${line} ${word}` : word;
    if (line && widthOf(longer, size) > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  if (line) lines.push(line);
  return lines;
}

interface TextStyle {
  size?: number;
  colour?: string;
  weight?: number;
  anchor?: 'start' | 'middle' | 'end';
}

export function text(x: number, y: number, said: string, { size = 11, colour = INK.plain, weight = 400, anchor = 'start' }: TextStyle = {}): string {
  return `<text x="${at(x)}" y="${at(y)}" font-size="${size}" fill="${colour}"${weight === 400 ? '' : ` font-weight="${weight}"`}${anchor === 'start' ? '' : ` text-anchor="${anchor}"`}>${escape(said)}</text>`;
}

export const at = (value: number) => String(Math.round(value * 10) / 10);

export const line = (x1: number, y1: number, x2: number, y2: number, colour: string, dashed = false, width = 1) =>
  `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" stroke="${colour}" stroke-width="${width}"${dashed ? ' stroke-dasharray="5 4"' : ''}/>`;

export const rect = (x: number, y: number, width: number, height: number, fill: string, stroke = 'none', radius = 0) =>
  `<rect x="${at(x)}" y="${at(y)}" width="${at(width)}" height="${at(height)}" fill="${fill}"${stroke === 'none' ? '' : ` stroke="${stroke}"`}${radius ? ` rx="${radius}"` : ''}/>`;
