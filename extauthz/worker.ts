/** A worker of `--workers N`: a process with a Service, fed whole states by its supervisor. */
import {keepCodeCache} from '../runtime/code-cache.ts';
import {SallyportError} from '../runtime/errors.ts';
import type {ToSupervisor, ToWorker} from '../runtime/worker-messages.ts';
import {Service} from './service.ts';
import type {ExtauthzConfig} from './settings.ts';
import type {State} from './state.ts';

const tell = (message: ToSupervisor): void => void process.send?.(message);

// The supervisor decides when we end: a Ctrl-C on the terminal reaches the whole process group.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});

let service: Service | null = null;
/** What came while it was starting. */
let early: State | null = null;

function apply(to: Service, state: State): void {
  if (to.apply(state)) tell({kind: 'applied', version: state.version});
}

function end(): never {
  service?.close();
  process.exit(0);
}

process.on('disconnect', end);
process.on('message', (message: ToWorker<ExtauthzConfig, State>) => void receive(message));

async function receive(message: ToWorker<ExtauthzConfig, State>): Promise<void> {
  switch (message.kind) {
    case 'start':
      try {
        service = await Service.start(message.config, message.state, (denials) => tell({kind: 'denials', ...denials}));
        tell({kind: 'listening'});
        if (early !== null) apply(service, early);
        keepCodeCache();
      } catch (error) {
        tell({
          kind: 'failed',
          message: error instanceof SallyportError ? error.describe() : String((error as Error).stack),
        });
        process.disconnect();
      }
      break;
    case 'state':
      if (service === null) early = message.state;
      else apply(service, message.state);
      break;
    case 'metrics':
      if (service !== null) tell({kind: 'metrics', question: message.question, metrics: await service.metrics()});
      break;
    case 'ping':
      tell({kind: 'pong'});
      break;
    case 'drain':
      await service?.drain(message.deadlineMs);
      end();
  }
}
