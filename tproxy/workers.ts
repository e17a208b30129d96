/** The dataplane's worker processes. */
import {fileURLToPath} from 'node:url';
import type {Journal} from '../runtime/journal.ts';
import {Workers as Processes} from '../runtime/workers.ts';
import type {State} from './messages.ts';
import type {TproxyConfig} from './settings.ts';

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const WORKER = fileURLToPath(new URL(`./worker.${extension}`, import.meta.url));

export class Workers extends Processes<TproxyConfig, State> {
  constructor(config: TproxyConfig, state: State, journal: Journal, onRestart: () => void) {
    super(WORKER, config, state, journal, onRestart);
  }
}
