/** `npm run escape`: ways out of a locked pod, each tried. */
import {readFileSync, writeFileSync} from 'node:fs';
import {parseArgs} from 'node:util';
import {hasLabPrivileges} from '../lab/index.ts';
import {KNOWN_OPEN} from './known.ts';
import {runAll, type Result} from './run.ts';
import {withTable} from './table.ts';
import {ATTEMPTS} from './ways/index.ts';
import {WORLDS, type WorldName} from './world.ts';

const USAGE = `npm run escape -- [--only TEXT]... [--world NAME]... [--markdown FILE] [-v]
  --only   only attempts whose id holds this text
  --world  ${Object.keys(WORLDS).join(', ')}; default: all of them
  --markdown  only write the table of all attempts into FILE
  -v       where each token arrived, and how long it took`;

async function main(): Promise<number> {
  const {values: flags} = parseArgs({
    options: {
      only: {type: 'string', multiple: true},
      world: {type: 'string', multiple: true},
      markdown: {type: 'string'},
      verbose: {type: 'boolean', short: 'v', default: false},
      help: {type: 'boolean', short: 'h', default: false},
    },
  });
  if (flags.help) {
    console.log(USAGE);
    return 0;
  }
  if (flags.markdown !== undefined) {
    writeFileSync(flags.markdown, withTable(readFileSync(flags.markdown, 'utf8'), ATTEMPTS));
    return 0;
  }
  const chosen = ATTEMPTS.filter(({id}) => flags.only?.some((text) => id.includes(text)) ?? true);
  if (chosen.length === 0) {
    console.error(`no attempt has ${flags.only!.join(' or ')} in its id`);
    return 2;
  }
  const names = Object.keys(WORLDS);
  const worlds = flags.world ?? names;
  const unknown = worlds.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    console.error(`no world ${unknown}: there are ${names.join(', ')}`);
    return 2;
  }
  const privileges = hasLabPrivileges();
  if (!privileges.ok) {
    console.error(`it needs ${privileges.missing}`);
    return 3;
  }
  const started = Date.now();
  const results = await runAll(chosen, worlds as readonly WorldName[], (result) => console.log(line(result)));
  const count = (kind: string): number => results.filter(({outcome}) => outcome.kind === kind).length;
  if (flags.verbose) console.log(`${Math.round((Date.now() - started) / 1000)} s`);
  console.log(`${count('held')} held, ${count('open')} open, ${count('skip')} skipped`);
  return results.some(({attempt, outcome}) => outcome.kind === 'open' && !KNOWN_OPEN.has(attempt.id)) ? 1 : 0;
}

function line({id, attempt, outcome}: Result): string {
  const {title} = attempt;
  switch (outcome.kind) {
    case 'held':
      return `held  ${id}  ${title}`;
    case 'open':
      return `OPEN  ${id}  ${title} (${outcome.where}${KNOWN_OPEN.has(attempt.id) ? '; known' : ''})`;
    case 'skip':
      return `skip  ${id}  ${title} (${outcome.why})`;
  }
}

process.exitCode = await main();
