/** The configuration that README and docs/EXTAUTHZ.md tell operators to write is one that Envoy takes. */
import {spawnSync} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, describe, expect} from '@jest/globals';
import {parse} from 'yaml';
import {ENVOY_VERSIONS, envoyBinary} from '../test/envoy/index.ts';
import {envoyTest} from '../test/envoy/require.ts';

const root = join(import.meta.dirname, '..');
const dir = mkdtempSync(join(tmpdir(), 'sallyport-readme-envoy-'));
afterAll(() => rmSync(dir, {recursive: true}));

/** The block of YAML that begins with this text. */
function block(file: string, start: string): unknown {
  const text = readFileSync(join(root, file), 'utf8');
  const from = text.indexOf(`\`\`\`yaml\n${start}`);
  expect(from).not.toBe(-1);
  const body = text.slice(from + '```yaml\n'.length);
  return parse(body.slice(0, body.indexOf('\n```')));
}

const filters = (): unknown[] => block('README.md', '- name: envoy.filters.http.ext_authz') as unknown[];
const documented = (): unknown[] =>
  (block('docs/EXTAUTHZ.md', 'http_filters:') as {http_filters: unknown[]}).http_filters;

function bootstrap(extauthz: readonly unknown[]): object {
  const type = (name: string): {'@type': string} => ({'@type': `type.googleapis.com/envoy.${name}`});
  const {log_format} = block('docs/EXTAUTHZ.md', 'log_format:') as {log_format: object};
  const dialling = block('docs/EXTAUTHZ.md', 'lb_policy:') as object;
  const router = {
    name: 'envoy.filters.http.router',
    typed_config: type('extensions.filters.http.router.v3.Router'),
  };
  const manager = {
    ...type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'x',
    access_log: [
      {
        name: 'stdout',
        typed_config: {...type('extensions.access_loggers.stream.v3.StdoutAccessLog'), log_format},
      },
    ],
    http_filters: [...extauthz, router],
    route_config: {
      virtual_hosts: [{name: 'all', domains: ['*'], routes: [{match: {prefix: '/'}, route: {cluster: 'checked'}}]}],
    },
  };
  return {
    static_resources: {
      listeners: [
        {
          name: 'x',
          address: {socket_address: {address: '127.0.0.1', port_value: 0}},
          filter_chains: [{filters: [{name: 'http', typed_config: manager}]}],
        },
      ],
      clusters: [
        {name: 'sallyport', type: 'STATIC'},
        {name: 'checked', ...dialling},
      ],
    },
  };
}

describe.each([...ENVOY_VERSIONS])('Envoy %s takes', (version) => {
  envoyTest(version).each([
    ['the README’s five lines', filters],
    ['those of the guide', documented],
  ])('%s, the log format and the cluster that dials what was checked', (what, of) => {
    const file = join(dir, `${version}-${what.length}.json`);
    writeFileSync(file, JSON.stringify(bootstrap(of())));
    const {status, stdout, stderr} = spawnSync(
      envoyBinary(version)!,
      ['--mode', 'validate', '--log-level', 'warning', '-c', file],
      {
        encoding: 'utf8',
      },
    );
    expect([status, stderr, stdout]).toEqual([0, '', expect.stringContaining('OK')]);
  });
});
