/** The report as text and as JSON, and the exit code. Pure. */
import {EXIT} from '../runtime/errors.ts';
import {printable} from '../runtime/printable.ts';
import type {Row} from './check.ts';
import type {Outcome} from './outcome.ts';

const WORDS: Readonly<Record<Outcome['kind'], string>> = {ok: 'ok', warn: 'warn', fail: 'FAIL', blind: 'FAIL'};

/** One line a check: verdict, name, what was found, the fix. */
export function reportText(rows: readonly Row[]): string {
  const width = Math.max(0, ...rows.map(({check}) => check.length));
  const lines = rows.map(({check, looks, outcome}) => {
    const head = `${WORDS[outcome.kind].padEnd(4)}  ${check.padEnd(width)}  `;
    const could = outcome.kind === 'blind' ? 'could not look: ' : '';
    const fix = outcome.kind === 'ok' || outcome.fix === '' ? '' : ` Fix: ${outcome.fix}`;
    return `${head}${looks}: ${printable(sentence(could + outcome.found))}${printable(fix)}\n`;
  });
  return `${lines.join('')}${summary(rows)}\n`;
}

/** The same for programs: `{ok, checks: [{check, verdict, looked, looks, found, fix}]}`. */
export function reportJson(rows: readonly Row[]): string {
  const checks = rows.map(({check, looks, outcome}) => ({
    check,
    verdict: WORDS[outcome.kind],
    looked: outcome.kind !== 'blind',
    looks,
    found: outcome.found,
    fix: outcome.kind === 'ok' ? '' : outcome.fix,
  }));
  return `${JSON.stringify({ok: exitCode(rows) === EXIT.ok, checks}, null, 2)}\n`;
}

/** 0: all is well; 1: a finding; 3: nothing could be looked at. */
export function exitCode(rows: readonly Row[]): number {
  if (rows.every(({outcome}) => outcome.kind === 'blind')) return EXIT.couldNotRun;
  return rows.every(({outcome}) => outcome.kind === 'ok') ? EXIT.ok : EXIT.finding;
}

function summary(rows: readonly Row[]): string {
  const count = (...kinds: Outcome['kind'][]): number =>
    rows.filter(({outcome}) => kinds.includes(outcome.kind)).length;
  const [good, warned, failed] = [count('ok'), count('warn'), count('fail', 'blind')];
  return `${good} ok, ${warned} ${warned === 1 ? 'warning' : 'warnings'}, ${failed} failed`;
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);
