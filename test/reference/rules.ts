/** One rule against one question, from POLICY.md "How rules match": nothing is indexed and nothing remembered. */
import {compileCondition} from '../../policy/cel/compile.ts';
import type {Truth} from '../../policy/cel/condition.ts';
import type {
  EgressRequest,
  Installation,
  PolicyDocument,
  RuleDocument,
  Scheme,
  UpstreamProxyDocument,
  Via,
  Workload,
} from '../../policy/index.ts';
import {httpOf, linesOf, type Form} from './form.ts';
import {addr, embedded, glob, holdsHost, inside, queries, under, within} from './texts.ts';

export interface Rule {
  readonly policy: PolicyDocument;
  readonly doc: RuleDocument;
}

export interface World {
  readonly installation: Installation;
  readonly proxies: readonly UpstreamProxyDocument[];
  readonly request: EgressRequest;
  readonly form: Form;
  /** Only the first reading of everything. */
  readonly literal: boolean;
}

export const isDeny = ({doc}: Rule): boolean => doc.action === 'Deny';

export function schemesOf({doc}: Rule): readonly Scheme[] {
  return doc.to.schemes ?? (doc.action === 'Deny' ? ['https', 'http', 'tls', 'tcp'] : ['https']);
}

export function covers(rule: Rule, scheme: Scheme, port: number): boolean {
  if (!schemesOf(rule).includes(scheme)) return false;
  const {ports} = rule.doc.to;
  if (ports !== null) return ports.some(({from, to}) => from <= port && port <= to);
  return isDeny(rule) || (scheme === 'http' ? port === 80 : scheme !== 'tcp' && port === 443);
}

export function holdsName(world: World, rule: Rule, name: string | null): boolean {
  if (name === null) return false;
  return rule.doc.to.hosts.some(
    (pattern) =>
      holdsHost(pattern, name) && (pattern !== '*' || isDeny(rule) || !under(name, world.installation.clusterDomain)),
  );
}

export const holdsClosely = (rule: Rule, name: string): boolean =>
  rule.doc.to.hosts.some((pattern) => pattern !== '*' && holdsHost(pattern, name));

/** A Deny's ranges hold what an address embeds too. */
export function holdsCidr(rule: Rule, ip: string): boolean {
  const forms = isDeny(rule) ? [addr(ip), ...embedded(addr(ip))] : [addr(ip)];
  return rule.doc.to.cidrs.some((cidr) => forms.some((one) => inside(one, cidr)));
}

const conditionOf = ({doc}: Rule) => {
  if (doc.when === null) return null;
  const compiled = compileCondition(doc.when, {sees: 'request'});
  if (!compiled.ok) throw new Error(compiled.message);
  return compiled.condition;
};

export const looksAtAddress = (rule: Rule): boolean => conditionOf(rule)?.usesDestinationIp ?? false;

const isEmpty = (record: object): boolean => Object.keys(record).length === 0;

export function needsRequest(rule: Rule): boolean {
  const {http, request, response} = rule.doc;
  return (
    (http !== null &&
      (http.methods !== null || http.paths !== null || !isEmpty(http.headers) || !isEmpty(http.query))) ||
    conditionOf(rule)?.needsRequest === true ||
    [request, response].some(({set, add, remove}) => !isEmpty(set) || !isEmpty(add) || remove.length > 0)
  );
}

/** Where lines may have been joined on the way, the pieces are values too (`both`: beside the whole). */
function split({request, literal}: World, lines: readonly string[], both: boolean): readonly string[] {
  if (httpOf(request)?.linesJoined !== true || literal) return lines;
  const pieces = lines.flatMap((line) => line.split(',').map((piece) => piece.trim()));
  return both ? [...lines, ...pieces] : pieces;
}

export const whenNeedsRequest = (rule: Rule): boolean => conditionOf(rule)?.needsRequest ?? false;

/** `when` on each reading of the request; `ip` null: not known. */
function truths(world: World, rule: Rule, ip: string | null): Truth[] {
  const condition = conditionOf(rule);
  if (condition === null) return [true];
  const {request, form} = world;
  const {namespace, name, labels, serviceAccount} = request.workload as Workload;
  const {traffic} = request;
  const sni = traffic.kind === 'tls' || traffic.kind === 'https' ? traffic.tls.sni : null;
  const rest = {source: {namespace, name, labels, serviceAccount}, destination: {ip, port: form.port}, tls: {sni}};
  const http = httpOf(request);
  if (http === null || !condition.needsRequest) return [condition.evaluate({request: null, ...rest})];
  const names = new Set(http.headers.filter((_, i) => i % 2 === 0).map((one) => one.toLowerCase()));
  const joined = Object.fromEntries([...names].map((one) => [one, linesOf(http, one).join(', ')]));
  let variants: Record<string, string>[] = [joined];
  if (isDeny(rule) && !world.literal)
    for (const one of names) {
      const lines = split(world, linesOf(http, one), false);
      if (lines.length > 1)
        variants = variants.flatMap((map) => [map, ...lines.map((line) => ({...map, [one]: line}))]);
    }
  const {methods, paths, queries: texts} = readingsOf(world);
  return methods.flatMap((method) =>
    paths.flatMap((path) =>
      texts.flatMap((query) =>
        variants.map((headers) =>
          condition.evaluate({
            request: {
              method,
              scheme: traffic.kind,
              host: form.name ?? form.literal!,
              port: form.port,
              path,
              query,
              headers,
            },
            ...rest,
          }),
        ),
      ),
    ),
  );
}

export function whenHolds(world: World, rule: Rule, ip: string | null): boolean {
  const all = truths(world, rule, ip);
  return isDeny(rule) ? all.some((truth) => truth !== false) : all.every((truth) => truth === true);
}

/** The request not being seen: whether `when` could hold. */
export const whenCouldHold = (world: World, rule: Rule, ip: string | null): boolean =>
  truths(world, rule, ip).some((truth) => truth !== false);

function readingsOf({form, literal}: World) {
  const texts = form.queries.flatMap(queries);
  return {
    methods: literal ? form.methods.slice(0, 1) : form.methods,
    paths: literal ? form.paths.slice(0, 1) : form.paths,
    queries: literal ? texts.slice(0, 1) : texts,
  };
}

export function httpHolds(world: World, rule: Rule): boolean {
  const {http} = rule.doc;
  if (http === null) return true;
  const deny = isDeny(rule);
  const {methods, paths, queries: texts} = readingsOf(world);
  const every = <T>(all: readonly T[], holds: (one: T) => boolean): boolean =>
    deny ? all.some(holds) : all.every(holds);
  const values = (pattern: string | null, of: readonly string[]): boolean => {
    if (pattern === null) return of.length === 0;
    if (deny) return of.some((value) => glob(pattern, value, false, false));
    return of.length > 0 && of.every((value) => glob(pattern, value, false, false));
  };
  return (
    (http.methods === null || every(methods, (method) => http.methods!.includes(method))) &&
    (http.paths === null || every(paths, (path) => http.paths!.some((pattern) => glob(pattern, path, true, deny)))) &&
    Object.entries(http.headers).every(([name, pattern]) =>
      values(pattern, split(world, linesOf(httpOf(world.request)!, name), true)),
    ) &&
    (isEmpty(http.query) ||
      every(texts, (query) =>
        Object.entries(http.query).every(([name, pattern]) => values(pattern, query.get(name) ?? [])),
      ))
  );
}

const NEVER = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '192.0.0.0/24',
  '::/128',
  '::1/128',
  'ff00::/8',
];
const METADATA = ['169.254.169.254/32', 'fd00:ec2::254/128', '168.63.129.16/32', '100.100.100.200/32'];
const LINK_LOCAL = ['169.254.0.0/16', 'fe80::/10'];
const LISTED = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', '100.64.0.0/10'];

/** What an address is by itself: a special range is told by its text. */
function classOf({installation, form}: World, ip: ReturnType<typeof addr>): string {
  if (NEVER.some((cidr) => inside(ip, cidr))) return 'never';
  const nodes = installation.nodeCidrs;
  if (installation.ownPorts.includes(form.port) && nodes.some((cidr) => inside(ip, cidr))) return 'never';
  const special = [...METADATA, ...LINK_LOCAL, ...nodes].filter((cidr) => inside(ip, cidr));
  if (special.length > 0) return special.sort((a, b) => (within(a, b) ? -1 : 1))[0]!;
  return LISTED.some((cidr) => inside(ip, cidr)) ? 'listed' : 'public';
}

/** Whether ranges open the address: its own class, and that of what it embeds. */
export function opened(world: World, ip: string, cidrs: readonly string[], inCluster: boolean): boolean {
  const own = addr(ip);
  return [own, ...embedded(own)].every((one) => {
    const kind = classOf(world, one);
    if (kind === 'public') return true;
    if (kind === 'never') return false;
    const holding = cidrs.filter((cidr) => inside(one, cidr));
    if (kind === 'listed') return holding.length > 0 || (inCluster && one === own);
    return holding.some((cidr) => within(cidr, kind));
  });
}

export function openedInAudit(world: World, ip: string): boolean {
  return [addr(ip), ...embedded(addr(ip))].every((one) => ['public', 'listed'].includes(classOf(world, one)));
}

/** Whether an Allow opens this address; `resolved` is the name that it is an address of. */
export function opens(world: World, rule: Rule, ip: string, resolved: string | null): boolean {
  const {installation} = world;
  if (rule.doc.to.cidrs.length > 0 && !holdsCidr(rule, ip)) return false;
  const inCluster = resolved !== null && under(resolved, installation.clusterDomain);
  if (inCluster && ![...installation.serviceCidrs, ...installation.podCidrs].some((cidr) => inside(addr(ip), cidr)))
    return false;
  return opened(world, ip, rule.doc.to.cidrs, inCluster) && (!looksAtAddress(rule) || whenHolds(world, rule, ip));
}

/** How it leaves. `named`: a rule's hosts hold the name. */
export function viaOf(world: World, via: string | null, name: string | null, ip: string | null, named: boolean): Via {
  const parent = parentOf(world, via, name, ip);
  if (parent === 'direct') return {kind: 'direct'};
  if (parent === 'missing') return {kind: 'missing', proxy: via!};
  return {kind: 'proxy', proxy: parent.name, sends: named && parent.resolve !== 'Local' ? 'name' : 'address'};
}

export function parentOf(
  {installation, proxies}: World,
  via: string | null,
  name: string | null,
  ip: string | null,
): UpstreamProxyDocument | 'direct' | 'missing' {
  if (via === 'Direct') return 'direct';
  if (via !== null) return proxies.find((proxy) => proxy.name === via) ?? 'missing';
  const {serviceCidrs, podCidrs, nodeCidrs, clusterDomain} = installation;
  const own =
    (name !== null && under(name, clusterDomain)) ||
    (ip !== null && [...serviceCidrs, ...podCidrs, ...nodeCidrs].some((cidr) => inside(addr(ip), cidr)));
  const holds = (pattern: string): boolean => pattern === '*' || (name !== null && holdsHost(pattern, name));
  const found = [...proxies]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .find(
      ({hosts, except}) => hosts.some((pattern) => holds(pattern) && (pattern !== '*' || !own)) && !except.some(holds),
    );
  return found ?? 'direct';
}
