/** What UpstreamProxies want to be shown by who sends through them, from the Secrets that they name. */
import type {UpstreamProxyDocument} from '../policy/index.ts';
import {resolveParents, type MissingRef, type Refs} from '../sources/refs.ts';
import type {ParentCredentials} from './state.ts';

/** `refs` follows their Secrets from now on, and nothing else: a caBundle is Envoy's own to know. */
export function parentCredentials(
  proxies: readonly UpstreamProxyDocument[],
  refs: Pick<Refs, 'follow' | 'read'>,
): {readonly credentials: readonly ParentCredentials[]; readonly missing: readonly MissingRef[]} {
  refs.follow(proxies.flatMap(({auth}) => auth ?? []));
  const {parents, missing} = resolveParents(
    proxies.map((proxy) => ({...proxy, caBundle: null})),
    refs,
  );
  return {
    credentials: parents.map(({name, credentials}) => ({
      proxy: name,
      authorization: credentials === null ? null : basic(credentials),
    })),
    missing,
  };
}

/** RFC 7617 §2.1, in UTF-8. */
const basic = ({username, password}: {readonly username: string; readonly password: string}): string =>
  `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
