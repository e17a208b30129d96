/** A corporate proxy that pods reach by themselves (https_proxy): known to the mesh, at its addresses only. */
import type {MeshEgressDocument, UpstreamProxyDocument} from '../policy/index.ts';
import {istioObject, type Generated} from './objects.ts';

/** What one ServiceEntry is made of: a name and a port, and every address that it has. */
export interface ProxyService {
  readonly proxy: string;
  /** The object's name. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly addresses: readonly string[];
  /** null: every namespace. */
  readonly namespaces: readonly string[] | null;
  /** How the sidecar speaks TLS to it: the name or address in its certificate, and a file of roots; null: it does not. */
  readonly tls: {readonly name: string; readonly trust: string} | null;
  /** It wants credentials, which extauthz adds: pods hold none. */
  readonly wantsCredentials: boolean;
}

/** Istio wants a host for every service; an endpoint that is written as an address has none. */
export const NAMELESS = 'upstream-proxy.sallyport.internal';

/** The endpoints by name and port, in the order of the UpstreamProxy. */
export function proxyServices(
  {name, addresses, namespaces, trust}: MeshEgressDocument['proxies'][number],
  {endpoints, auth}: UpstreamProxyDocument,
  isAddress: (host: string) => boolean,
): readonly ProxyService[] {
  const services = new Map<string, {host: string; port: number; addresses: string[]; tls: ProxyService['tls']}>();
  for (const {tls, host, port} of endpoints) {
    const literal = isAddress(host);
    const known = literal ? `${name}${tls ? `-${host.replaceAll(/[.:]/g, '-')}` : ''}.${NAMELESS}` : host;
    // Addresses that speak TLS have a certificate each.
    const key = tls ? `${host}:${port}` : `${known}:${port}`;
    const service = services.get(key) ?? {
      ...{host: known, port, addresses: literal ? [] : [...(addresses ?? [])]},
      tls: tls ? {name: host, trust} : null,
    };
    if (literal && !service.addresses.includes(host)) service.addresses.push(host);
    services.set(key, service);
  }
  return [...services.values()].map((service, i) => ({
    ...service,
    proxy: name,
    name: `sallyport-proxy-${name}${i === 0 ? '' : `-${i + 1}`}`,
    namespaces,
    wantsCredentials: auth !== null,
  }));
}

export function serviceEntry(mesh: MeshEgressDocument, service: ProxyService): Generated {
  const {proxy, name, host, port, addresses, namespaces} = service;
  return {
    why: `UpstreamProxy ${proxy} at ${host}:${port}. The port is TCP: as HTTP, Envoy would look for a route for each CONNECT and answer 404. Every address is listed: without any, this port of every destination would be open.`,
    object: istioObject(mesh, 'networking.istio.io/v1', 'ServiceEntry', name, mesh.istio.rootNamespace, {
      hosts: [host],
      addresses: addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
      ports: [{number: port, name: 'tcp-proxy', protocol: 'TCP'}],
      location: 'MESH_EXTERNAL',
      // Where the client dials is where it goes; a name is not looked up by Envoy again.
      resolution: 'NONE',
      exportTo: namespaces ?? ['*'],
    }),
  };
}
