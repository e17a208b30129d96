/** Connections that the relay dials for a pod of ours, after a policy let them: wrapped, where both ends are enrolled. */
import type {Socket} from 'node:net';
import type {Endpoint} from '../../../policy/index.ts';
import {SallyportError} from '../../../runtime/errors.ts';
import {VERIFIED} from '../../upstream/dial.ts';
import {wrap} from './outbound.ts';
import {wrongPeer} from './peer.ts';
import type {WireServices} from './services.ts';

/**
 * A socket that emits VERIFIED when its peer is who has the address, and fails by 'error'; null: this pair is left alone, dial as
 * ever. Throws SallyportError `NoCertificate` where one of both is Strict and the pod has none.
 */
export function dialled(services: WireServices, source: Endpoint, destination: Endpoint): Socket | null {
  const enrolment = services.enrolment();
  const own = services.isHere(source.ip) ? enrolment.of(source.ip) : null;
  const peer = services.isHere(destination.ip) ? null : enrolment.of(destination.ip);
  if (own === null || peer === null || peer.plainPorts.has(destination.port)) return null;
  const refused = (why: string): void => {
    services.count('mtls.refused');
    const fields = {direction: 'out', source: source.ip, destination: destination.ip, port: destination.port};
    services.journal.notice(
      'warn',
      'mtls.refused',
      `${source.ip} to ${destination.ip}:${destination.port}: ${why}`,
      fields,
    );
  };
  const identity = services.identityOf(source.ip);
  if (identity === null) {
    if (own.mode === 'Permissive' && peer.mode === 'Permissive') return null;
    const why = 'the pod has no certificate (yet), and one of both is Strict';
    refused(why);
    throw new SallyportError('NoCertificate', why, 'See mtls.* lines of the journal: docs/MTLS.md.');
  }
  // The port is the captured connection's; that one ends here.
  const tls = wrap(services.dial({ip: source.ip, port: 0}, destination), identity);
  tls.once('secureConnect', () => {
    const wrong = wrongPeer(tls, identity, peer.spiffeId);
    if (wrong !== null) {
      refused(`the server is not whom we want: ${wrong}`);
      tls.destroy(new SallyportError('PeerRefused', wrong, 'See docs/MTLS.md.'));
      return;
    }
    services.count('mtls.out');
    tls.emit(VERIFIED);
  });
  return tls;
}
