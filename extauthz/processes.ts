/** Who answers: a Service in this process, or several in processes of their own on one port. */
import {fileURLToPath} from 'node:url';
import type {Denials} from '../runtime/denials.ts';
import type {Journal} from '../runtime/journal.ts';
import {Workers} from '../runtime/workers.ts';
import {Service} from './service.ts';
import type {ExtauthzConfig} from './settings.ts';
import type {State} from './state.ts';

export interface Processes {
  /** Gives everybody the new state. */
  apply(state: State): void;
  /** The detail of /readyz; `ready`: somebody listens. */
  readiness(): {readonly ready: boolean; readonly [detail: string]: unknown};
  metrics(): Promise<object[]>;
  drain(deadlineMs: number): Promise<void>;
}

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const WORKER = fileURLToPath(new URL(`./worker.${extension}`, import.meta.url));

/** Listens, or throws SallyportError `PortInUse`, `CannotListen`, `WorkerFailed` ... */
export async function startProcesses(
  config: ExtauthzConfig,
  state: State,
  journal: Journal,
  onRestart: () => void,
  onDenials: (denials: Denials) => void,
): Promise<Processes> {
  if (config.workers > 1) {
    const workers = new Workers(WORKER, config, state, journal, onRestart);
    workers.onDenials = onDenials;
    await workers.start();
    return {
      apply: (next) => workers.apply(next),
      readiness: () => ({
        ready: workers.listening > 0,
        workers: {wanted: config.workers, listening: workers.listening, current: workers.current},
      }),
      metrics: () => workers.metrics(),
      drain: (deadlineMs) => workers.drain(deadlineMs),
    };
  }
  const service = await Service.start(config, state, onDenials);
  return {
    apply: (next) => void service.apply(next),
    readiness: () => ({ready: true}),
    metrics: async () => [await service.metrics()],
    drain: (deadlineMs) => (deadlineMs === 0 ? Promise.resolve(service.close()) : service.drain(deadlineMs)),
  };
}
