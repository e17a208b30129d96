/** `npm run escape`: ways out of a locked pod, each tried. */
import {parseArgs} from 'node:util';
import {hasLabPrivileges} from '../lab/index.ts';
import {KNOWN_OPEN} from './known.ts';
import {runAll, type Result} from './run.ts';
import {ATTEMPTS} from './ways/index.ts';
import {createWorld} from './world.ts';

const USAGE = `npm run escape -- [--only TEXT]... [-v]
  --only   only attempts whose id holds this text
  -v       where what came out arrived, and what the proxy said`;

async function main(): Promise<number> {
  const {values: flags} = parseArgs({
    options: {
      only: {type: 'string', multiple: true},
      verbose: {type: 'boolean', short: 'v', default: false},
      help: {type: 'boolean', short: 'h', default: false},
    },
  });
  if (flags.help) {
    console.log(USAGE);
    return 0;
  }
  const chosen = ATTEMPTS.filter(({id}) => flags.only?.some((text) => id.includes(text)) ?? true);
  if (chosen.length === 0) {
    console.error(`no attempt has ${flags.only!.join(' or ')} in its id`);
    return 2;
  }
  const privileges = hasLabPrivileges();
  if (!privileges.ok) {
    console.error(`it needs ${privileges.missing}`);
    return 3;
  }
  const world = await createWorld();
  try {
    const results = await runAll(world, chosen, (result) => console.log(line(result)));
    if (flags.verbose) console.log(world.journal());
    const count = (kind: string): number => results.filter(({outcome}) => outcome.kind === kind).length;
    console.log(`${count('held')} held, ${count('open')} open, ${count('skip')} skipped`);
    return results.some(({attempt, outcome}) => outcome.kind === 'open' && !KNOWN_OPEN.has(attempt.id)) ? 1 : 0;
  } finally {
    await world.close();
  }
}

function line({attempt, outcome}: Result): string {
  const {id, title} = attempt;
  switch (outcome.kind) {
    case 'held':
      return `held  ${id}  ${title}`;
    case 'open':
      return `OPEN  ${id}  ${title} (${outcome.where}${KNOWN_OPEN.has(id) ? '; known' : ''})`;
    case 'skip':
      return `skip  ${id}  ${title} (${outcome.why})`;
  }
}

process.exitCode = await main();
