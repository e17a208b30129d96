/** What the webhook counts. */
import {Counter, Histogram, Registry} from 'prom-client';
import {certificateTimes, type CertificateTimes} from '../runtime/certificate-times.ts';
import type {Outcome, Webhook} from './server.ts';

export interface AdmissionMetrics {
  answered(webhook: Webhook, outcome: Outcome, ms: number): void;
  readonly certificates: CertificateTimes;
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
  const seconds = new Histogram({
    name: 'sallyport_admission_review_seconds',
    help: 'From the last byte of a review to its answer, by webhook.',
    labelNames: ['webhook'],
    // A pod waits for two answers at its creation: what takes milliseconds is to be seen.
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5],
    registers: [registry],
  });
  return {
    answered: (webhook, outcome, ms) => {
      reviews.inc({webhook, outcome});
      seconds.observe({webhook}, ms / 1000);
    },
    certificates: certificateTimes(registry),
    exposition: async () => ({contentType: registry.contentType, text: await registry.metrics()}),
  };
}
