/** What the webhook counts. */
import {Counter, Registry} from 'prom-client';
import type {Outcome, Webhook} from './server.ts';

export interface AdmissionMetrics {
  answered(webhook: Webhook, outcome: Outcome): void;
  exposition(): Promise<{contentType: string; text: string}>;
}

export function createAdmissionMetrics(): AdmissionMetrics {
  const registry = new Registry();
  const reviews = new Counter({
    name: 'sallyport_admission_reviews_total',
    help: 'Pods that the API server asked about, by webhook and by what became of them.',
    labelNames: ['webhook', 'outcome'],
    registers: [registry],
  });
  return {
    answered: (webhook, outcome) => reviews.inc({webhook, outcome}),
    exposition: async () => ({contentType: registry.contentType, text: await registry.metrics()}),
  };
}
