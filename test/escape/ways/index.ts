/** Every way out that is tried, by theme. */
import type {Attempt} from '../attempt.ts';
import {DATAGRAMS} from './datagrams.ts';
import {DNS} from './dns.ts';
import {IPV6} from './ipv6.ts';
import {NAMES} from './names.ts';
import {PORTS} from './ports.ts';
import {RAW} from './raw.ts';
import {SMUGGLING} from './smuggling.ts';

export const ATTEMPTS: readonly Attempt[] = [...PORTS, ...DATAGRAMS, ...DNS, ...IPV6, ...RAW, ...NAMES, ...SMUGGLING];
