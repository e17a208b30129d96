/** Envoy's question and our answer against the decision function: any policies, any exchange. */
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {NO_SNI, nameOf} from '../../extauthz/sds/outlook.ts';
import {compilePolicies, type HttpRequest} from '../../policy/index.ts';
import {documents, exchange, installation, zone, type Exchange} from '../reference/arbitraries.ts';
import {checkExchange} from './checked.ts';
import {decideExchange, unmapped} from './decided.ts';
import {asEnvoyAsks} from './envoy-asks.ts';
import {outcomeOf} from './outcome.ts';

/** The same questions each time, since mutants are judged by it; SALLYPORT_FC_SEED asks for others. */
const RUNS = {
  numRuns: Number(process.env['SALLYPORT_FC_RUNS'] ?? 1500),
  seed: Number(process.env['SALLYPORT_FC_SEED'] ?? 7),
};

/** As it comes where Envoy dials the address that the client dialled. It does not tell of an encrypted_client_hello. */
const inMesh = ({base, layers}: Exchange): Exchange => ({
  base: {
    ...base,
    arrived: 'mesh',
    canInspect: true,
    destination: {...base.destination, ip: unmapped(base.destination.ip!)},
  },
  layers: layers.map((traffic) => ('tls' in traffic ? {...traffic, tls: {...traffic.tls, ech: false}} : traffic)),
});

/** No certificate is made for what is no name: the handshake fails, and nobody is asked. */
const getsNoCertificate = ({layers}: Exchange): boolean =>
  layers.some((traffic) => traffic.kind === 'https' && nameOf(traffic.tls.sni ?? NO_SNI) === null);

/** As Envoy tells header fields without encode_raw_headers. */
const joined = ({base, layers}: Exchange): Exchange => ({
  base,
  layers: layers.map((traffic) => ('http' in traffic ? {...traffic, http: joinedLines(traffic.http)} : traffic)),
});

function joinedLines(http: HttpRequest): HttpRequest {
  const fields = new Map<string, string>();
  for (let i = 0; i + 1 < http.headers.length; i += 2) {
    const name = http.headers[i]!.toLowerCase();
    const before = fields.get(name);
    fields.set(name, before === undefined ? http.headers[i + 1]! : `${before},${http.headers[i + 1]}`);
  }
  return {...http, headers: [...fields].flat(), linesJoined: true};
}

const captured = fc
  .tuple(exchange.filter(({base}) => base.arrived !== 'explicit').map(inMesh), fc.boolean())
  .map(([one, raw]) => (raw ? one : joined(one)));

describe('what Envoy is told', () => {
  test('is what the decision function decides', () => {
    const compared = {verdicts: 0, whole: 0};
    fc.assert(
      fc.property(documents, installation, captured, zone, (loaded, facts, one, found) => {
        fc.pre(!getsNoCertificate(one));
        const policies = compilePolicies(loaded, facts);
        const asked = asEnvoyAsks(policies, one, found);
        const decided = decideExchange(policies, one, found);
        const {outcome} = checkExchange(policies, one.base.workload, found, asked);
        compared.verdicts++;
        // What a tls rule carries is not looked at, whoever would like to.
        if (decided === null) return expect(outcome.verdict).toBe('deny');
        const expected = outcomeOf(decided.decision, asked.http?.headers ?? null);
        expect(outcome.verdict).toBe(expected.verdict);
        // tproxy refuses as soon as it can; who asks later, with more to see, may have a better reason, and knows more of Audit.
        const {kind} = decided.request.traffic;
        if (outcome.verdict === 'deny' && (kind === 'unread' || kind === 'tls') !== (asked.http === null)) return;
        compared.whole++;
        if (asked.http !== null || kind === 'opaque') return expect(outcome).toEqual(expected);
        // What would have been denied inside of it, who passes TLS on knows as little as he knows the rule of Audit for it.
        const {wouldDeny: _unknown, ...rest} = expected;
        if (decided.decision.enforced) expect(outcome).toMatchObject(rest);
      }),
      RUNS,
    );
    expect(compared.whole).toBeGreaterThan(compared.verdicts / 2);
  });
});
