/** Every sample as its README says it: on a real API server, with the real webhook in front of it. */
import {mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {parseAllDocuments} from 'yaml';
import {main} from '../../cli/main.ts';
import {createLeafMint, ephemeralCa} from '../../pki/index.ts';
import {startControlPlane, type ControlPlane} from '../cluster/control-plane.ts';
import {freePorts} from '../cluster/ports.ts';
import {clusterTest} from '../cluster/require.ts';
import {startRole, type Role} from '../cluster/role.ts';
import {commandsOf, type Command} from './readme.ts';

const ROOT = join(import.meta.dirname, '../..');
const SAMPLES = join(ROOT, 'samples');
// As the READMEs say: from the root of a checkout.
process.chdir(ROOT);
const TIMEOUT_MS = 120_000;
/** Whole configurations of others (Envoy, Istio) have tests of their own, and so have filters. */
const ELSEWHERE: ReadonlySet<string> = new Set(['envoy', 'istio', 'filters']);
const FOLDERS = readdirSync(SAMPLES, {withFileTypes: true})
  .filter((entry) => entry.isDirectory() && !ELSEWHERE.has(entry.name))
  .map(({name}) => name);
const it = clusterTest();

let cluster: ControlPlane;
let injector: Role | null = null;
let dir: string;

interface Ran {
  readonly status: number;
  readonly output: string;
}

async function run([program, ...args]: readonly string[]): Promise<Ran> {
  if (program === 'kubectl') {
    const {status, stdout, stderr} = cluster.kubectl(args);
    return {status, output: stdout + stderr};
  }
  expect(program).toBe('sallyport');
  let output = '';
  const say = (text: string): void => void (output += text);
  return {status: await main(args, {stdout: say, stderr: say}), output};
}

async function asWritten({argv, prints, printsNot, fails}: Command): Promise<void> {
  const {status, output} = await run(argv);
  const seen = {command: argv.join(' '), failed: status !== 0, output};
  expect(seen).toEqual({...seen, failed: fails});
  for (const text of prints) expect(seen).toEqual({...seen, output: expect.stringContaining(text)});
  for (const text of printsNot) expect(seen).toEqual({...seen, output: expect.not.stringContaining(text)});
}

beforeAll(async () => {
  cluster = await startControlPlane();
  dir = mkdtempSync(join(tmpdir(), 'sallyport-samples-'));
  const done = (argv: readonly string[], input?: string): void =>
    expect({argv, ...cluster.kubectl(argv, input)}).toMatchObject({argv, status: 0});
  done(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]);
  done(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
  done(['create', 'namespace', 'sallyport']);
  const ca = ephemeralCa();
  const {chainPem, keyPem} = createLeafMint({ca}).mint('127.0.0.1');
  writeFileSync(join(dir, 'tls.crt'), chainPem);
  writeFileSync(join(dir, 'tls.key'), keyPem, {mode: 0o600});
  writeFileSync(join(dir, 'config.yaml'), readFileSync(join(ROOT, 'injector/testdata/installation.yaml')));
  const [port] = (await freePorts(1)) as [number];
  injector = startRole([
    ...['injector', '--kubeconfig', cluster.kubeconfig, '--config', join(dir, 'config.yaml')],
    ...['--listen', `127.0.0.1:${port}`, '--admin', '127.0.0.1:0'],
    ...['--tls-cert', join(dir, 'tls.crt'), '--tls-key', join(dir, 'tls.key')],
  ]);
  await injector.logged(({event}) => event === 'injector.listening');
  const webhook = (kind: string, path: string): string =>
    JSON.stringify({
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind,
      metadata: {name: 'sallyport'},
      webhooks: [
        {
          name: `${path}.sallyport.dev`,
          clientConfig: {
            url: `https://127.0.0.1:${port}/${path}`,
            caBundle: Buffer.from(ca.rootPem).toString('base64'),
          },
          rules: [{operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods']}],
          ...{failurePolicy: 'Fail', sideEffects: 'None', admissionReviewVersions: ['v1'], timeoutSeconds: 5},
        },
      ],
    });
  done(['apply', '-f', '-'], webhook('MutatingWebhookConfiguration', 'mutate'));
  done(['apply', '-f', '-'], webhook('ValidatingWebhookConfiguration', 'validate'));
  await asked();
}, TIMEOUT_MS);

/** The API server reads its webhooks from a watch of its own: until a pod comes back injected. */
async function asked(): Promise<void> {
  const labels = {'sallyport.dev/mode': 'proxy-env'};
  const pod = {apiVersion: 'v1', kind: 'Pod', metadata: {name: 'asked', namespace: 'default', labels}};
  const spec = {automountServiceAccountToken: false, containers: [{name: 'app', image: 'a'}]};
  cluster.kubectl(['create', 'serviceaccount', 'default']);
  for (const until = Date.now() + TIMEOUT_MS / 2; ;) {
    const argv = ['create', '--dry-run=server', '-o', 'yaml', '-f', '-'];
    const {stdout} = cluster.kubectl(argv, JSON.stringify({...pod, spec}));
    if (stdout.includes('sallyport.dev/status')) return;
    if (Date.now() > until) throw new Error('the webhook is not asked');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

afterAll(async () => {
  await injector?.stop();
  await cluster?.stop();
  if (dir !== undefined) rmSync(dir, {recursive: true, force: true});
}, TIMEOUT_MS);

const readmes = FOLDERS.filter((folder) => readdirSync(join(SAMPLES, folder)).includes('README.md'));

describe.each(readmes)('samples/%s', (folder) => {
  const commands = commandsOf(readFileSync(join(SAMPLES, folder, 'README.md'), 'utf8'));
  it(
    'each command of its README does what is written after it',
    async () => {
      expect(commands.length).toBeGreaterThan(0);
      // What the cluster makes by itself, where nobody runs its controllers.
      for (const command of commands) {
        await asWritten(command);
        if (command.argv.some((word) => word.includes('namespace'))) makeAccounts();
      }
    },
    TIMEOUT_MS,
  );
  it(
    'every file of it is named there',
    () => {
      const text = readFileSync(join(SAMPLES, folder, 'README.md'), 'utf8');
      for (const file of yamlFiles(folder)) expect(text).toContain(`samples/${folder}/${file}`);
    },
    TIMEOUT_MS,
  );
});

/** Every object of every sample, also of those without a README. */
describe('the API server takes', () => {
  it.each(FOLDERS.flatMap((folder) => yamlFiles(folder).map((file) => `${folder}/${file}`)))(
    '%s, by server-side apply, as it is written',
    (file) => {
      const path = join(SAMPLES, file);
      const made = [...namespacesIn(path)].filter(
        (name) => cluster.kubectl(['create', 'namespace', name]).status === 0,
      );
      if (made.length > 0) makeAccounts();
      const argv = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '--force-conflicts', '-f', path];
      const {status, stderr} = cluster.kubectl(argv);
      const refused = file.endsWith('/refused.yaml');
      expect({file, refused: status !== 0, stderr}).toEqual({file, refused, stderr});
    },
    TIMEOUT_MS,
  );
});

function yamlFiles(folder: string): string[] {
  return readdirSync(join(SAMPLES, folder)).filter((name) => name.endsWith('.yaml'));
}

function namespacesIn(path: string): Set<string> {
  const documents = parseAllDocuments(readFileSync(path, 'utf8'));
  const objects = documents.map((document) => document.toJS() as {metadata?: {namespace?: string}} | null);
  return new Set(objects.flatMap((object) => object?.metadata?.namespace ?? []));
}

/** Pods need the account that the controller manager would make. */
function makeAccounts(): void {
  const {stdout} = cluster.kubectl(['get', 'namespaces', '-o', 'jsonpath={.items[*].metadata.name}']);
  for (const namespace of stdout.split(' ')) cluster.kubectl(['create', 'serviceaccount', 'default', '-n', namespace]);
}
