/** OPA-Envoy, the ext_authz service that most meshes have: built from its Go module into the cache by cli/setup.mjs. */
import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {homedir} from 'node:os';
import {join} from 'node:path';
import {stringify} from 'yaml';
import type {CheckPeer} from './check-peer.ts';

/** The policy of OPA's Envoy tutorial, shortened to one condition: what it costs is OPA itself. */
const REGO = (host: string): string => `package envoy.authz
default allow := false
allow if input.attributes.request.http.host == "${host}"
`;

/** The version that test/bench/peers/opa/go.mod pins. */
export const OPA_VERSION = /opa-envoy-plugin v(\S+)/.exec(
  readFileSync(new URL('opa/go.mod', import.meta.url), 'utf8'),
)![1]!;

const program = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'sallyport',
  `opa-envoy-${OPA_VERSION}`,
  'opa-envoy-plugin',
);

/** @param log each decision to the console, as the tutorial does and as ours does; without, it is OPA at its cheapest. */
export const opa = (log: boolean): CheckPeer => ({
  name: `OPA-Envoy ${OPA_VERSION.replace(/-envoy$/, '')}${log ? ', decision log' : ''}`,
  missing: () => (existsSync(program) ? null : 'OPA-Envoy is not in the cache (npm run bench builds it with Go)'),
  prepare({dir, host, port}) {
    const policy = join(dir, 'policy.rego');
    const config = join(dir, 'opa.yaml');
    writeFileSync(policy, REGO(host));
    writeFileSync(
      config,
      stringify({
        plugins: {envoy_ext_authz_grpc: {addr: `127.0.0.1:${port}`, path: 'envoy/authz/allow'}},
        decision_logs: {console: log},
      }),
    );
    const flags = ['--server', '--addr', `127.0.0.1:${port + 1}`, '--skip-version-check'];
    return [program, 'run', ...flags, '--config-file', config, policy];
  },
});
