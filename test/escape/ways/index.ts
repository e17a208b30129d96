/** Every way out that is tried, by theme. */
import type {Attempt} from '../attempt.ts';
import type {WorldName} from '../world.ts';
import {ADDRESSES} from './addresses.ts';
import {AUDIT_WAYS} from './audit.ts';
import {DATAGRAMS} from './datagrams.ts';
import {DNS} from './dns.ts';
import {IPV6} from './ipv6.ts';
import {LIFE} from './life.ts';
import {LITERALS} from './literals.ts';
import {METADATA_WAYS} from './metadata.ts';
import {NAMES} from './names.ts';
import {NEIGHBOUR} from './neighbour.ts';
import {NODE} from './node.ts';
import {PORTS} from './ports.ts';
import {RAW} from './raw.ts';
import {OVERRIDES} from './overrides.ts';
import {PATHS_READ} from './paths.ts';
import {PROXY} from './proxy.ts';
import {SPLITTING} from './splitting.ts';
import {TLS} from './tls.ts';
import {TUNNELS} from './tunnels.ts';
import {UPGRADES} from './upgrades.ts';
import {RESPONSES} from './responses.ts';
import {SMUGGLING} from './smuggling.ts';

const within = (worlds: readonly WorldName[], attempts: readonly Attempt[]): Attempt[] =>
  attempts.map((attempt) => ({worlds, ...attempt}));

export const ATTEMPTS: readonly Attempt[] = [
  // What the kernel holds, it must hold however pods are plugged in and connections are handed over.
  ...within(['routed', 'redirect', 'bridged', 'bridged-redirect'], [...RAW, ...NODE, ...NEIGHBOUR]),
  ...within(['routed', 'redirect'], [...PORTS, ...IPV6, ...METADATA_WAYS, ...PROXY]),
  ...within(['routed', 'bridged'], [...DATAGRAMS, ...DNS]),
  ...LITERALS,
  ...ADDRESSES,
  ...NAMES,
  ...SMUGGLING,
  ...SPLITTING,
  ...OVERRIDES,
  ...PATHS_READ,
  ...TLS,
  ...TUNNELS,
  ...UPGRADES,
  ...RESPONSES,
  ...LIFE,
  ...AUDIT_WAYS,
];
