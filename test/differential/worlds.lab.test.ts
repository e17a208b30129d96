/** The same random requests through a real Envoy that asks the real service, through the real tproxy, and to the decision function. */
import {describe, expect} from '@jest/globals';
import {worldName} from '../conformance/format/places.ts';
import type {Observation} from '../conformance/observation.ts';
import {envoyTarget} from '../conformance/targets/envoy/target.ts';
import {policyTarget} from '../conformance/targets/policy/target.ts';
import type {Target} from '../conformance/targets/target.ts';
import {tproxyTarget} from '../conformance/targets/tproxy/target.ts';
import type {Case, Step} from '../conformance/format/case.ts';
import {ENVOY_VERSIONS} from '../envoy/index.ts';
import {envoyTest} from '../envoy/require.ts';
import {randomCase, shown} from './worlds.ts';

const ROUNDS = Number(process.env['SALLYPORT_WORLD_ROUNDS'] ?? 12);
const REQUESTS = 10;
const TIMEOUT_MS = 900_000;

/** The same each time, since a world takes minutes; SALLYPORT_FC_SEED asks for another. A failure names it. */
const seed = Number(process.env['SALLYPORT_FC_SEED'] ?? 7);

async function seenBy(target: Target, world: Case): Promise<Map<Step, Observation>> {
  const standing = await target.open(world, {keep: false, say: () => undefined});
  const seen = new Map<Step, Observation>();
  try {
    for (const step of world.steps) {
      const one = await standing.run(step);
      seen.set(step, {...one, sightings: [...(one.sightings ?? []), ...standing.late()]});
    }
  } finally {
    await standing.close();
  }
  return seen;
}

/** What all of them have to agree on. */
function told({decision, sightings, load}: Observation, sockets: boolean) {
  if (load !== null) return {load: load.error};
  const {verdict, reason, rule} = decision ?? {verdict: null, reason: null, rule: null};
  const requests = (sightings ?? []).filter(({how}) => how === 'request');
  return {
    verdict,
    reason,
    rule,
    // Invariant 1: a denied request is seen by nobody, an allowed one by its server.
    reached: sockets ? requests.map(({server}) => server) : undefined,
    stamped: sockets ? requests.map(({headers}) => headers.get('x-egress')?.join() ?? null) : undefined,
  };
}

describe(`random policies and requests, seed ${seed}`, () => {
  envoyTest(
    ENVOY_VERSIONS[0]!,
    'nft',
    'ip',
    'curl',
    'conntrack',
  )(
    'come out alike in Envoy, in tproxy and in the decision function',
    async () => {
      const world = randomCase(seed, ROUNDS, REQUESTS);
      const decided = await seenBy(policyTarget, world);
      const relayed = await seenBy(tproxyTarget, world);
      const checked = await seenBy(envoyTarget, world);
      let allowed = 0;
      for (const [step, one] of decided) {
        const expected = told(one, false);
        const {answer, notes} = checked.get(step)!;
        const about = [step.name, shown(step), JSON.stringify(answer), ...notes].join('\n');
        const byRelay = told(relayed.get(step)!, true);
        const byEnvoy = told(checked.get(step)!, true);
        const dialled = dialsAnother(step);
        if (dialled !== null) {
          // Refused; or, while all is Audit, left to go where it went.
          const {verdict, reached} = byEnvoy;
          const left = verdict === 'allow' && byRelay.verdict === 'allow';
          expect({about, verdict, reached}).toEqual({
            about,
            verdict: left ? 'allow' : 'deny',
            reached: left ? [dialled] : [],
          });
          continue;
        }
        // In Audit, TLS that passes unseen: what would have become of it is told as far as who passes it on can know.
        if (byEnvoy.verdict === 'allow' && [byEnvoy.reason, byRelay.reason].includes('Uninspectable')) {
          const {verdict, reached} = byRelay;
          expect({about, verdict: byEnvoy.verdict, reached: byEnvoy.reached}).toEqual({about, verdict, reached});
          continue;
        }
        // A name that is inspected at one address and passes at another has no certificate, and no filter is asked: nothing gets out.
        if (byEnvoy.verdict === null && answer?.kind === 'refused' && isTls(step)) {
          expect({about, reached: byEnvoy.reached}).toEqual({about, reached: []});
          continue;
        }
        // TLS by a name without a certificate, since a tls rule carries it for somebody: refused as a connection, before the request
        // that tproxy gets to see and may have another reason for.
        if (byEnvoy.verdict === 'deny' && answer?.kind === 'refused') {
          const {verdict, reached} = byRelay;
          expect({about, verdict: byEnvoy.verdict, reached: byEnvoy.reached}).toEqual({about, verdict, reached});
          continue;
        }
        expect({about, ...byEnvoy}).toEqual({about, ...byRelay});
        expect({about, ...byEnvoy}).toMatchObject({about, ...withoutUndefined(expected)});
        if (byEnvoy.verdict === undefined) continue;
        if (byEnvoy.verdict === 'allow') allowed++;
        expect({about, reached: byEnvoy.reached?.length}).toEqual({
          about,
          reached: byEnvoy.verdict === 'allow' ? 1 : 0,
        });
      }
      expect(allowed).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );
});

/**
 * In the clear, a Host whose address is not the one that was dialled: tproxy dials the name of the Host, Envoy the address,
 * so that it has to be one of the name's ("in the mesh", DESIGN §5).
 */
function dialsAnother({action}: Step): string | null {
  if (action.kind !== 'request' || action.url.scheme !== 'http' || action.host === null) return null;
  const dialled = worldName(action.url.host);
  return worldName(action.host) === dialled ? null : dialled;
}

const isTls = ({action}: Step): boolean => action.kind === 'request' && action.url.scheme === 'https';

const withoutUndefined = (value: object): object =>
  Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined));
