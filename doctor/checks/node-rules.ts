/** The rules in the kernel beside those that the agent would apply now. */
import {INET_TABLE, BRIDGE_TABLE} from '../../tproxy/capture/tables.ts';
import {GUARD_BRIDGE, GUARD_INET} from '../../tproxy/capture/ruleset-guard.ts';
import {ruleset} from '../../tproxy/capture/ruleset.ts';
import {DEFAULT_MARKS} from '../../tproxy/capture/marks.ts';
import {MTLS_TABLE, mtlsTable} from '../../tproxy/mtls/capture/node-table.ts';
import {PORTS} from '../../runtime/names.ts';
import type {Check} from '../check.ts';
import {fail, ok, warn, type Outcome} from '../outcome.ts';
import {differences, shapeOf, withoutElements} from '../node/listing.ts';
import type {NodeWorld} from '../node/world.ts';

const PUT_BACK =
  'A running agent puts them back within seconds: see capture.drift and capture.failed in its log. Without one, start it.';

/** Its rules are the same whoever is enrolled: addresses are elements of its sets, which are not compared. */
const NO_MEMBERS = {members: [], others: [], strictCidrs: [], port: PORTS.mtls, marks: DEFAULT_MARKS};

const argvOf = (table: string): [string, ...string[]] => ['nft', '-s', 'list', 'table', ...table.split(' ')];

/**
 * nft prints rules in its own words, so ours are put into an empty network namespace and printed there. Where neither
 * CAP_SYS_ADMIN nor user namespaces are to be had (the agent's own pod) their shapes are compared, and that is said: nothing of
 * the node's own tables is touched for it.
 */
export const nodeRules: Check<NodeWorld> = {
  name: 'node.rules',
  looks: 'nft tables of the capture, and of mTLS, against what they should be',
  run: async ({commands, capture, agent}) => {
    const wanted = await capture();
    const hasMtls = agent().config.mtls !== null;
    const tables = [
      INET_TABLE,
      ...(wanted.bridges.length === 0 ? [] : [BRIDGE_TABLE]),
      ...(hasMtls ? [MTLS_TABLE] : []),
    ];
    const text = `${ruleset(wanted)}${hasMtls ? mtlsTable(NO_MEMBERS) : ''}`;
    const actual: string[] = [];
    for (const table of tables) {
      const listed = await commands.run(argvOf(table));
      if (listed.status !== 0)
        return fail(
          `there is no table ${table}: ${table === MTLS_TABLE ? 'pods of this node speak plain, Strict ones too' : 'nothing is captured on this node'}`,
          PUT_BACK,
        );
      actual.push(listed.stdout);
    }
    const script = ['nft -f -', ...tables.map((table) => argvOf(table).join(' '))].join(' && ');
    let printed: string | null = null;
    for (const unshare of [
      ['unshare', '-n'],
      ['unshare', '-Urn'],
    ] as const) {
      // Not installed is not allowed, too.
      const run = await commands.run([...unshare, 'sh', '-c', script], text).catch(() => null);
      if (run?.status === 0) printed = run.stdout;
      if (printed !== null) break;
    }
    const [ours, theirs] =
      printed === null
        ? [shapeOf(text), shapeOf(actual.join(''))]
        : [withoutElements(printed), withoutElements(actual.join(''))];
    const {missing, foreign} = differences(ours, theirs);
    const how = printed === null ? ', by their shape (no network namespace can be made here to print ours in)' : '';
    if (missing.length === 0 && foreign.length === 0) return ok(`${tables.join(' and ')} are as they should be${how}`);
    return fail(`${named('missing', missing)}${named('not ours', foreign)}`.trim(), PUT_BACK);
  },
};

const MAX_NAMED = 2;
const named = (what: string, lines: readonly string[]): string =>
  lines.length === 0 ? '' : `${lines.length} ${what} (${lines.slice(0, MAX_NAMED).join(' | ')}) `;

/** The second table, which nobody else can flush while the agent lives. */
export const nodeGuard: Check<NodeWorld> = {
  name: 'node.guard',
  looks: 'the table that holds while others flush the rules',
  run: async ({commands, capture}): Promise<Outcome> => {
    const {bridges} = await capture();
    for (const table of bridges.length === 0 ? [GUARD_INET] : [GUARD_INET, GUARD_BRIDGE]) {
      const listed = await commands.run(argvOf(table));
      if (listed.status !== 0)
        return warn(
          `there is no table ${table}: if somebody flushes the rules, pods are free until they are put back`,
          'It needs Linux 5.12, nftables 1.0 and a running agent; capture.unguarded in its log says why it is missing.',
        );
      if (!/flags .*\bowner\b/.test(listed.stdout))
        return fail(
          `table ${table} has no owner: it is not the agent's`,
          `Run nft delete table ${table}, and restart the agent.`,
        );
    }
    return ok('it is there, and owned by the agent');
  },
};
