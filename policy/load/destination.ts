/** Hosts, addresses and ports, as one spelling each. The trail stands on the list. */
import type {PortRange} from '../documents.ts';
import {formatCidr, parseCidr} from '../match/addresses.ts';
import {parseHostPattern} from '../match/hosts.ts';
import {quote, type Trail} from './trail.ts';

/** Lower-case punycode without trailing dot. Entries that are written twice are one. */
export function readHosts(list: readonly string[], trail: Trail): readonly string[] {
  const hosts = new Set<string>();
  list.forEach((written, i) => {
    const parsed = parseHostPattern(written);
    if (parsed.ok) hosts.add(parsed.text);
    else trail.within(list, i, () => trail.error('BadHost', `${quote(written)}: ${parsed.message}`, parsed.fix));
  });
  return [...hosts];
}

export function readCidrs(list: readonly string[], trail: Trail): readonly string[] {
  const cidrs = new Set<string>();
  list.forEach((written, i) => {
    const parsed = parseCidr(written);
    if (parsed !== null && !parsed.hostBits) {
      cidrs.add(formatCidr(parsed));
      return;
    }
    trail.within(list, i, () => {
      if (parsed === null)
        trail.error(
          'BadCidr',
          `${quote(written)} is no address range`,
          'Write one such as 192.0.2.0/24 or 2001:db8::/32; a single address as 192.0.2.1/32.',
        );
      // Either the prefix or the address is a slip, and the two slips differ by a whole network.
      else
        trail.error(
          'BadCidr',
          `${quote(written)} has bits set right of its prefix`,
          `Write ${formatCidr(parsed)} for the network, or /${parsed.base.family === 4 ? 32 : 128} for the one address.`,
        );
    });
  });
  return [...cidrs];
}

export function readPorts(list: readonly (number | string)[], trail: Trail): readonly PortRange[] {
  const ranges: PortRange[] = [];
  list.forEach((written, i) => {
    const range = parsePortRange(String(written));
    if (range !== null && range.from <= range.to) {
      ranges.push(range);
      return;
    }
    trail.within(list, i, () =>
      trail.error(
        'BadPort',
        range === null
          ? `${quote(String(written))} is no port`
          : `the range ${quote(String(written))} ends before it begins`,
        range === null
          ? 'Write a number from 1 to 65535, or a range such as "8000-8999".'
          : `Write "${range.to}-${range.from}".`,
      ),
    );
  });
  return ranges;
}

function parsePortRange(text: string): PortRange | null {
  const dash = text.indexOf('-');
  const from = parsePort(dash === -1 ? text : text.slice(0, dash));
  const to = dash === -1 ? from : parsePort(text.slice(dash + 1));
  return from === null || to === null ? null : {from, to};
}

function parsePort(text: string): number | null {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) return null;
  const port = Number(text);
  return port <= 65535 ? port : null;
}
