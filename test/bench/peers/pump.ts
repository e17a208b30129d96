import {fileURLToPath} from 'node:url';
import type {Peer} from './peer.ts';

/** No proxy at all: what Node's TLS and its streams cost whoever uses them, the floor under our own figures. */
export const pump: Peer = {
  name: 'bare node:tls (no parser)',
  missing: () => null,
  prepare({host, address, upstreamRoots, leaf}) {
    const program = fileURLToPath(new URL('./pump-server.ts', import.meta.url));
    return {
      argv: [process.execPath, program, '16006', address, host, leaf.certificate, leaf.key, upstreamRoots],
      redirectTo: 16006,
      ready: {port: 16006},
    };
  },
};
