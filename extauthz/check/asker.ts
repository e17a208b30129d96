/**
 * What the configuration of the Envoy that asks says of itself, key by key in `context_extensions` (of a route) or in the
 * `initial_metadata` of its grpc_service (of a filter; the network filter has only that). A workload cannot write either.
 * The more particular place wins. A value that is not understood refuses: it was meant to say something.
 */
import {canonicalAddress, parseAuthority, type Endpoint} from '../../policy/index.ts';

export const ASKER_KEYS = {
  /**
   * `address`: it dials the destination address that it tells us; `name`: it looks the name up itself, or hands it to a proxy;
   * `answer`: it tells us what the client dialled, and dials nothing but the address in our answer.
   */
  dials: 'sallyport-dials',
  /** IP:PORT that the client dialled, where the connection that Envoy tells of was handed on to it, by another Envoy. */
  destination: 'sallyport-destination',
  /**
   * https: TLS is terminated in this filter chain, with or without SNI; http: what TLS there is, is the mesh's own; tcp: Envoy's
   * inspectors have looked at the first bytes, and they are neither TLS nor HTTP.
   */
  scheme: 'sallyport-scheme',
  /**
   * The port that it dials. A number: behind a gateway's own listener, whose port says nothing. `original`: that of the
   * destination address, whatever the name (where connections are redirected to it). Without it: the name's, or its scheme's.
   */
  port: 'sallyport-port',
  /**
   * Inside the tunnel of a client's CONNECT that this Envoy ends: the authority of that CONNECT, handed on as filter state
   * (`%FILTER_STATE(NAME:PLAIN)%`). It is where the connection goes, and every name inside has to agree with it.
   */
  connect: 'sallyport-connect',
  /** The UpstreamProxy that it sends through; `*`: the one that our answer names. Without it: none. */
  via: 'sallyport-via',
  /** `add`: our answer adds the credentials that this UpstreamProxy wants (--parent-credentials). Without it: none. */
  credentials: 'sallyport-credentials',
  /** Who asks through it: heeded only from a peer entitled to that namespace (identity/identify.ts). */
  namespace: 'sallyport-namespace',
  serviceAccount: 'sallyport-service-account',
  pod: 'sallyport-pod',
  /**
   * Inside a tunnel that this Envoy ends: the identity that it verified of who came with the tunnel, handed on as filter state.
   * Believed only of a --hop, by the Envoy's own certificate; of anybody else it refuses.
   */
  principal: 'sallyport-principal',
} as const;

export type Dials = 'address' | 'name' | 'answer';

export interface Asker {
  readonly dials: Dials;
  /** In place of the connection's own. */
  readonly destination: Endpoint | null;
  readonly scheme: 'http' | 'https' | 'tls' | 'tcp' | null;
  readonly port: number | 'original' | null;
  readonly connect: {readonly host: string; readonly port: number} | null;
  readonly via: string | null;
  readonly addsCredentials: boolean;
  readonly claim: Claim | null;
  /** In place of the connection's own, which has none inside of a tunnel. */
  readonly principal: string | null;
}

/** An identity that the configuration claims. */
export interface Claim {
  readonly namespace: string;
  readonly serviceAccount: string | null;
  readonly pod: string | null;
}

export interface Misconfigured {
  readonly misconfigured: string;
}

/** Looks one key up in what came with the question; null: not there. */
export type Told = (key: string) => string | null;

export function readAsker(told: Told, dialsByDefault: Dials): Asker | Misconfigured {
  const dials = told(ASKER_KEYS.dials) ?? dialsByDefault;
  if (dials !== 'address' && dials !== 'name' && dials !== 'answer')
    return bad(ASKER_KEYS.dials, 'address, name or answer');
  const destinationText = told(ASKER_KEYS.destination);
  const destination = destinationText === null ? null : readEndpoint(destinationText);
  if (destinationText !== null && destination === null) return bad(ASKER_KEYS.destination, 'IP:PORT');
  const scheme = told(ASKER_KEYS.scheme);
  if (scheme !== null && scheme !== 'http' && scheme !== 'https' && scheme !== 'tls' && scheme !== 'tcp')
    return bad(ASKER_KEYS.scheme, 'http, https, tls or tcp');
  const portText = told(ASKER_KEYS.port);
  const port = portText === null || portText === 'original' ? portText : portNumber(portText);
  if (portText !== null && port === null) return bad(ASKER_KEYS.port, 'a number from 1 to 65535, or original');
  const connectText = told(ASKER_KEYS.connect);
  const connect = connectText === null ? null : parseAuthority(connectText);
  if (connectText !== null && (connect === null || connect.port === null)) return bad(ASKER_KEYS.connect, 'HOST:PORT');
  const credentials = told(ASKER_KEYS.credentials);
  if (credentials !== null && credentials !== 'add') return bad(ASKER_KEYS.credentials, 'add');
  return {
    dials,
    destination,
    scheme,
    port,
    connect: connect === null ? null : {host: connect.host, port: connect.port!},
    via: told(ASKER_KEYS.via),
    addsCredentials: credentials !== null,
    claim: readClaim(told),
    principal: told(ASKER_KEYS.principal),
  };
}

function readEndpoint(text: string): Endpoint | null {
  const authority = parseAuthority(text);
  const ip = authority === null ? null : canonicalAddress(authority.host);
  return ip === null || authority!.port === null ? null : {ip, port: authority!.port};
}

function readClaim(told: Told): Claim | null {
  const namespace = told(ASKER_KEYS.namespace);
  if (namespace === null) return null;
  return {namespace, serviceAccount: told(ASKER_KEYS.serviceAccount), pod: told(ASKER_KEYS.pod)};
}

const bad = (key: string, expected: string): Misconfigured => ({
  misconfigured: `The Envoy that asks is misconfigured: ${key} is not ${expected}.`,
});

/** Decimal digits only, 1 to 65535. */
export function portNumber(text: string): number | null {
  if (text.length === 0 || text.length > 5) return null;
  let port = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return null;
    port = port * 10 + digit;
  }
  return port >= 1 && port <= 65535 ? port : null;
}
