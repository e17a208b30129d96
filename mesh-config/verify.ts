/** What in a cluster keeps the generated objects from doing what they are for. Pure; each finding has its fix. */
import {parse} from 'yaml';
import type {Enforcement, MeshEgressDocument} from '../policy/index.ts';
import {extauthzHost} from './check.ts';
import {allocated} from './allocated.ts';
import {aroundSidecar} from './around-sidecar.ts';
import {PLAIN_HTTP_HOST} from './chain/sidecar.ts';
import {undiscovered} from './discovery.ts';
import {aroundGateway} from './gateway/around.ts';
import {openedByNetworkPolicies} from './gateway/opened.ts';
import {GATEWAY_HOST} from './gateway/way.ts';
import type {ProxyService} from './external-proxy.ts';
import {isForSidecarsOf} from './for-asking.ts';
import {matchesNothing} from './matching.ts';
import {lookedUpFirst, othersFilters} from './others.ts';
import {steered} from './steered.ts';
import {isOurs, isSeenIn, nameOf, type Port, type Surroundings} from './surroundings.ts';
import {tooOld} from './versions.ts';

export interface Conflict {
  /** Stable, CamelCase. */
  readonly code: string;
  /** What is in the way: `ServiceEntry shop/proxy`. */
  readonly object: string;
  readonly message: string;
  readonly fix: string;
}

/** In the order of the checks below, and of the objects given. */
export function conflicts(
  mesh: MeshEgressDocument,
  proxies: readonly ProxyService[],
  around: Surroundings,
): readonly Conflict[] {
  return [
    ...(mesh.enforcement.length === 0 ? [] : asked(mesh, around)),
    ...proxies.flatMap((proxy) => besideProxy(mesh, proxy, around)),
    ...hidden(mesh, proxies, around),
    ...(mesh.enforcement.length === 0
      ? []
      : [...othersFilters(mesh, around), ...lookedUpFirst(mesh, around), ...tooOld(mesh, around)]),
    ...matchesNothing(mesh.istio.rootNamespace, around),
    ...openProviders(around.mesh),
    ...undiscovered(mesh, around),
    ...aroundSidecar(mesh, around),
    ...steered(mesh, around),
    ...allocated(mesh, around),
    ...aroundGateway(mesh, around),
    ...openedByNetworkPolicies(mesh, around),
  ];
}

/** Whether Envoy can ask at all: without its cluster every question fails, and everything is refused. */
function asked(mesh: MeshEgressDocument, {services}: Surroundings): readonly Conflict[] {
  const {name, namespace, port} = mesh.extauthz;
  const object = `Service ${namespace}/${name}`;
  const service = services.find(({metadata}) => metadata.name === name && metadata.namespace === namespace);
  if (service === undefined)
    return [
      {
        code: 'NoExtauthz',
        object,
        message: 'there is no such Service, so every question fails',
        fix: 'Install sallyport extauthz, or correct spec.extauthz.',
      },
    ];
  const found = service.spec.ports?.find((one) => one.port === port);
  if (found === undefined)
    return [
      {
        code: 'NoExtauthz',
        object,
        message: `it has no port ${port}, so every question fails`,
        fix: 'Correct spec.extauthz.port.',
      },
    ];
  const certificate = certificateFault(service.metadata.annotations?.['sallyport.dev/certificate'], mesh);
  if (certificate !== null) return [{code: 'ExtauthzCertificate', object, ...certificate}];
  if (isGrpc(found)) return [];
  return [
    {
      code: 'ExtauthzNotGrpc',
      object,
      message: `Istio takes port ${port} for ${found.appProtocol ?? found.name ?? 'TCP'}, and speaks no HTTP/2 to it: every question fails`,
      fix: 'Call the port grpc, or give it appProtocol: grpc.',
    },
  ];
}

/** `told` is what our chart writes on the Service: of what its certificate is. Of a Service of somebody else's nothing is known. */
function certificateFault(
  told: string | undefined,
  {extauthz: {identity, name, namespace}, istio: {trustDomain}}: MeshEgressDocument,
): {readonly message: string; readonly fix: string} | null {
  const id = `spiffe://${trustDomain}/ns/${namespace}/sa/${name}`;
  switch (told) {
    case 'mesh':
      return identity !== null
        ? null
        : {
            message: 'it is asked in the clear, and wants certificates of the mesh: every question fails',
            fix: `Write spec.extauthz.identity: ${id}.`,
          };
    case 'own':
      return {
        message: 'its certificate is not of the mesh, and no proxy believes it: every question fails',
        fix: 'Install it with extauthz.tls.mesh: true.',
      };
    case 'none':
      return identity === null
        ? null
        : {
            message: `it is asked by TLS as ${identity}, and has no certificate: every question fails`,
            fix: 'Install it with extauthz.tls.mesh: true, or take spec.extauthz.identity out.',
          };
    default:
      return null;
  }
}

/** How Istio chooses a protocol: appProtocol, else the name up to its first dash. */
function isGrpc({appProtocol, name = ''}: Port): boolean {
  const protocol = (appProtocol ?? name.split('-')[0]!).toLowerCase();
  return protocol === 'grpc' || protocol === 'http2' || protocol === 'kubernetes.io/h2c';
}

/** Another service on the proxy's address and port, under another name, is in nobody's way: of two protocols TCP wins. */
function besideProxy(
  mesh: MeshEgressDocument,
  proxy: ProxyService,
  {serviceEntries}: Surroundings,
): readonly Conflict[] {
  return serviceEntries
    .filter((entry) => !isOurs(mesh, entry) && isSeenIn(entry, proxy.namespaces))
    .flatMap((entry): readonly Conflict[] => {
      const object = nameOf(entry);
      const port = entry.spec.ports?.find(({number}) => number === proxy.port);
      const isTcp = port?.protocol?.toUpperCase() === 'TCP';
      if (entry.spec.hosts?.includes(proxy.host) === true)
        return [
          {
            code: 'SameHost',
            object,
            message: `it has the host ${proxy.host} of UpstreamProxy ${proxy.proxy} too, and the older of the two counts${port === undefined || isTcp ? '' : `: with ${port.protocol} for its protocol a CONNECT is answered 404`}`,
            fix: 'Delete it: MeshEgress makes the one that is needed.',
          },
        ];
      if (isTcp && (entry.spec.addresses ?? []).length === 0)
        return [
          {
            code: 'OpenPort',
            object,
            message: `without addresses it opens port ${proxy.port}, that of UpstreamProxy ${proxy.proxy}, to every destination`,
            fix: 'Write its addresses, or let it be seen in its own namespace only (exportTo).',
          },
        ];
      return [];
    });
}

/** `resolved` is what the proxy's name has now; null where it has none, or the lookup failed. */
export function addressDrift(proxy: ProxyService, resolved: readonly string[] | null): readonly Conflict[] {
  const object = `UpstreamProxy ${proxy.proxy}`;
  const fix = 'Write the addresses that it has under addresses in MeshEgress, and apply.';
  if (resolved === null)
    return [
      {
        code: 'AddressDrift',
        object,
        message: `${proxy.host} cannot be looked up here`,
        fix: 'Look it up where pods do.',
      },
    ];
  const missing = resolved.filter((one) => !proxy.addresses.includes(one));
  const gone = proxy.addresses.filter((one) => !resolved.includes(one));
  return [
    ...missing.map(
      (one) => `${proxy.host} has the address ${one}, which is not listed: it is not reached, or reached unseen`,
    ),
    ...gone.map((one) => `${proxy.host} has not the address ${one} any more, which is listed`),
  ].map((message) => ({code: 'AddressDrift', object, message, fix}));
}

/** A Sidecar resource names what its pods see of the registry; what it does not name is not there for them. */
function hidden(
  mesh: MeshEgressDocument,
  proxies: readonly ProxyService[],
  {sidecars}: Surroundings,
): readonly Conflict[] {
  const root = mesh.istio.rootNamespace;
  return sidecars.flatMap((sidecar) => {
    const {namespace} = sidecar.metadata;
    const hosts = sidecar.spec.egress?.flatMap((one) => one.hosts ?? []);
    const found: Conflict[] = [];
    const sees = (owner: string, host: string): boolean =>
      hosts === undefined || hosts.length === 0 || hosts.some((pattern) => matches(pattern, owner, host, namespace));
    const add = (what: string, owner: string, host: string, effect: string): void => {
      if (!sees(owner, host))
        found.push({
          code: 'HiddenBySidecar',
          object: nameOf(sidecar),
          message: `its egress does not show ${what} to its pods: ${effect}`,
          fix: `Add "${owner}/${host}" to its egress hosts.`,
        });
    };
    // Of a waypoint it hides nothing.
    const enforcedAt = (at: Enforcement['at']): boolean =>
      mesh.enforcement.some((one) => one.at === at && isForSidecarsOf(namespace, one, root));
    if (enforcedAt('Sidecar')) {
      add('extauthz', mesh.extauthz.namespace, extauthzHost(mesh), 'every question fails');
      if (mesh.chain.length > 0)
        add(
          'port 80 as HTTP',
          root,
          PLAIN_HTTP_HOST,
          'where no service of theirs has it, its requests do not go to a parent by their names',
        );
    }
    if (enforcedAt('EgressGateway'))
      add('the egress gateway', mesh.egressGateway.namespace, GATEWAY_HOST, 'nothing leaves');
    for (const proxy of proxies)
      if (proxy.namespaces === null || proxy.namespaces.includes(namespace) || namespace === root)
        add(`UpstreamProxy ${proxy.proxy}`, root, proxy.host, 'it is not reached, or reached unseen');
    const mode = sidecar.spec.outboundTrafficPolicy?.mode;
    if (mode === 'ALLOW_ANY' && mesh.outboundTrafficPolicy === 'RegistryOnly')
      found.push({
        code: 'OpenedBySidecar',
        object: nameOf(sidecar),
        message: 'it lets its pods out to what the mesh does not know, against outboundTrafficPolicy: RegistryOnly',
        fix: 'Take outboundTrafficPolicy out of it.',
      });
    return found;
  });
}

/** `namespace/host`, both with wildcards: `*`, `.` for the Sidecar's own namespace, `*.suffix`. */
function matches(pattern: string, owner: string, host: string, own: string): boolean {
  const slash = pattern.indexOf('/');
  const [namespace, name] = [pattern.slice(0, slash), pattern.slice(slash + 1)];
  const there = namespace === '*' || namespace === owner || (namespace === '.' && own === owner);
  return there && (name === '*' || name === host || (name.startsWith('*.') && host.endsWith(name.slice(1))));
}

function openProviders(mesh: string | null): readonly Conflict[] {
  if (mesh === null) return [];
  let providers: readonly Provider[];
  try {
    const read = parse(mesh, {version: '1.1'}) as {readonly extensionProviders?: readonly Provider[]} | null;
    providers = read?.extensionProviders ?? [];
  } catch (error) {
    const why = String((error as Error).message).split('\n')[0]!;
    return [
      {code: 'MeshUnreadable', object: 'mesh configuration', message: why, fix: 'Correct the YAML of its key mesh.'},
    ];
  }
  return providers
    .filter((one) => one.envoyExtAuthzGrpc?.failOpen === true || one.envoyExtAuthzHttp?.failOpen === true)
    .map(({name}) => ({
      code: 'FailsOpen',
      object: `mesh configuration, provider ${name}`,
      message: 'it lets everything pass while its service is away',
      fix: 'Set failOpen: false.',
    }));
}

interface Provider {
  readonly name: string;
  readonly envoyExtAuthzGrpc?: {readonly failOpen?: boolean};
  readonly envoyExtAuthzHttp?: {readonly failOpen?: boolean};
}
