/** The table of docs/SECURITY.md: what is tried, written from the attempts themselves. Pure. */
import type {Attempt} from './attempt.ts';
import {KNOWN_OPEN} from './known.ts';

const BEGIN = '<!-- ways out: begin (npm run escape -- --markdown docs/SECURITY.md) -->';
const END = '<!-- ways out: end -->';

/** The document with the table of these attempts in its place. Throws where the place is not marked. */
export function withTable(document: string, attempts: readonly Attempt[]): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`there is no place for the table: it is between ${BEGIN} and ${END}`);
  return `${document.slice(0, begin)}${BEGIN}\n\n${table(attempts)}\n${document.slice(end)}`;
}

function table(attempts: readonly Attempt[]): string {
  const rows = attempts.map((attempt) =>
    row(attempt.id, cell(attempt.title), String(attempt.invariant), worlds(attempt), state(attempt)),
  );
  return [
    row('way', 'what the pod does', 'invariant', 'where', ''),
    row('---', '---', '---', '---', '---'),
    ...rows,
    '',
  ].join('\n');
}

const row = (...cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

/** Paths with escapes and backslashes are text here. */
const cell = (text: string): string => text.replace(/[\\|<>*_[\]]/g, (character) => `\\${character}`);

const worlds = ({worlds = ['routed'], alone}: Attempt): string =>
  `${worlds.join(', ')}${alone === true ? ' (alone)' : ''}`;

function state({id, control}: Attempt): string {
  const known = KNOWN_OPEN.get(id);
  if (known !== undefined) return `**open**: ${known}`;
  return typeof control === 'object' && 'none' in control ? `no control: ${control.none}` : 'held';
}
