/** UpstreamProxy: where the parent is, what goes through it, and what of it is looked up here. */
import type {Ref, UpstreamProxyDocument} from '../documents.ts';
import {parseAuthority} from '../match/hosts.ts';
import type {RawUpstreamProxy} from '../schema/kinds.ts';
import {readHosts} from './destination.ts';
import {isDnsLabel, isSubdomain} from './names.ts';
import {quote, type Trail} from './trail.ts';

type RawSpec = RawUpstreamProxy['spec'];
type Endpoint = UpstreamProxyDocument['endpoints'][number];

/** `raw` has the right shape. The trail stands on the document. */
export function readUpstreamProxy(raw: RawUpstreamProxy, trail: Trail): UpstreamProxyDocument {
  const at = trail.position();
  const {spec} = raw;
  return trail.within(raw, 'spec', () => {
    const endpoints = trail.within(spec, 'endpoints', () => readEndpoints(spec.endpoints, trail));
    const readList = (key: 'hosts' | 'except') =>
      spec[key] === undefined ? [] : trail.within(spec, key, () => readHosts(spec[key]!, trail));
    const hosts = readList('hosts');
    const except = readList('except');
    if (except.length > 0 && hosts.length === 0)
      trail.within(spec, 'except', () =>
        trail.warning(
          'ExceptWithoutHosts',
          'except takes away from hosts, and there are none',
          'Add hosts, or leave except out.',
          'key',
        ),
      );
    return {
      kind: 'UpstreamProxy',
      name: raw.metadata.name,
      endpoints,
      auth: spec.auth === undefined ? null : trail.within(spec, 'auth', () => readAuth(spec.auth!, trail)),
      caBundle:
        spec.caBundle === undefined
          ? null
          : trail.within(spec, 'caBundle', () => readBundle(spec.caBundle!, endpoints, trail)),
      hosts,
      except,
      resolve: spec.resolve ?? 'Both',
      at,
    };
  });
}

function readEndpoints(list: RawSpec['endpoints'], trail: Trail): readonly Endpoint[] {
  const endpoints: Endpoint[] = [];
  list.forEach((entry, i) =>
    trail.within(list, i, () =>
      trail.within(entry, 'url', () => {
        const endpoint = readUrl(entry.url, trail);
        if (endpoint !== null) endpoints.push(endpoint);
      }),
    ),
  );
  return endpoints;
}

/** `http://HOST:PORT` and nothing else: what a URL could hold besides has no meaning here, or belongs into a Secret. */
function readUrl(url: string, trail: Trail): Endpoint | null {
  const bad = (message: string, fix: string): null => {
    // A URL with a password must not be quoted anywhere.
    trail.error('BadEndpoint', message, fix);
    return null;
  };
  const scheme = /^(https?):\/\//i.exec(url);
  if (scheme === null) return bad('this is no http:// or https:// URL', 'Write http://HOST:PORT or https://HOST:PORT.');
  const rest = url.slice(scheme[0].length).replace(/\/$/, '');
  if (rest.includes('@'))
    return bad('the URL holds a user', 'Put user and password into a Secret and name it under auth.secretRef.');
  if (/[/?#]/.test(rest)) return bad(`${quote(url)} has a path`, 'Write scheme, host and port alone.');
  const authority = parseAuthority(rest);
  if (authority === null)
    return bad(`${quote(url)} has no valid host and port`, 'Write http://HOST:PORT or https://HOST:PORT.');
  // Proxies listen on 3128, 8080, 1080, 80 ...: no default is the expected one.
  if (authority.port === null)
    return bad(`${quote(url)} has no port`, `Write the port: ${scheme[0]}${rest}:3128, for example.`);
  return {tls: scheme[1]!.toLowerCase() === 'https', host: authority.host, port: authority.port};
}

interface RawRef {
  readonly name: string;
  readonly namespace: string;
  readonly key?: string;
}

function readRef(kind: Ref['kind'], raw: RawRef, key: string | null, trail: Trail): Ref {
  const check = (field: 'name' | 'namespace', good: (name: string) => boolean) => {
    if (good(raw[field])) return;
    trail.within(raw, field, () =>
      trail.error(
        'BadName',
        `${quote(raw[field])} is no name of an object`,
        'Write lower-case letters, digits, "-" and ".".',
      ),
    );
  };
  check('name', isSubdomain);
  check('namespace', isDnsLabel);
  // It is a file name under --refs, too.
  if (key !== null && (!/^[-._A-Za-z0-9]+$/.test(key) || key === '.' || key.startsWith('..')))
    trail.within(raw, 'key', () =>
      trail.error('BadName', `${quote(key)} is no key of an object`, 'Write letters, digits, "-", "_" and ".".'),
    );
  return {kind, namespace: raw.namespace, name: raw.name, key};
}

function readAuth(raw: NonNullable<RawSpec['auth']>, trail: Trail): Ref {
  return trail.within(raw, 'secretRef', () => readRef('secret', raw.secretRef, null, trail));
}

const DEFAULT_BUNDLE_KEY = 'ca.crt';

function readBundle(raw: NonNullable<RawSpec['caBundle']>, endpoints: readonly Endpoint[], trail: Trail): Ref | null {
  const {configMapRef, secretRef} = raw;
  if ((configMapRef === undefined) === (secretRef === undefined)) {
    trail.error(
      'BadReference',
      'caBundle names one ConfigMap or one Secret',
      'Write either configMapRef or secretRef.',
      'key',
    );
    return null;
  }
  if (endpoints.length > 0 && !endpoints.some((endpoint) => endpoint.tls))
    trail.warning(
      'UnusedBundle',
      'no endpoint speaks TLS, so caBundle verifies nothing',
      'Write the endpoint as https://HOST:PORT, or leave caBundle out.',
      'key',
    );
  const [kind, key, ref] =
    configMapRef === undefined
      ? (['secret', 'secretRef', secretRef!] as const)
      : (['configMap', 'configMapRef', configMapRef] as const);
  return trail.within(raw, key, () => readRef(kind, ref, ref.key ?? DEFAULT_BUNDLE_KEY, trail));
}
