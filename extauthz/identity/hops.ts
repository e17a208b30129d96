/** `--hop`: proxies of ours between the workload and the Envoy that asks. What they say of their client counts, what they are does not. */
import {inAnyCidr, parseCidr, type Address} from '../../policy/index.ts';
import {SallyportError} from '../../runtime/errors.ts';

export interface Hops {
  /** Whether a certificate's identity is a hop's. */
  isId(principal: string): boolean;
  isAddress(ip: Address): boolean;
}

/** Each is a SPIFFE ID or a CIDR. Throws SallyportError `Usage`. */
export function readHops(texts: readonly string[], origin: string): Hops {
  const ids = new Set<string>();
  const cidrs: string[] = [];
  for (const text of texts) {
    if (text.startsWith('spiffe://')) ids.add(text);
    else if (parseCidr(text) !== null) cidrs.push(text);
    else
      throw new SallyportError(
        'Usage',
        `${origin}: ${JSON.stringify(text)} is neither a SPIFFE ID nor a CIDR`,
        'Write spiffe://cluster.local/ns/istio-egress/sa/gateway, or 10.1.2.0/24.',
      );
  }
  const holds = inAnyCidr(cidrs);
  return {isId: (principal) => ids.has(principal), isAddress: cidrs.length === 0 ? () => false : holds};
}
