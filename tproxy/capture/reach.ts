/** `CIDR[:PORT]` as text: where pods with a sidecar may go. Pure. */
import {parseCidr} from '../../policy/index.ts';
import {SallyportError} from '../../runtime/errors.ts';
import type {Reach} from './config.ts';

const WRITTEN = /^(?<cidr>[^/]+\/\d{1,3})(?::(?<port>\d{1,5}))?$/;
const MAX_PORT = 65_535;

/** Throws SallyportError `Usage`. */
export function parseReaches(texts: readonly string[], origin: string): Reach[] {
  return texts.map((text) => {
    const {cidr, port} = WRITTEN.exec(text)?.groups ?? {};
    const number = port === undefined ? null : Number(port);
    if (cidr === undefined || parseCidr(cidr) === null || number === 0 || (number ?? 0) > MAX_PORT)
      throw new SallyportError(
        'Usage',
        `${origin}: ${JSON.stringify(text)} is no CIDR[:PORT]`,
        'Write 10.244.0.0/16, 192.168.7.10/32:443 or fd00:10::/48:15012.',
      );
    return {cidr, port: number};
  });
}
