/** How many identities were issued and refused. */
import {Counter, type Registry} from 'prom-client';
import type {RefusalCode} from './issue.ts';

export interface IdentityMetrics {
  answered(result: 'issued' | 'Failed' | RefusalCode): void;
}

export function identityMetrics(registry: Registry): IdentityMetrics {
  const answers = new Counter({
    name: 'sallyport_identities_total',
    help: 'Questions for identities of workloads, by answer: issued, Failed (we could not), or why it was refused.',
    labelNames: ['result'],
    registers: [registry],
  });
  return {answered: (result) => answers.inc({result})};
}
