/** From when until when the certificates count that a role signs or serves with, for metrics. */
import {X509Certificate} from 'node:crypto';
import {Gauge, type Registry} from 'prom-client';
import {parseCertificates} from './pem.ts';

/**
 * `signing`: what leaves are made with. `root`, `services-root`, `workloads-root`: what the controller signs with. `served`: what the role shows
 * to its own clients.
 */
export type CertificateUse = 'signing' | 'root' | 'services-root' | 'workloads-root' | 'served';

/** Unix time in ms. */
export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface CertificateTimes {
  /** null: there is none, or it is not ours to look after any more. */
  show(use: CertificateUse, validity: Validity | null): void;
}

/**
 * Points in time and not what is left: a process that hangs would tell for ever what was left then. Both ends, so that an alert
 * can ask for a part of the life: an intermediate lives days, a root years.
 */
export function certificateTimes(registry: Registry): CertificateTimes {
  // Processes that tell of the same one do not add it up.
  const shared = {aggregator: 'min' as const, registers: [registry]};
  const start = new Gauge({
    name: 'sallyport_certificate_start_timestamp_seconds',
    help: 'From when a certificate that we sign or serve with is valid, with those above it: Unix time.',
    labelNames: ['certificate'],
    ...shared,
  });
  const end = new Gauge({
    name: 'sallyport_certificate_end_timestamp_seconds',
    help: 'Until when it is valid, with those above it: Unix time.',
    labelNames: ['certificate'],
    ...shared,
  });
  return {
    show(certificate, validity) {
      if (validity === null) {
        start.remove({certificate});
        end.remove({certificate});
        return;
      }
      start.set({certificate}, validity.notBeforeMs / 1000);
      end.set({certificate}, validity.notAfterMs / 1000);
    },
  };
}

/** Of a PEM chain: the time in which all of it is valid. Throws SallyportError `BadCertificate`; `origin` names the text in it. */
export function validityOf(chainPem: string, origin: string): Validity {
  const chain = parseCertificates(chainPem, origin).map((pem) => new X509Certificate(pem));
  return {
    notBeforeMs: Math.max(...chain.map(({validFrom}) => Date.parse(validFrom))),
    notAfterMs: Math.min(...chain.map(({validTo}) => Date.parse(validTo))),
  };
}
