import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {stringify} from 'yaml';
import type {Peer} from './peer.ts';

/** This proxy with a policy that looks at method and path, decision and flow logs on. */
export const sallyport: Peer = {
  name: 'sallyport',
  missing: () => null,
  prepare({dir, host, upstreamRoots, podIp, podInterface}) {
    const policy = {
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'EgressPolicy',
      metadata: {name: 'bench', namespace: 'default'},
      spec: {
        podSelector: {},
        rules: [{name: 'origin', to: {hosts: [host]}, http: {methods: ['GET'], paths: ['/small', '/large']}}],
      },
    };
    writeFileSync(join(dir, 'policy.yaml'), stringify(policy));
    writeFileSync(
      join(dir, 'workloads.yaml'),
      stringify([{ips: [podIp], interface: podInterface, namespace: 'default', name: 'client', trustsCa: true}]),
    );
    writeFileSync(join(dir, 'roots.pem'), readFileSync(upstreamRoots));
    return {
      argv: [
        process.execPath,
        'cli/main.ts',
        'tproxy',
        '--policy',
        join(dir, 'policy.yaml'),
        '--workloads',
        join(dir, 'workloads.yaml'),
        '--ca-dir',
        join(dir, 'ca'),
        '--upstream-ca',
        join(dir, 'roots.pem'),
        '--capture',
        'node',
        '--resolver',
        '9.9.9.9',
        '--admin',
        '127.0.0.1:15084',
        '--workers',
        '1',
        '--log-format',
        'json',
        // Every line of both logs: the limit of a workload's lines would be met at once.
        '--log-lines',
        '0',
        // Every line is written, as the peers write theirs.
        '--log-lines',
        '0',
      ],
      redirectTo: null,
      ready: {url: 'http://127.0.0.1:15084/readyz'},
    };
  },
};
