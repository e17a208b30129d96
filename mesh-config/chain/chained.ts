/** What `chain` of a MeshEgress says, with the UpstreamProxies that it names; what cannot be is a finding. */
import {parseAddress, type Finding, type MeshEgressDocument, type UpstreamProxyDocument} from '../../policy/index.ts';
import {credentialsVariable, type Chain, type ChainedParent} from './parents.ts';

const DEFAULT_TRUST = '/etc/ssl/certs/ca-certificates.crt';

/** null: nothing is chained. */
export function chained(
  mesh: MeshEgressDocument,
  proxies: readonly UpstreamProxyDocument[],
  findings: Finding[],
): Chain | null {
  if (mesh.chain.length === 0) return null;
  const error = (path: string, code: string, message: string, fix: string): void =>
    void findings.push({severity: 'error', code, message, fix, at: mesh.at, object: `MeshEgress ${mesh.name}`, path});
  // Older Envoys read over what makes them choose the route after the answer: they would go direct.
  if (mesh.istio.version !== '1.31')
    error(
      'spec.istio.version',
      'IstioTooOld',
      `proxies of Istio ${mesh.istio.version} choose where a request goes before it is asked about`,
      'Chain with Istio 1.31, or let pods reach the proxy by themselves (spec.proxies).',
    );
  const variables = new Map<string, string>();
  const parents = mesh.chain.flatMap(({name, addresses, trust}, i): ChainedParent[] => {
    const path = `spec.chain[${i}]`;
    const document = proxies.find((one) => one.name === name);
    if (document === undefined) {
      error(
        path,
        'UnknownProxy',
        `there is no UpstreamProxy ${name}`,
        'Give its document too, in the same file or with another -f.',
      );
      return [];
    }
    const secure = document.endpoints.filter(({tls}) => tls);
    if (document.caBundle !== null && trust === null)
      error(
        path,
        'NoTrust',
        `caBundle of UpstreamProxy ${name} is an object, and the proxy container reads files`,
        'Mount it there, and write the file under trust.',
      );
    const literal = secure.find(({host}) => parseAddress(host) !== null);
    if (literal !== undefined)
      error(
        path,
        'TlsToAddress',
        `https://${literal.host}:${literal.port} has no name that its certificate could be held to`,
        'Write the endpoint with its name, and its addresses under addresses.',
      );
    const parent = {document, addresses, trust: trust ?? DEFAULT_TRUST};
    const variable = credentialsVariable(document);
    const other = variables.get(variable);
    if (document.auth !== null && other !== undefined)
      error(
        path,
        'SameVariable',
        `the credentials of UpstreamProxy ${name} and of ${other} would both be in ${variable}`,
        'Rename one of the two.',
      );
    if (document.auth !== null) variables.set(variable, name);
    return [parent];
  });
  return {parents, directAnywhere: mesh.outboundTrafficPolicy === 'AllowAny'};
}
