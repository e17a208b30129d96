/** All targets, in the order of the table. */
import type {Target} from '../target.ts';
import {CEL} from './cel.ts';
import {CLIENT_HELLO} from './client-hello.ts';
import {DER} from './der.ts';
import {FILTER_FRAMES} from './filter-frames.ts';
import {HTTP1_REQUEST} from './http1-request.ts';
import {HTTP1_RESPONSE} from './http1-response.ts';
import {JOURNAL} from './journal.ts';
import {NAMES} from './names.ts';
import {PATHS} from './paths.ts';
import {POLICY} from './policy.ts';
import {YAML} from './yaml.ts';

export const TARGETS: readonly Target[] = [
  HTTP1_REQUEST,
  HTTP1_RESPONSE,
  CLIENT_HELLO,
  YAML,
  POLICY,
  CEL,
  NAMES,
  PATHS,
  JOURNAL,
  FILTER_FRAMES,
  DER,
];
