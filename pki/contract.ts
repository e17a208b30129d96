/** What the dataplane asks of pki/. */
import type {SecureContext} from 'node:tls';

/** Leaves for intercepted names: cached, minted once however many ask at the same time. */
export interface LeafSource {
  /** The context to finish a client's handshake with; `name` is a lower-case DNS name or an IP literal (then an IP SAN). `owner`: who asks; of the leaves kept so many were first asked for by one, so that nobody pushes out the others'. */
  context(name: string, owner?: string): SecureContext;
}
