/** The files that the tour writes and edits: the tutorial's policy, a parent proxy, a script filter. */
import {stringify} from 'yaml';
import {API_VERSION} from '../../runtime/names.ts';
import {STORAGE} from './internet.ts';

/** The tutorial's rule: one public bucket may be read, everything else is refused. */
export function tutorialPolicy(status: number, via: string | null = null): string {
  return stringify({
    apiVersion: API_VERSION,
    kind: 'EgressPolicy',
    metadata: {name: 'storage-only', namespace: 'default'},
    spec: {
      podSelector: {matchLabels: {app: 'debian-app'}},
      rules: [
        {
          name: 'public-assets',
          to: {hosts: [STORAGE]},
          http: {methods: ['GET', 'HEAD'], paths: ['/solutions-public-assets/**']},
          ...(via === null ? {} : {via}),
        },
      ],
      deny: {status, contentType: 'text/html', body: 'Access Denied by Administrator\n'},
    },
  });
}

export function upstreamProxy(name: string, url: string, resolve: 'Both' | 'Proxy'): string {
  return stringify({
    apiVersion: API_VERSION,
    kind: 'UpstreamProxy',
    metadata: {name},
    spec: {endpoints: [{url}], resolve},
  });
}

/** The counterpart of the tutorial's mitmproxy script: it answers itself, with the status that the tour edits. */
export function filter(status: number): string {
  return `// A script filter: it runs after the policy's rules have allowed a request.
export function request(flow) {
  if (flow.request.headers.get('x-ticket') === null) return;
  flow.respond({status: ${status}, headers: {'content-type': 'text/plain'}, body: 'No tickets today\\n'});
}
`;
}
