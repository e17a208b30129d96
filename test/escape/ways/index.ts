/** Every way out that is tried, by theme. */
import type {Attempt} from '../attempt.ts';
import {ADDRESSES} from './addresses.ts';
import {DATAGRAMS} from './datagrams.ts';
import {DNS} from './dns.ts';
import {IPV6} from './ipv6.ts';
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
import {TUNNELS} from './tunnels.ts';
import {UPGRADES} from './upgrades.ts';
import {SMUGGLING} from './smuggling.ts';

export const ATTEMPTS: readonly Attempt[] = [
  ...PORTS,
  ...DATAGRAMS,
  ...DNS,
  ...IPV6,
  ...RAW,
  ...LITERALS,
  ...METADATA_WAYS,
  ...NODE,
  ...NEIGHBOUR,
  ...ADDRESSES,
  ...NAMES,
  ...SMUGGLING,
  ...UPGRADES,
  ...TUNNELS,
  ...SPLITTING,
  ...PROXY,
  ...PATHS_READ,
  ...OVERRIDES,
];
