/** MeshEgress: what an Istio mesh is to be told. */
import type {EgressGatewayIntent, Enforcement, MeshEgressDocument} from '../documents.ts';
import {mayShareLabels} from '../labels.ts';
import {canonicalAddress} from '../match/addresses.ts';
import type {RawMeshEgress} from '../schema/kinds.ts';
import {readHosts} from './destination.ts';
import {isDnsLabel, isLabelKey, isLabelValue, isSubdomain} from './names.ts';
import {quote, type Trail} from './trail.ts';

type RawSpec = RawMeshEgress['spec'];
type RawEnforcement = NonNullable<RawSpec['enforcement']>[number];
type RawGateway = NonNullable<RawSpec['egressGateway']>;
type RawProxy = NonNullable<RawSpec['proxies']>[number];
type RawChained = NonNullable<RawSpec['chain']>[number];

/** `raw` has the right shape. The trail stands on the document. */
export function readMeshEgress(raw: RawMeshEgress, trail: Trail): MeshEgressDocument {
  const at = trail.position();
  const {spec} = raw;
  return trail.within(raw, 'spec', () => {
    const {istio = {}, extauthz = {}, enforcement = [], egressGateway = {}, proxies = [], chain = []} = spec;
    trail.within(spec, 'istio', () => {
      checkName(istio, 'revision', isSubdomain, trail);
      checkName(istio, 'rootNamespace', isDnsLabel, trail);
      checkName(istio, 'trustDomain', isSubdomain, trail);
    });
    trail.within(spec, 'extauthz', () => {
      checkName(extauthz, 'name', isDnsLabel, trail);
      checkName(extauthz, 'namespace', isDnsLabel, trail);
      checkName(extauthz, 'identity', isIdentity, trail);
    });
    return {
      kind: 'MeshEgress',
      name: raw.metadata.name,
      istio: {
        version: istio.version ?? '1.31',
        revision: istio.revision ?? 'default',
        rootNamespace: istio.rootNamespace ?? 'istio-system',
        trustDomain: istio.trustDomain ?? 'cluster.local',
      },
      outboundTrafficPolicy: spec.outboundTrafficPolicy ?? 'RegistryOnly',
      extauthz: {
        name: extauthz.name ?? 'sallyport-extauthz',
        namespace: extauthz.namespace ?? 'sallyport',
        port: extauthz.port ?? 9000,
        timeoutMs: extauthz.timeoutMs ?? 500,
        identity: extauthz.identity ?? null,
      },
      enforcement: trail.within(spec, 'enforcement', () =>
        readEnforcement(enforcement, extauthz.identity !== undefined, trail),
      ),
      egressGateway: trail.within(spec, 'egressGateway', () => readGateway(egressGateway, trail)),
      proxies: trail.within(spec, 'proxies', () => readProxies(proxies, trail)),
      chain: trail.within(spec, 'chain', () => readChain(chain, trail)),
      at,
    };
  });
}

function readEnforcement(
  list: readonly RawEnforcement[],
  identified: boolean,
  trail: Trail,
): MeshEgressDocument['enforcement'] {
  const seen: Scope[] = [];
  return list.flatMap((entry, i) =>
    trail.within(list, i, () => {
      checkName(entry, 'namespace', isDnsLabel, trail);
      const labels = entry.selector?.matchLabels ?? {};
      if (entry.selector !== undefined)
        trail.within(entry, 'selector', () =>
          trail.within(entry.selector!, 'matchLabels', () => checkLabels(labels, trail)),
        );
      const namespace = entry.namespace ?? null;
      const before = seen.findIndex((other) => mayShare(other, {namespace, labels}));
      // Both would be in force at once: every connection asked about twice, and what a rule adds to a request added twice.
      if (before !== -1)
        trail.error(
          'OverlappingScope',
          `a pod can be selected by this and by enforcement[${before}]`,
          'Keep one of the two, or let them differ in the namespace or in the value of one label.',
        );
      seen.push({namespace, labels});
      return enforcementOf(entry, namespace, labels, identified, trail) ?? [];
    }),
  );
}

/** The trail stands on the entry; null: it has errors. */
function enforcementOf(
  entry: RawEnforcement,
  namespace: string | null,
  labels: Readonly<Record<string, string>>,
  identified: boolean,
  trail: Trail,
): Enforcement | null {
  const {at, hosts, selector} = entry;
  if (at !== 'Waypoint' && hosts !== undefined)
    trail.within(entry, 'hosts', () =>
      trail.error('UnusedField', `hosts are for Waypoint: at ${at} every name is asked about`, 'Leave hosts out.'),
    );
  if (at === 'Sidecar') return {at, namespace, labels};
  if (namespace === null) {
    trail.error(
      'NoNamespace',
      `at ${at} a namespace is needed: the NetworkPolicy that leaves no other way out is of one`,
      'Write one entry for each namespace.',
    );
    return null;
  }
  switch (at) {
    case 'EgressGateway':
      if (!identified)
        trail.error(
          'NoIdentity',
          'the gateway tells extauthz whose connection it is, and is believed by its certificate only',
          'Give extauthz a certificate of the mesh, and write its name under spec.extauthz.identity.',
        );
      return {at, namespace, labels};
    case 'Waypoint':
      if (selector !== undefined)
        trail.within(entry, 'selector', () =>
          trail.error('UnusedField', 'a waypoint is for services, whoever calls them', 'Leave selector out.'),
        );
      if (hosts === undefined) {
        trail.error(
          'NoHosts',
          'a waypoint is asked for the names that are bound to it',
          'List under hosts what is reached through it.',
        );
        return null;
      }
      return {at, namespace, labels: {}, hosts: trail.within(entry, 'hosts', () => readBound(hosts, trail))};
  }
}

/** A name that is bound to a waypoint has an address in the mesh, and a pattern has none. */
function readBound(list: readonly string[], trail: Trail): readonly string[] {
  list.forEach((name, i) =>
    trail.within(list, i, () => {
      if (name.includes('*'))
        trail.error('BadHost', `${quote(name)} is a pattern, and a waypoint has names bound to it`, 'Write each name.');
    }),
  );
  return readHosts(list, trail);
}

function readGateway(raw: RawGateway, trail: Trail): EgressGatewayIntent {
  checkName(raw, 'namespace', isDnsLabel, trail);
  checkName(raw, 'serviceAccount', isSubdomain, trail);
  const labels = raw.selector?.matchLabels ?? {istio: 'egressgateway'};
  if (raw.selector !== undefined)
    trail.within(raw, 'selector', () =>
      trail.within(raw.selector!, 'matchLabels', () => {
        checkLabels(labels, trail);
        // The gateway's filters would be everybody's in its namespace.
        if (Object.keys(labels).length === 0)
          trail.error('NoLabels', 'every pod of the namespace would be the gateway', 'Write the labels of its pods.');
      }),
    );
  const {inspect} = raw;
  return {
    namespace: raw.namespace ?? 'istio-egress',
    serviceAccount: raw.serviceAccount ?? 'istio-egressgateway',
    labels,
    port: raw.port ?? 15443,
    inspect:
      inspect === undefined
        ? null
        : trail.within(raw, 'inspect', () => ({
            hosts: trail.within(inspect, 'hosts', () => readHosts(inspect.hosts, trail)),
            except: trail.within(inspect, 'except', () => readExcepted(inspect, trail)),
            port: inspect.port ?? 9001,
            trust: inspect.trust ?? '/etc/ssl/certs/ca-certificates.crt',
          })),
  };
}

function readExcepted({hosts, except = []}: NonNullable<RawGateway['inspect']>, trail: Trail): readonly string[] {
  except.forEach((name, i) =>
    trail.within(except, i, () => {
      if (name === '*' || hosts.includes(name))
        trail.error(
          'Contradiction',
          `${quote(name)} is to be decrypted, and is not`,
          'Keep it in one of the two lists.',
        );
    }),
  );
  return readHosts(except, trail);
}

/** A SPIFFE ID, or a DNS name. */
const isIdentity = (name: string): boolean =>
  name.startsWith('spiffe://') ? /^spiffe:\/\/[^/\s]+(\/[^/\s]+)+$/.test(name) : isSubdomain(name);

interface Scope {
  readonly namespace: string | null;
  readonly labels: Readonly<Record<string, string>>;
}

const mayShare = (a: Scope, b: Scope): boolean =>
  (a.namespace === null || b.namespace === null || a.namespace === b.namespace) && mayShareLabels(a.labels, b.labels);

function checkLabels(labels: Readonly<Record<string, string>>, trail: Trail): void {
  for (const [key, value] of Object.entries(labels))
    trail.within(labels, key, () => {
      if (!isLabelKey(key)) trail.error('BadName', `${quote(key)} is no label key`, 'Write it as on the pod.', 'key');
      else if (!isLabelValue(value))
        trail.error('BadName', `${quote(value)} is no label value`, 'Write it as on the pod.');
    });
}

function readChain(list: readonly RawChained[], trail: Trail): MeshEgressDocument['chain'] {
  const seen = new Set<string>();
  return list.map((entry, i) =>
    trail.within(list, i, () => {
      const {name, addresses, trust} = entry;
      checkProxyName(entry, seen, trail);
      return {
        name,
        addresses: addresses === undefined ? null : trail.within(entry, 'addresses', () => readAll(addresses, trail)),
        trust: trust ?? null,
      };
    }),
  );
}

/** The trail stands on the entry. */
function checkProxyName(entry: {readonly name: string}, seen: Set<string>, trail: Trail): void {
  checkName(entry, 'name', isSubdomain, trail);
  if (seen.has(entry.name))
    trail.within(entry, 'name', () =>
      trail.error('DuplicateProxy', `UpstreamProxy ${entry.name} is named before`, 'Keep one of the two entries.'),
    );
  seen.add(entry.name);
}

function readProxies(list: readonly RawProxy[], trail: Trail): MeshEgressDocument['proxies'] {
  const seen = new Set<string>();
  return list.map((entry, i) =>
    trail.within(list, i, () => {
      checkProxyName(entry, seen, trail);
      const {addresses, namespaces, trust} = entry;
      return {
        name: entry.name,
        addresses: addresses === undefined ? null : trail.within(entry, 'addresses', () => readAll(addresses, trail)),
        namespaces: namespaces === undefined ? null : trail.within(entry, 'namespaces', () => named(namespaces, trail)),
        trust: trust ?? '/etc/ssl/certs/ca-certificates.crt',
      };
    }),
  );
}

function readAll(list: readonly string[], trail: Trail): readonly string[] {
  const addresses = new Set<string>();
  list.forEach((text, i) =>
    trail.within(list, i, () => {
      const address = canonicalAddress(text);
      if (address === null)
        trail.error('BadAddress', `${quote(text)} is no address`, 'Write one IPv4 or IPv6 address without a prefix.');
      else addresses.add(address);
    }),
  );
  return [...addresses];
}

function named(list: readonly string[], trail: Trail): readonly string[] {
  list.forEach((name, i) =>
    trail.within(list, i, () => {
      if (!isDnsLabel(name))
        trail.error('BadName', `${quote(name)} is no namespace`, 'Write lower-case letters, digits and "-".');
    }),
  );
  return [...new Set(list)];
}

function checkName(
  container: Readonly<Record<string, unknown>>,
  field: string,
  good: (name: string) => boolean,
  trail: Trail,
): void {
  const name = container[field];
  if (typeof name !== 'string' || good(name)) return;
  trail.within(container, field, () =>
    trail.error('BadName', `${quote(name)} is no name of an object`, 'Write lower-case letters, digits and "-".'),
  );
}
