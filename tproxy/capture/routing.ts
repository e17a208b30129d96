/** Policy routing: packets with our mark belong to this machine, whatever their destination. */
import {readFileSync} from 'node:fs';
import {SallyportError} from '../../runtime/errors.ts';
import {commandFailed, mustRun, type Commands} from './commands.ts';
import type {CaptureConfig} from './config.ts';

type Family = '-4' | '-6';
type Routing = Pick<CaptureConfig, 'marks' | 'routeTable' | 'rulePriority'>;

/** `ip rule` and `ip route` for both families; returns whether anything was missing. Idempotent. */
export async function ensureRouting(commands: Commands, config: Routing): Promise<boolean> {
  let changed = false;
  for (const family of families()) {
    if (!(await hasRule(commands, config, family))) {
      await mustRun(commands, ['ip', family, 'rule', 'add', ...ruleArguments(config)]);
      changed = true;
    }
    if (!(await hasRoute(commands, config, family))) {
      await mustRun(commands, ['ip', family, 'route', 'replace', ...routeArguments(config)]);
      changed = true;
    }
  }
  return changed;
}

/** What of both is not there, as one would write it; changes nothing. */
export async function missingRouting(commands: Commands, config: Routing): Promise<string[]> {
  const missing: string[] = [];
  for (const family of families()) {
    if (!(await hasRule(commands, config, family)))
      missing.push(`ip ${family} rule add ${ruleArguments(config).join(' ')}`);
    if (!(await hasRoute(commands, config, family)))
      missing.push(`ip ${family} route add ${routeArguments(config).join(' ')}`);
  }
  return missing;
}

/**
 * With src_valid_mark the reverse path check looks our mark up as well, finds every source to be this machine's, and the
 * kernel drops what TPROXY takes (IPv4 only). wg-quick sets it. Throws SallyportError `SourceValidMark`.
 */
export async function refuseSourceValidMark(commands: Commands): Promise<void> {
  const shown = await commands.run(['cat', '/proc/sys/net/ipv4/conf/all/src_valid_mark']);
  if (shown.stdout.trim() !== '1') return;
  throw new SallyportError(
    'SourceValidMark',
    'net.ipv4.conf.all.src_valid_mark is 1: the kernel would drop every IPv4 packet that TPROXY takes',
    'Set it to 0 (wg-quick sets it to 1; its connections work without where rp_filter is 0 or 2), or capture by redirect.',
  );
}

/** Takes both away; what is not there is no error. */
export async function removeRouting(commands: Commands, config: Routing): Promise<void> {
  for (const family of families()) {
    if (await hasRule(commands, config, family)) {
      const removed = await commands.run(['ip', family, 'rule', 'del', ...ruleArguments(config)]);
      if (removed.status !== 0) throw commandFailed('ip', removed);
    }
    await commands.run(['ip', family, 'route', 'del', ...routeArguments(config)]);
  }
}

/** A node may have no IPv6 at all: then no pod has it either. */
function families(): Family[] {
  try {
    readFileSync('/proc/net/if_inet6');
    return ['-4', '-6'];
  } catch {
    return ['-4'];
  }
}

const hex = (value: number): string => `0x${value.toString(16)}`;

function ruleArguments({marks, routeTable, rulePriority}: Routing): string[] {
  const fwmark = `${hex(marks.taken)}/${hex(marks.mask)}`;
  return ['fwmark', fwmark, 'lookup', String(routeTable), 'priority', String(rulePriority)];
}

const routeArguments = ({routeTable}: Routing): string[] => [
  'local',
  'default',
  'dev',
  'lo',
  'table',
  String(routeTable),
];

interface Rule {
  readonly priority: number;
  readonly fwmark?: string;
  readonly fwmask?: string;
  readonly table?: string;
}

async function hasRule(commands: Commands, config: Routing, family: Family): Promise<boolean> {
  const rules = JSON.parse(await mustRun(commands, ['ip', family, '-j', 'rule', 'show'])) as Rule[];
  return rules.some(
    (rule) =>
      rule.priority === config.rulePriority &&
      rule.fwmark === hex(config.marks.taken) &&
      rule.fwmask === hex(config.marks.mask) &&
      rule.table === String(config.routeTable),
  );
}

async function hasRoute(commands: Commands, {routeTable}: Routing, family: Family): Promise<boolean> {
  const shown = await commands.run(['ip', family, 'route', 'show', 'table', String(routeTable)]);
  return /^local default dev lo\b/m.test(shown.stdout);
}
