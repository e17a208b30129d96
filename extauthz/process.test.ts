/** `sallyport extauthz` as it is started: its files, its ports, its signals. */
import {spawn, type ChildProcess} from 'node:child_process';
import {existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {createServer, type AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {credentials, status, type ServiceError} from '@grpc/grpc-js';
import {meshCa, type MeshCa} from './sds/testing/mesh-ca.ts';
import {question} from './testing/asking.ts';
import {CHECK_PATH, grpcClient} from './testing/serving.ts';

const MAIN = fileURLToPath(new URL('../cli/main.ts', import.meta.url));
const START_MS = 30_000;
const LITERAL = '203.0.113.9';

interface Line {
  readonly event: string;
  readonly [field: string]: unknown;
}

let dir: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-extauthz-'));
  mkdirSync(join(dir, 'policies'));
  allow(LITERAL);
  writeFileSync(join(dir, 'workloads.yaml'), '- {ips: [10.244.0.7], namespace: default, name: app-1}\n');
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(dir, {recursive: true});
});

const policy = (text: string): void => writeFileSync(join(dir, 'policies', 'p.yaml'), text);
const allow = (cidr: string): void =>
  policy(`apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: default}
spec:
  podSelector: {}
  rules:
  - {name: web, to: {cidrs: [${cidr}/32], schemes: [http]}}
`);

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const {port} = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface Running {
  readonly child: ChildProcess;
  readonly lines: Line[];
  readonly target: string;
  readonly admin: string;
  /** The first line of this event, from now or from before. */
  readonly said: (event: string) => Promise<Line>;
  readonly exited: Promise<number | null>;
  readonly stderr: () => string;
}

async function start(...flags: string[]): Promise<Running> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const argv = [
    ...[
      'extauthz',
      '--policy',
      join(dir, 'policies'),
      '--workloads',
      join(dir, 'workloads.yaml'),
      '--log-format',
      'json',
    ],
    ...['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`, ...flags],
  ];
  const child = spawn(process.execPath, [MAIN, ...argv], {stdio: ['ignore', 'pipe', 'pipe']});
  children.push(child);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const lines: Line[] = [];
  const waiting = new Set<() => void>();
  createInterface({input: child.stdout}).on('line', (text) => {
    lines.push(JSON.parse(text) as Line);
    for (const look of waiting) look();
  });
  const exited = new Promise<number | null>((resolve) => void child.on('exit', (code) => resolve(code)));
  const said = (event: string): Promise<Line> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = lines.find((line) => line.event === event);
        if (found === undefined) return;
        waiting.delete(look);
        resolve(found);
      };
      waiting.add(look);
      void exited.then(() => reject(new Error(`ended before it said ${event}:\n${stderr}${JSON.stringify(lines)}`)));
      look();
    });
  return {
    child,
    lines,
    target: `127.0.0.1:${port}`,
    admin: `http://127.0.0.1:${adminPort}`,
    said,
    exited,
    stderr: () => stderr,
  };
}

async function standing(...flags: string[]): Promise<Running> {
  const running = await start(...flags);
  await running.said('extauthz.listening');
  return running;
}

/** The reason that the answer carries. */
async function reasonOf(target: string, ip: string = LITERAL): Promise<unknown> {
  const client = grpcClient(target);
  try {
    return (await client.check(question({host: ip, ip}))).dynamicMetadata?.reason;
  } finally {
    client.close();
  }
}

test(
  'answers by the files, tells the log and the metrics, and ends by itself',
  async () => {
    const {target, admin, said, child, exited, lines} = await standing();
    expect(await reasonOf(target)).toBe('RuleAllowed');
    expect(await reasonOf(target, '203.0.113.10')).toBe('NoRuleMatched');
    const ready = await fetch(`${admin}/readyz`);
    expect([ready.status, await ready.json()]).toMatchObject([
      200,
      {ready: true, policies: {documents: 1, lastLoad: 'ok'}},
    ]);
    const metrics = await (await fetch(`${admin}/metrics`)).text();
    expect(metrics).toMatch(/sallyport_decisions_total\{[^}]*reason="RuleAllowed"[^}]*\} 1\n/);
    expect(await said('egress.decision')).toMatchObject({
      verdict: 'allow',
      reason: 'RuleAllowed',
      arrived: 'mesh',
      workload: 'default/app-1',
      policy: 'p',
      rule: 'web',
    });
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    expect(lines.at(-1)).toMatchObject({event: 'extauthz.draining'});
  },
  START_MS,
);

test(
  'a change of the files is followed, a bad one is said and changes nothing',
  async () => {
    const {target, admin, said, lines} = await standing();
    allow('203.0.113.77');
    await expectSoon(() => reasonOf(target, '203.0.113.77'), 'RuleAllowed');
    policy('kind: EgressPolicy\n');
    await said('policy.failed');
    expect(await reasonOf(target, '203.0.113.77')).toBe('RuleAllowed');
    const ready = (await (await fetch(`${admin}/readyz`)).json()) as {ready: boolean; policies: {lastLoad: string}};
    expect(ready).toMatchObject({ready: true, policies: {lastLoad: expect.stringContaining('failed')}});
    writeFileSync(
      join(dir, 'workloads.yaml'),
      '- {ips: [10.244.0.8], namespace: default, name: app-2}\n- {ips: [10.244.0.9], namespace: default, name: app-3}\n',
    );
    await expectSoon(() => reasonOf(target), 'UnknownWorkload');
    expect(await (await fetch(`${admin}/metrics`)).text()).toMatch(/\nsallyport_workloads 2\s/);
    writeFileSync(join(dir, 'workloads.yaml'), 'nonsense');
    await said('workloads.failed');
    expect(lines.filter(({level}) => level === 'error').map(({event}) => event)).toEqual(
      expect.arrayContaining(['policy.failed', 'workloads.failed']),
    );
  },
  START_MS,
);

/** Asks until the answer is that; the test's own time is the limit. */
async function expectSoon(ask: () => Promise<unknown>, expected: unknown): Promise<void> {
  while ((await ask()) !== expected) await new Promise((resolve) => setImmediate(resolve));
}

test(
  'several processes answer on one port, are counted together, and one that dies is replaced',
  async () => {
    const {target, admin, said, child, exited} = await standing('--workers', '2');
    const ready = (): Promise<unknown> => fetch(`${admin}/readyz`).then((response) => response.json());
    expect(await ready()).toMatchObject({ready: true, workers: {wanted: 2, listening: 2, current: true}});
    // The kernel spreads connections, not Checks.
    for (let i = 0; i < 16; i++) expect(await reasonOf(target)).toBe('RuleAllowed');
    const metrics = await (await fetch(`${admin}/metrics`)).text();
    expect(metrics).toMatch(/sallyport_decisions_total\{[^}]*reason="RuleAllowed"[^}]*\} 16\n/);
    allow('203.0.113.77');
    await expectSoon(
      async () =>
        ((await ready()) as {policies: {version: number}; workers: {current: boolean}}).workers.current &&
        (await reasonOf(target)),
      'NoRuleMatched',
    );
    const worker = Number(pidsOf(child.pid!)[0]);
    process.kill(worker, 'SIGKILL');
    await said('worker.restarted');
    await expectSoon(async () => ((await ready()) as {workers: {listening: number}}).workers.listening, 2);
    for (let i = 0; i < 8; i++) expect(await reasonOf(target, '203.0.113.77')).toBe('RuleAllowed');
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    expect(existsSync(`/proc/${worker}`)).toBe(false);
  },
  START_MS,
);

function pidsOf(parent: number): string[] {
  return readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ');
}

test(
  'secrets are served on their own socket, and the Checks’ port knows nothing of them',
  async () => {
    const socket = join(dir, 'sds.sock');
    const {target} = await standing('--sds', `unix:${socket}`, '--ca-dir', join(dir, 'ca'));
    const secrets = '/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets';
    const checks = grpcClient(target);
    const sds = grpcClient(`unix:${socket}`);
    try {
      expect((await checks.failure(secrets, new Uint8Array())).details).toContain('does not implement');
      expect((await sds.failure(secrets, new Uint8Array())).details).toContain('only DeltaSecrets');
      expect((await sds.failure(CHECK_PATH, question({}))).code).toBe(status.UNIMPLEMENTED);
    } finally {
      checks.close();
      sds.close();
    }
  },
  START_MS,
);

test(
  'certificates are followed; an emptied client CA is said and lets nobody in',
  async () => {
    const [old, next] = [meshCa(), meshCa()];
    const [cert, key, clientCa] = ['tls.crt', 'tls.key', 'ca.crt'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    const serveBy = (ca: MeshCa): void => {
      const pair = ca.pair('localhost');
      writeFileSync(key, pair.private_key);
      writeFileSync(cert, pair.cert_chain);
      writeFileSync(clientCa, ca.root);
    };
    serveBy(old);
    const {target, said} = await standing('--tls-cert', cert, '--tls-key', key, '--client-ca', clientCa);
    const ask = async (ca: MeshCa, shown: ReturnType<MeshCa['pair']> | null): Promise<unknown> => {
      const channel = credentials.createSsl(ca.root, shown?.private_key ?? null, shown?.cert_chain ?? null);
      const client = grpcClient(target.replace('127.0.0.1', 'localhost'), channel);
      try {
        return (await client.check(question({host: LITERAL, ip: LITERAL}))).dynamicMetadata?.reason;
      } catch (error) {
        return (error as ServiceError).code;
      } finally {
        client.close();
      }
    };
    writeFileSync(clientCa, '');
    expect(String((await said('tls.failed'))['message'])).toContain('no certificate in it');
    expect(await ask(old, null)).toBe(status.UNAVAILABLE);
    expect(await ask(old, old.pair('envoy.test'))).toBe('RuleAllowed');
    serveBy(next);
    await expectSoon(() => ask(next, next.pair('envoy.test')), 'RuleAllowed');
    expect(await ask(next, old.pair('envoy.test'))).toBe(status.UNAVAILABLE);
  },
  START_MS,
);

test(
  'a filter’s request(flow) runs, and that response(flow) cannot is said',
  async () => {
    mkdirSync(join(dir, 'filters'));
    writeFileSync(
      join(dir, 'filters', 'a.mjs'),
      `export function request(flow) { if (flow.request.path === '/no') flow.respond({status: 418, body: 'teapot'}); else flow.request.headers.set('x-filtered', flow.workload.name); }
export function response() {}
`,
    );
    const {target, said} = await standing('--filters', join(dir, 'filters'));
    await said('filters.response-ignored');
    const client = grpcClient(target);
    try {
      const passed = await client.check(question({host: LITERAL}));
      expect(passed.httpResponse).toMatchObject({
        case: 'okResponse',
        value: {headers: [{header: {key: 'x-filtered', value: 'app-1'}, append: false}]},
      });
      const refused = await client.check(question({host: LITERAL, path: '/no'}));
      expect(refused.httpResponse).toMatchObject({
        case: 'deniedResponse',
        value: {status: {code: 418}, body: 'teapot'},
      });
      expect(refused.dynamicMetadata).toMatchObject({reason: 'FilterDenied', rule: 'web'});
    } finally {
      client.close();
    }
  },
  START_MS,
);

describe('what cannot start says why, and exits', () => {
  const cases: [string, () => string[], number, string][] = [
    [
      'a socket for several processes',
      () => ['--listen', `unix:${join(dir, 's')}`, '--workers', '2'],
      2,
      'one process serves',
    ],
    ['secrets in the clear', () => ['--sds', '127.0.0.1:0'], 3, 'private keys in the clear'],
    ['a hop that is none', () => ['--hop', 'gateway'], 2, 'neither a SPIFFE ID nor a CIDR'],
    ['a key without its certificate', () => ['--tls-key', 'x'], 2, '--tls-cert'],
    ['a client CA without TLS', () => ['--client-ca', 'x'], 2, '--tls-cert'],
    ['a way to dial that is none', () => ['--dials', 'host'], 2, 'address, name'],
    [
      'a key of another certificate',
      () => {
        const [one, other] = [meshCa().pair('a.test'), meshCa().pair('b.test')];
        writeFileSync(join(dir, 'cert.pem'), one.cert_chain);
        writeFileSync(join(dir, 'key.pem'), other.private_key);
        return ['--tls-cert', join(dir, 'cert.pem'), '--tls-key', join(dir, 'key.pem')];
      },
      3,
      'CertificatesUnusable',
    ],
  ];
  test.each(cases)(
    '%s',
    async (_, flags, code, message) => {
      const {exited, stderr} = await start(...flags());
      expect(await exited).toBe(code);
      expect(stderr()).toContain(message);
    },
    START_MS,
  );

  test(
    'a bad policy',
    async () => {
      policy('kind: EgressPolicy\n');
      const {exited, stderr} = await start();
      expect(await exited).toBe(3);
      expect(stderr()).toContain('PolicyInvalid');
    },
    START_MS,
  );
});
