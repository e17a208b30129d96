/** What a real Envoy makes of our answers: to the client, to the upstream, in its access log. */
import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
} from 'node:http';
import {connect as connectHttp2} from 'node:http2';
import {connect, type AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {parse} from 'yaml';
import {APP} from '../policy/testing/asking.ts';
import {ENVOY_VERSIONS, envoyBinary} from '../test/envoy/index.ts';
import {envoyTest} from '../test/envoy/require.ts';
import {SITE, SITE_IP} from './testing/asking.ts';
import {serve, type Serving} from './testing/serving.ts';
import {freePorts} from '../test/cluster/ports.ts';
import {closed, found} from '../test/waiting.ts';

const POLICY = `
apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: default}
spec:
  podSelector: {}
  deny: {status: 418, contentType: text/html, body: <b>no</b>, headers: {x-why: policy}}
  rules:
  - name: web
    to: {hosts: [${SITE}], schemes: [http]}
    http: {paths: ["/ok", "/ok/**"]}
    request: {set: {x-set: ours}, add: {x-add: ours}, remove: [x-gone]}
    response: {set: {x-rset: ours}, add: {x-radd: ours}, remove: [x-rgone]}
  - {name: raw, to: {cidrs: [203.0.113.7/32], schemes: [tcp], ports: [7777]}}
`;
const TIMEOUT_MS = 30_000;
const root = join(import.meta.dirname, '..');

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const type = (name: string): {'@type': string} => ({'@type': `type.googleapis.com/envoy.${name}`});
const address = (port: number): object => ({socket_address: {address: '127.0.0.1', port_value: port}});
const cluster = (name: string, port: number, more: object = {}): object => ({
  name,
  type: 'STATIC',
  load_assignment: {cluster_name: name, endpoints: [{lb_endpoints: [{endpoint: {address: address(port)}}]}]},
  ...more,
});

/** The log format that docs/EXTAUTHZ.md gives. */
function documentedFormat(): object {
  const text = readFileSync(join(root, 'docs/EXTAUTHZ.md'), 'utf8');
  const from = text.indexOf('```yaml\nlog_format:') + '```yaml\n'.length;
  return (parse(text.slice(from, text.indexOf('\n```', from))) as {log_format: object}).log_format;
}

function bootstrap(ports: {http: number; tcp: number; checks: number; upstream: number}): object {
  const grpc_service = {
    timeout: '2s',
    envoy_grpc: {cluster_name: 'sallyport', authority: 'sallyport'},
    initial_metadata: [{key: 'sallyport-dials', value: 'name'}],
  };
  const log = (format: object): object => ({
    name: 'stdout',
    typed_config: {...type('extensions.access_loggers.file.v3.FileAccessLog'), path: '/dev/stdout', log_format: format},
  });
  const manager = {
    ...type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'x',
    access_log: [log(documentedFormat())],
    http_filters: [
      {
        name: 'envoy.filters.http.ext_authz',
        typed_config: {
          ...type('extensions.filters.http.ext_authz.v3.ExtAuthz'),
          transport_api_version: 'V3',
          encode_raw_headers: true,
          include_tls_session: true,
          grpc_service,
        },
      },
      {name: 'envoy.filters.http.router', typed_config: type('extensions.filters.http.router.v3.Router')},
    ],
    route_config: {
      virtual_hosts: [{name: 'all', domains: ['*'], routes: [{match: {prefix: '/'}, route: {cluster: 'upstream'}}]}],
    },
  };
  const raw = {
    name: 'envoy.filters.network.ext_authz',
    typed_config: {
      ...type('extensions.filters.network.ext_authz.v3.ExtAuthz'),
      stat_prefix: 'x',
      transport_api_version: 'V3',
      grpc_service: {...grpc_service, initial_metadata: [{key: 'sallyport-dials', value: 'address'}]},
    },
  };
  const tcp = {
    name: 'tcp',
    typed_config: {
      ...type('extensions.filters.network.tcp_proxy.v3.TcpProxy'),
      stat_prefix: 'x',
      cluster: 'upstream',
      access_log: [
        log({
          text_format_source: {
            inline_string:
              'tcp verdict=%DYNAMIC_METADATA(envoy.filters.network.ext_authz:verdict)% reason=%DYNAMIC_METADATA(envoy.filters.network.ext_authz:reason)%\n',
          },
        }),
      ],
    },
  };
  return {
    static_resources: {
      listeners: [
        {
          name: 'http',
          address: address(ports.http),
          filter_chains: [{filters: [{name: 'http', typed_config: manager}]}],
        },
        {name: 'tcp', address: address(ports.tcp), filter_chains: [{filters: [raw, tcp]}]},
      ],
      clusters: [
        cluster('sallyport', ports.checks, {
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              ...type('extensions.upstreams.http.v3.HttpProtocolOptions'),
              explicit_http_config: {http2_protocol_options: {}},
            },
          },
        }),
        cluster('upstream', ports.upstream),
      ],
    },
  };
}

describe.each([...ENVOY_VERSIONS])('Envoy %s', (version) => {
  let serving: Serving;
  let upstream: Server;
  let envoy: ChildProcess;
  let dir: string;
  let ports: {http: number; tcp: number; checks: number; upstream: number};
  /** What arrived at the upstream last; name, value, ... */
  let arrived: readonly string[] | null = null;

  beforeAll(async () => {
    if (envoyBinary(version) === null) return;
    serving = await serve({
      policy: POLICY,
      workloads: [{workload: APP, ips: ['127.0.0.1']}],
      zone: {[SITE]: [SITE_IP]},
    });
    upstream = createServer((request, response) => {
      arrived = request.rawHeaders;
      response.writeHead(200, {'x-rset': 'theirs', 'x-radd': 'theirs', 'x-rgone': 'secret'});
      response.end('theirs');
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    const [http, tcp] = (await freePorts(2)) as [number, number];
    ports = {
      ...{http, tcp},
      checks: serving.listener.port,
      upstream: (upstream.address() as AddressInfo).port,
    };
    dir = mkdtempSync(join(tmpdir(), 'sallyport-answers-'));
    writeFileSync(join(dir, 'envoy.json'), JSON.stringify(bootstrap(ports)));
    const out = openSync(join(dir, 'out'), 'a');
    const argv = [
      '-c',
      join(dir, 'envoy.json'),
      '--concurrency',
      '1',
      '--disable-hot-restart',
      '--log-level',
      'warning',
      '--file-flush-interval-msec',
      '10',
    ];
    envoy = spawn(envoyBinary(version)!, argv, {stdio: ['ignore', out, out]});
    closeSync(out);
    const said = (): string => readFileSync(join(dir, 'out'), 'utf8');
    const listens = async (): Promise<boolean> => {
      if (envoy.exitCode !== null) throw new Error(said());
      const socket = connect(ports.http, '127.0.0.1');
      try {
        await once(socket, 'connect');
        return true;
      } catch {
        return false;
      } finally {
        socket.destroy();
      }
    };
    await found(listens, {said});
  }, TIMEOUT_MS);

  afterAll(async () => {
    if (envoyBinary(version) === null) return;
    envoy.kill('SIGKILL');
    if (envoy.exitCode === null && envoy.signalCode === null) await once(envoy, 'exit');
    serving.listener.close();
    upstream.close();
    upstream.closeAllConnections();
    rmSync(dir, {recursive: true});
  });

  const ask = async (path: string, headers: Record<string, string | string[]> = {}): Promise<Answer> => {
    arrived = null;
    const asking = httpRequest({
      port: ports.http,
      host: '127.0.0.1',
      path,
      headers: {host: SITE, ...headers},
      agent: false,
    });
    asking.end();
    const [response] = (await once(asking, 'response')) as [IncomingMessage];
    let body = '';
    for await (const chunk of response) body += String(chunk);
    return {status: response.statusCode!, headers: response.headers, body};
  };
  const linesOf = (name: string): string[] => {
    const found: string[] = [];
    for (let i = 0; i < (arrived ?? []).length; i += 2)
      if (arrived![i]!.toLowerCase() === name) found.push(arrived![i + 1]!);
    return found;
  };
  const logged = (part: string): Promise<string> => {
    const lines = (): string[] => readFileSync(join(dir, 'out'), 'utf8').split('\n');
    return found(() => lines().find((text) => text.includes(part)), {
      ...{what: `a line with ${part}`, said: () => lines().slice(-20).join('\n')},
    });
  };
  const run = envoyTest(version);

  run('changes a request as the policy says', async () => {
    expect(await ask('/ok', {'x-set': ['a', 'b'], 'x-gone': 'x'})).toMatchObject({status: 200, body: 'theirs'});
    expect([linesOf('x-set'), linesOf('x-add'), linesOf('x-gone')]).toEqual([['ours'], ['ours'], []]);
    await ask('/ok', {'x-add': 'mine'});
    expect(linesOf('x-add').join(',')).toBe('mine,ours');
  });

  run('changes a response as the policy says; what is to be removed is emptied', async () => {
    const {headers} = await ask('/ok');
    expect([headers['x-rset'], headers['x-radd'], headers['x-rgone'] ?? '']).toEqual(['ours', 'theirs, ours', '']);
  });

  run('gives the client the policy’s own answer, any status, and the upstream nothing', async () => {
    const {status, headers, body} = await ask('/else');
    expect([status, headers['content-type'], headers['x-why'], body]).toEqual([
      418,
      'text/html',
      'policy',
      '<b>no</b>',
    ]);
    expect(headers['x-sallyport-denial']).toMatch(/^\w{16}$/);
    expect(arrived).toBeNull();
  });

  run('gives a gRPC client a gRPC status with the reason', async () => {
    const session = connectHttp2(`http://127.0.0.1:${ports.http}`);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/else',
      ':authority': SITE,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.end();
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & {':status': number}];
    session.destroy();
    expect([headers[':status'], headers['grpc-status'], headers['content-type']]).toEqual([
      200,
      '7',
      'application/grpc',
    ]);
    expect(decodeURIComponent(String(headers['grpc-message']))).toContain('NoRuleMatched: ');
  });

  run('tells in its access log what decided, by the format of the guide', async () => {
    await ask('/ok?log=allowed');
    expect(await logged('/ok?log=allowed')).toMatch(
      /^GET site\.test\/ok\?log=allowed 200 allow RuleAllowed policy=default\/p rule=web wouldDeny=false id=\w{16}$/,
    );
    await ask('/else?log=denied');
    expect(await logged('/else?log=denied')).toMatch(
      /^GET site\.test\/else\?log=denied 418 deny NoRuleMatched policy=\S* rule=\S* wouldDeny=true id=\w{16}$/,
    );
  });

  run('takes no header’s word for who asks', async () => {
    for (const name of ['x-forwarded-for', 'x-real-ip', 'x-envoy-external-address', 'forwarded'])
      expect((await ask('/ok', {[name]: '10.9.9.9'})).status).toBe(200);
  });

  run('closes a connection that the network filter asked about, and says why', async () => {
    const socket = connect(ports.tcp, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    socket.write('x');
    await closed(socket, 'the connection that is refused');
    expect(await logged('tcp verdict=deny')).toContain('reason=NoRuleMatched');
  });

  run('asks again for each request of a connection: a policy that is replaced counts at once', async () => {
    expect((await ask('/new')).status).toBe(418);
    serving.envoy.replace(POLICY.replace('"/ok/**"', '"/ok/**", "/new"'));
    expect((await ask('/new')).status).toBe(200);
    serving.envoy.replace(POLICY);
    expect((await ask('/new')).status).toBe(418);
  });
});
