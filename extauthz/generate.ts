/**
 * `npm run generate`: extauthz/gen/ from Envoy's own protos (as @grpc/grpc-js-xds ships them), reduced to the messages that
 * are spoken here. The tools are 130 MB and used once a year, so they are no devDependencies: they are fetched, by exact
 * version, into a temporary folder.
 */
import {spawnSync} from 'node:child_process';
import {cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join, resolve} from 'node:path';

/** protoc-gen-es has the version of the runtime, @bufbuild/protobuf. */
const TOOLS = ['@bufbuild/buf@1.75.0', '@bufbuild/protoc-gen-es@2.17.0', '@grpc/grpc-js-xds@1.14.1'];
/** What is spoken; everything that these need comes along. */
const TYPES = [
  'envoy.service.auth.v3.Authorization',
  'envoy.service.secret.v3.SecretDiscoveryService',
  'envoy.extensions.transport_sockets.tls.v3.Secret',
  'grpc.health.v1.Health',
];
const ROOTS = [
  'envoy/service/auth/v3/external_auth.proto',
  'envoy/service/secret/v3/sds.proto',
  'envoy/extensions/transport_sockets/tls/v3/secret.proto',
  'grpc/health/v1/health.proto',
];
/** Options for other tools (validation, documentation, versions): without them the descriptors are a third of their size. */
const NO_OPTIONS_OF = ['validate', 'udpa.annotations', 'envoy.annotations', 'xds.annotations.v3', 'google.api'];

const here = import.meta.dirname;
const work = mkdtempSync(join(tmpdir(), 'sallyport-generate-'));
try {
  writeFileSync(join(work, 'package.json'), '{"private": true}');
  run('npm', ['install', '--ignore-scripts', '--no-save', ...TOOLS]);
  const deps = join(work, 'node_modules/@grpc/grpc-js-xds/deps');
  const sources = ['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map((name) => join(deps, name));
  const extensions = copyWithImports([join(here, 'proto'), ...sources], ROOTS, join(work, 'proto'));
  writeFileSync(join(work, 'proto/buf.yaml'), 'version: v2\n');
  const generation = {
    version: 'v2',
    clean: true,
    plugins: [
      {local: 'protoc-gen-es', out: 'gen', include_imports: true, opt: ['target=js+dts', 'import_extension=js']},
    ],
    inputs: [{directory: 'proto', types: TYPES, exclude_types: extensions}],
  };
  writeFileSync(join(work, 'buf.gen.yaml'), JSON.stringify(generation));
  run(join(work, 'node_modules/.bin/buf'), ['generate']);
  rmSync(join(here, 'gen'), {recursive: true, force: true});
  cpSync(join(work, 'gen'), join(here, 'gen'), {recursive: true});
} finally {
  rmSync(work, {recursive: true, force: true});
}

/** Copies the files and all that they import; answers the option extensions among them, by full name. */
function copyWithImports(from: readonly string[], files: readonly string[], to: string): string[] {
  const waiting = [...files];
  const seen = new Set<string>();
  const extensions: string[] = [];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (seen.has(file)) continue;
    seen.add(file);
    const found = from.map((folder) => join(folder, file)).find((path) => existsSync(path));
    // google/protobuf/*.proto are the compiler's own.
    if (found === undefined && file.startsWith('google/protobuf/')) continue;
    if (found === undefined) throw new Error(`${file} is imported, and not among the protos`);
    const text = readFileSync(found, 'utf8');
    mkdirSync(dirname(join(to, file)), {recursive: true});
    writeFileSync(join(to, file), text);
    for (const [, imported] of text.matchAll(/^import (?:public |weak )?"([^"]+)"/gm)) waiting.push(imported!);
    const scope = /^package ([\w.]+);/m.exec(text)?.[1] ?? '';
    if (!NO_OPTIONS_OF.includes(scope)) continue;
    for (const [, body] of text.matchAll(/^extend [\w.]+ \{([^}]*)\}/gm))
      for (const [, name] of body!.matchAll(/(\w+) = \d+/g)) extensions.push(`${scope}.${name}`);
  }
  return extensions;
}

function run(command: string, args: readonly string[]): void {
  const path = `${join(work, 'node_modules/.bin')}:${resolve(here, '../node_modules/.bin')}:${process.env['PATH']}`;
  const {status, error} = spawnSync(command, args, {cwd: work, stdio: 'inherit', env: {...process.env, PATH: path}});
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}`);
}
