/**
 * Secrets and ConfigMaps that UpstreamProxies name, watched one by one: by namespace and name, so that a Role can name them too,
 * and nobody here may read any other.
 */
import type {KubeConfig, KubernetesObject} from '@kubernetes/client-node';
import type {Ref} from '../policy/index.ts';
import type {Journal} from '../runtime/journal.ts';
import type {Refs} from '../sources/refs.ts';
import {startReflector, type Reflector} from './reflector.ts';

const KINDS = {
  secret: {kind: 'Secret', plural: 'secrets'},
  configMap: {kind: 'ConfigMap', plural: 'configmaps'},
} as const;

type Texts = ReadonlyMap<string, string>;

interface Followed {
  readonly reflector: Reflector<Texts>;
  /** Why the API server does not tell it; null: it does, or has not been asked. */
  trouble: string | null;
}

export class ClusterRefs implements Refs {
  readonly #config: KubeConfig;
  readonly #journal: Journal;
  readonly #followed = new Map<string, Followed>();
  #changed: () => void = () => undefined;

  constructor(config: KubeConfig, journal: Journal) {
    this.#config = config;
    this.#journal = journal;
  }

  get settled(): boolean {
    return [...this.#followed.values()].every(({reflector, trouble}) => reflector.synced() || trouble !== null);
  }

  read(ref: Ref, key: string): string {
    const what = nameOf(ref);
    const followed = this.#followed.get(what);
    if (followed === undefined || !followed.reflector.synced())
      throw new Error(`${what} has not been told: ${followed?.trouble ?? 'the API server is being asked'}`);
    const texts = followed.reflector.store.get(`${ref.namespace}/${ref.name}`);
    if (texts === undefined) throw new Error(`${what} is not there`);
    const text = texts.get(key);
    if (text === undefined) throw new Error(`${what} has no key ${JSON.stringify(key)}`);
    return text;
  }

  follow(refs: readonly Ref[]): void {
    const wanted = new Map(refs.map((ref) => [nameOf(ref), ref]));
    for (const [what, {reflector}] of this.#followed) {
      if (wanted.has(what)) continue;
      reflector.stop();
      this.#followed.delete(what);
    }
    for (const [what, ref] of wanted) if (!this.#followed.has(what)) this.#followed.set(what, this.#start(what, ref));
  }

  async watch(changed: () => void): Promise<void> {
    this.#changed = changed;
  }

  close(): void {
    this.follow([]);
  }

  #start(what: string, {kind, namespace, name}: Ref): Followed {
    const {kind: apiKind, plural} = KINDS[kind];
    const followed: Followed = {
      trouble: null,
      reflector: startReflector<Texts>({
        config: this.#config,
        resource: {
          ...{
            apiVersion: 'v1',
            kind: apiKind,
            namespace,
            path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/${plural}`,
          },
          fieldSelector: `metadata.name=${name}`,
        },
        keep: kind === 'secret' ? secretTexts : configMapTexts,
        onChange: () => this.#changed(),
        onSynced: () => this.#changed(),
        onTrouble: (message) => {
          const before = followed.trouble;
          followed.trouble = message;
          if (before === message) return;
          this.#journal.notice('error', 'cluster.away', `the API server does not tell ${what}: ${message}`);
          // What waited for this one waits no longer.
          this.#changed();
        },
        onWell: () => (followed.trouble = null),
      }),
    };
    return followed;
  }
}

const nameOf = ({kind, namespace, name}: Ref): string => `${KINDS[kind].kind} ${namespace}/${name}`;

type Strings = Readonly<Record<string, string>>;

/** `data` is base64; bytes that are no UTF-8 come out as U+FFFD, and are no password that a proxy takes. */
function secretTexts(object: KubernetesObject): Texts {
  return decoded((object as {data?: Strings}).data ?? {});
}

function configMapTexts(object: KubernetesObject): Texts {
  const {data = {}, binaryData = {}} = object as {data?: Strings; binaryData?: Strings};
  return new Map([...decoded(binaryData), ...Object.entries(data)]);
}

function decoded(data: Strings): Map<string, string> {
  return new Map(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]));
}
