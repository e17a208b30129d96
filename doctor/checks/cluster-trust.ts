/** The trust bundle where pods mount it: in every namespace that opts in, the same as ours. */
import {createHash} from 'node:crypto';
import {parseCaCertificates} from '../../pki/ca-certificate.ts';
import {LABELS, TRUST_KEYS} from '../../runtime/names.ts';
import type {Check} from '../check.ts';
import {fail, grave, minor, verdictOf, type Problem} from '../outcome.ts';
import type {Thing} from '../cluster/api.ts';
import {PATHS} from '../cluster/kinds.ts';
import type {ClusterWorld} from '../cluster/world.ts';

interface ConfigMap extends Thing {
  readonly data?: Readonly<Record<string, string>>;
  readonly binaryData?: Readonly<Record<string, string>>;
}

const DAY_MS = 86_400_000;
const SOON_MS = 60 * DAY_MS;
const CONFIG_MAP = 'sallyport-trust';
const KEEPER = 'See whether the controller runs: it keeps the bundle in every namespace that opts in.';

export const clusterTrust: Check<ClusterWorld> = {
  name: 'cluster.trust',
  looks: `ConfigMap ${CONFIG_MAP} in every namespace that opts in`,
  run: async ({api, namespace, now}) => {
    const bundle = (where: string): Promise<ConfigMap | null> =>
      api.get<ConfigMap>(`/api/v1/namespaces/${where}/configmaps/${CONFIG_MAP}`);
    const opted = (await api.list<Thing>(PATHS.namespaces)).filter(
      ({metadata}) => metadata.labels?.[LABELS.injection] === 'enabled' && metadata.deletionTimestamp === undefined,
    );
    const ours = await bundle(namespace);
    if (ours === null) return fail(`there is none in ${namespace}: no pod can be made to trust the CA`, KEEPER);
    const problems: Problem[] = [];
    for (const {metadata} of opted) {
      const theirs = await bundle(metadata.name);
      if (theirs === null)
        problems.push(grave(`namespace ${metadata.name} has none: its pods wait for the mount`, KEEPER));
      else if (digest(theirs) !== digest(ours))
        problems.push(
          grave(`that of namespace ${metadata.name} is another: its pods reject what the CA signs now`, KEEPER),
        );
    }
    for (const root of parseCaCertificates(ours.data?.[TRUST_KEYS.ca] ?? '', `${CONFIG_MAP} in ${namespace}`))
      if (root.notAfterMs - now() < SOON_MS)
        problems.push(
          (root.notAfterMs <= now() ? grave : minor)(
            `the root ends at ${new Date(root.notAfterMs).toISOString()}`,
            'It is rotated by the controller: see its log, and docs/TRUST.md.',
          ),
        );
    return verdictOf(problems, `${opted.length} namespaces opted in, all with the same bundle`);
  },
};

/** Of what pods read: a name that is missing is as bad as another text. */
function digest({data = {}, binaryData = {}}: ConfigMap): string {
  const hash = createHash('sha256');
  for (const [key, value] of [...Object.entries(data), ...Object.entries(binaryData)].sort())
    hash.update(`${key}\0${value}\0`);
  return hash.digest('hex');
}
