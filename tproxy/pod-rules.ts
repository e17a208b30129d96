/** `sallyport pod-rules`: sets the rules of `capture: pod` in this network namespace. An init container with NET_ADMIN, run once. */
import {readFileSync, writeFileSync} from 'node:fs';
import {EXIT, SallyportError} from '../runtime/errors.ts';
import {readFlagFile} from '../runtime/flag-file.ts';
import {helpText, parseFlags, wholeNumber, type FlagTable} from '../runtime/flags.ts';
import {parseResolver} from '../runtime/listen.ts';
import {POD_PROXY_UID, PORTS} from '../runtime/names.ts';
import type {Out} from '../runtime/output.ts';
import type {Endpoint} from '../policy/index.ts';
import {systemCommands} from './capture/commands.ts';
import {layRules} from './mtls/capture/pod-rules.ts';
import {POD_MTLS_FLAGS, podMtlsOf} from './mtls/pod-settings.ts';
import {podTable} from './pod-table.ts';
import {podRuleset} from './capture/pod-ruleset.ts';

const POD_RULES_FLAGS = {
  'proxy-uid': {kind: 'text', value: 'UID', help: `The user of the proxy's container. Default: ${POD_PROXY_UID}.`},
  port: {kind: 'text', value: 'PORT', help: `Where the proxy takes connections. Default: ${PORTS.captured}.`},
  'admin-port': {kind: 'text', value: 'PORT', help: `Its admin port, closed to the pod. Default: ${PORTS.admin}.`},
  'workload-file': {
    kind: 'text',
    value: 'FILE',
    help: 'Where the table of this one pod is written, for --workloads of the proxy. Default: it is not.',
  },
  'labels-file': {kind: 'text', value: 'FILE', help: "The pod's labels, as the downward API writes them."},
  'pod-uid': {kind: 'text', value: 'UID', help: 'metadata.uid, for the table.'},
  'pod-name': {kind: 'text', value: 'NAME', help: 'metadata.name, for the table.'},
  'pod-namespace': {kind: 'text', value: 'NAME', help: 'metadata.namespace, for the table.'},
  'pod-ips': {kind: 'list', value: 'IP', help: 'status.podIPs, for the table.'},
  'service-account': {kind: 'text', value: 'NAME', help: 'spec.serviceAccountName, for the table. Default: default.'},
  resolver: {
    kind: 'list',
    value: 'ADDR[:PORT]',
    help: 'Who may be asked for names. Default: those of /etc/resolv.conf.',
  },
  ...POD_MTLS_FLAGS,
} as const satisfies FlagTable;

/** The result is the exit code. Throws SallyportError with what is missing. */
export async function podRules(argv: readonly string[], out: Out): Promise<number> {
  if (argv.includes('--help')) {
    out.stdout(helpText('pod-rules', 'sets the rules of capture: pod in this network namespace', POD_RULES_FLAGS));
    return EXIT.ok;
  }
  const {settings, origin} = parseFlags('pod-rules', POD_RULES_FLAGS, {argv, env: process.env});
  const port = (name: 'port' | 'admin-port', fallback: number): number =>
    wholeNumber(settings[name] ?? String(fallback), 1, 65_535, origin(name));
  const resolvers =
    settings.resolver.length > 0
      ? settings.resolver.map((text) => parseResolver(text, origin('resolver')))
      : resolversIn(readFileSync('/etc/resolv.conf', 'utf8'));
  // Root is who containers are by default, and would be exempt.
  const proxyUid = wholeNumber(settings['proxy-uid'] ?? String(POD_PROXY_UID), 1, 0xfffffffe, origin('proxy-uid'));
  const adminPort = port('admin-port', PORTS.admin);
  const rules = podRuleset({
    ...{proxyUid, resolvers},
    capturedPort: port('port', PORTS.captured),
    closedPorts: [adminPort],
  });
  const commands = systemCommands();
  const mtls = podMtlsOf(settings, origin, settings['pod-ips']);
  // Held before anything is said of it.
  await layRules(commands, rules, mtls === null ? null : {...mtls, proxyUid, adminPort});
  const file = settings['workload-file'];
  if (file !== null) {
    const labels = settings['labels-file'];
    const facts = {
      uid: settings['pod-uid'],
      name: settings['pod-name'],
      namespace: settings['pod-namespace'],
      ips: settings['pod-ips'],
      serviceAccount: settings['service-account'],
      mtls,
      labels: labels === null ? '' : readFlagFile('--labels-file', labels, 'Mount metadata.labels there.'),
    };
    writeFileSync(file, podTable(facts));
  }
  out.stdout(`captured; names by ${resolvers.map(({ip}) => ip).join(', ')}\n`);
  return EXIT.ok;
}

/** The servers of a resolv.conf(5). Throws SallyportError `NoResolver`. */
export function resolversIn(text: string): Endpoint[] {
  const servers = text.split('\n').flatMap((line) => {
    const [keyword, ip] = line.trim().split(/\s+/);
    return keyword === 'nameserver' && ip !== undefined ? [{ip, port: 53}] : [];
  });
  if (servers.length === 0)
    throw new SallyportError(
      'NoResolver',
      '/etc/resolv.conf names no server',
      'Name the resolver with --resolver ADDR.',
    );
  return servers;
}
