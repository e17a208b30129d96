/** `sallyport mesh-config diff|apply|verify`: what is generated, beside what a cluster has. */
import {lookup} from 'node:dns/promises';
import {NAMELESS, type ProxyService} from '../mesh-config/external-proxy.ts';
import {addressDrift, conflicts, type Conflict} from '../mesh-config/verify.ts';
import {namesToResolve, unresolvable} from '../mesh-config/others.ts';
import {pinned, pinnedElsewhere} from '../mesh-config/steered.ts';
import {unchained} from '../mesh-config/unchained.ts';
import type {Surroundings} from '../mesh-config/surroundings.ts';
import {differences, idOf, planFor, type Live, type Plan} from '../mesh-config/plan.ts';
import {mergeMesh} from '../mesh-config/merge.ts';
import {meshSettings} from '../mesh-config/mesh-settings.ts';
import type {Generated, IstioObject} from '../mesh-config/objects.ts';
import type {Store} from '../mesh-config/store.ts';
import type {MeshEgressDocument, UpstreamProxyDocument} from '../policy/index.ts';
import {EXIT, SallyportError} from '../runtime/errors.ts';
import type {Out} from '../runtime/output.ts';

interface Wanted {
  readonly proxies: readonly ProxyService[];
  /** What was given beside the MeshEgress. */
  readonly documents: readonly UpstreamProxyDocument[];
  readonly mesh: MeshEgressDocument;
  readonly objects: readonly Generated[];
}

/** Says what apply would do; exit code 1 where that is something. Writes nothing. */
export async function diff(wanted: Wanted, store: Store, out: Out): Promise<number> {
  const plan = await planOf(wanted, store);
  const gone = [...plan.removeFirst, ...plan.removeLast];
  let differs = gone.length > 0;
  for (const object of gone) out.stdout(`- ${idOf(object)}\n`);
  for (const {wanted: object, live} of plan.write) {
    // As the API server would make it: defaults filled in, and what others have set beside ours.
    const after = await store.write(object, {dryRun: true, force: true});
    const lines = live === null ? [] : differences(ours(live), ours(after));
    if (live !== null && lines.length === 0) continue;
    differs = true;
    out.stdout(`${live === null ? '+' : '~'} ${idOf(object)}\n${lines.map((line) => `    ${line}\n`).join('')}`);
  }
  const settings = await settingsToWrite(wanted.mesh, store);
  if (settings) out.stdout(MESH_DIFFERS);
  if (!differs && !settings) out.stdout('The cluster holds what is generated.\n');
  return differs || settings ? EXIT.finding : EXIT.ok;
}

/**
 * Writes what is generated and removes what was generated before. Everything is tried without effect first, so that a refusal
 * leaves the cluster as it was. Throws SallyportError.
 */
export async function apply(wanted: Wanted, store: Store, force: boolean, out: Out): Promise<number> {
  const plan = await planOf(wanted, store);
  for (const {wanted: object} of plan.write) await store.write(object, {dryRun: true, force});
  const remove = async (objects: readonly Live[]): Promise<void> => {
    for (const object of objects) {
      await store.remove(object);
      out.stdout(`removed ${idOf(object)}\n`);
    }
  };
  await remove(plan.removeFirst);
  for (const {wanted: object, live} of plan.write) {
    const after = await store.write(object, {dryRun: false, force});
    const same = live?.metadata.resourceVersion === after.metadata.resourceVersion;
    out.stdout(`${live === null ? 'created' : same ? 'unchanged' : 'changed'} ${idOf(object)}\n`);
  }
  await remove(plan.removeLast);
  if (await settingsToWrite(wanted.mesh, store)) out.stderr(MESH_DIFFERS);
  return EXIT.ok;
}

/** How a name is looked up, for tests. Resolves with null where there is none. */
export type LookUp = (name: string) => Promise<readonly string[] | null>;

/** Says what keeps the generated objects from doing what they are for; exit code 1 where that is something. */
export async function verify(wanted: Wanted, store: Store, out: Out, lookUp: LookUp = systemLookUp): Promise<number> {
  const {mesh, proxies, documents} = wanted;
  const around = await store.surroundings(mesh);
  const found = [
    ...conflicts(mesh, proxies, around),
    ...unchained(mesh, documents, around),
    ...(await withoutAddress(around, lookUp)),
    ...(await elsewhere(mesh, around, lookUp)),
    // Where the endpoint is an address, the host is only a name that Istio wants.
    ...(
      await Promise.all(
        proxies
          .filter(({host}) => !host.endsWith(`.${NAMELESS}`))
          .map(async (proxy) => addressDrift(proxy, await lookUp(proxy.host))),
      )
    ).flat(),
  ];
  for (const {code, object, message, fix} of found) out.stdout(`${code}: ${object}: ${message}. ${fix}\n`);
  const quiet: Out = {stdout: () => undefined, stderr: () => undefined};
  const current = (await diff(wanted, store, quiet)) === EXIT.ok;
  if (!current)
    out.stdout('NotApplied: the cluster does not hold what is generated. See mesh-config diff, then apply.\n');
  if (found.length === 0 && current) out.stdout('Nothing is in the way.\n');
  return found.length === 0 && current ? EXIT.ok : EXIT.finding;
}

/** Look-ups of one verify: more would take minutes where a resolver does not answer. */
const MAX_LOOKUPS = 200;

async function withoutAddress({serviceEntries}: Surroundings, lookUp: LookUp): Promise<readonly Conflict[]> {
  const asked = serviceEntries
    .flatMap((entry) => namesToResolve(entry).map((name) => ({entry, name})))
    .slice(0, MAX_LOOKUPS);
  const found = await Promise.all(
    asked.map(async ({entry, name}) => ((await lookUp(name)) === null ? unresolvable(entry, name) : null)),
  );
  return found.filter((one) => one !== null);
}

async function elsewhere(mesh: MeshEgressDocument, around: Surroundings, lookUp: LookUp): Promise<readonly Conflict[]> {
  const asked = pinned(mesh, around).slice(0, MAX_LOOKUPS);
  return (
    await Promise.all(asked.map(async ({entry, host}) => pinnedElsewhere(entry, host, await lookUp(host))))
  ).flat();
}

const systemLookUp: LookUp = async (name) => {
  try {
    return (await lookup(name, {all: true})).map(({address}) => address).sort();
  } catch {
    return null;
  }
};

const MESH_DIFFERS =
  "~ Istio's mesh configuration: see mesh-config generate -o mesh, or -o values; it belongs to who installs Istio, and apply leaves it alone\n";

async function planOf({mesh, objects}: Wanted, store: Store): Promise<Plan> {
  const plan = planFor(mesh.name, objects, await store.list());
  const [foreign] = plan.foreign;
  if (foreign !== undefined)
    throw new SallyportError(
      'NotOurs',
      `${idOf(foreign)} is there, and was not generated from MeshEgress ${mesh.name}`,
      'Rename or delete it.',
    );
  return plan;
}

/** What is compared: what we write, and no more. */
const ours = ({metadata, spec}: Live | IstioObject): object => ({labels: metadata.labels, spec});

/** Whether the mesh configuration lacks something; where there is none, that is for who installs Istio. */
async function settingsToWrite(mesh: MeshEgressDocument, store: Store): Promise<boolean> {
  const {rootNamespace, revision} = mesh.istio;
  const text = await store.mesh(rootNamespace, revision);
  if (text === null) return true;
  // Twice, so that only what it says is compared, and not how it is written.
  return mergeMesh(text, {}) !== mergeMesh(text, meshSettings(mesh));
}
