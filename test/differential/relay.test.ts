/** tproxy's relay against the decision function: any policies, any exchange, as real bytes on a socket. */
import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {compilePolicies} from '../../policy/index.ts';
import {documents, exchange, installation, zone, type Exchange} from '../reference/arbitraries.ts';
import {decideExchange, unmapped} from './decided.ts';
import {outcomeOf, sortedFields} from './outcome.ts';
import {Relaying} from './relayed.ts';

/** Each is a connection, most with a TLS handshake. */
const RUNS = {numRuns: Math.ceil(Number(process.env['SALLYPORT_FC_RUNS'] ?? 1500) / 5)};

/** A hundred times what the runs take on an idle machine. */
const TIMEOUT_MS = 300_000;

/** What a client of HTTP/1 can write and what curl would send as SNI; the codec's own tests write the rest. */
function asHttp1({base, layers}: Exchange): Exchange | null {
  const changed = layers.map((traffic) => {
    if (traffic.kind !== 'http' && traffic.kind !== 'https')
      return 'tls' in traffic ? {...traffic, tls: noEch(traffic.tls)} : traffic;
    const {http} = traffic;
    const host = http.host ?? http.authority;
    const asked = {...http, version: '1.1', scheme: null, authority: null, host, upgrade: []} as const;
    return traffic.kind === 'https' ? {...traffic, tls: noEch(traffic.tls), http: asked} : {...traffic, http: asked};
  });
  const {http, tls} = changed.at(-1) as {
    http?: {method: string; path: string; host: string | null};
    tls?: {sni: string | null};
  };
  if (http !== undefined && (http.method === 'CONNECT' || !http.path.startsWith('/') || http.host === null))
    return null;
  if (http?.host?.includes(' ') === true) return null;
  if (tls !== undefined && tls.sni !== null && !/^[a-z.]+[a-z]$/i.test(tls.sni)) return null;
  const destination = {...base.destination, ip: unmapped(base.destination.ip!)};
  return {base: {...base, arrived: 'captured', canInspect: true, destination}, layers: changed};
}

const noEch = <T extends {ech: boolean}>(tls: T): T => ({...tls, ech: false});

const captured = exchange
  .filter(({base}) => base.arrived === 'captured')
  .map(asHttp1)
  .filter((one) => one !== null);

let relaying: Relaying;
beforeAll(async () => (relaying = await Relaying.start()));
afterAll(() => relaying.close());

describe('what the relay does', () => {
  test(
    'is what the decision function decides',
    async () => {
      let compared = 0;
      await fc.assert(
        fc.asyncProperty(documents, installation, captured, zone, async (loaded, facts, one, found) => {
          const policies = compilePolicies(loaded, facts);
          const decided = decideExchange(policies, one, found);
          fc.pre(decided !== null);
          const {decision, request} = decided;
          const {decisions, sent, status} = await relaying.run(policies, one, found);
          compared++;
          const last = decisions.at(-1);
          const lines = 'http' in request.traffic ? request.traffic.http.headers : null;
          const expected = outcomeOf(decision, lines);
          const {verdict, reason, rule, wouldDeny} = outcomeOf(last!.decision, null);
          expect({verdict, reason, rule, wouldDeny}).toEqual({
            verdict: expected.verdict,
            reason: expected.reason,
            rule: expected.rule,
            wouldDeny: expected.wouldDeny,
          });
          // Invariant 1, and the request as it was allowed.
          expect(sent === null).toBe(expected.verdict === 'deny');
          if (sent?.headers != null && expected.forwarded !== null)
            expect(sortedFields(sent.headers)).toEqual(expected.forwarded);
          if (status !== null && expected.status !== null) expect(status).toBe(expected.status);
        }),
        RUNS,
      );
      expect(compared).toBeGreaterThan(RUNS.numRuns / 2);
    },
    TIMEOUT_MS,
  );
});
