/**
 * What the API server can check beside types: patterns for single texts, CEL for what spans fields. It is a part of what
 * `sallyport check` says, never more: what it lets through and the loader does not becomes a condition.
 */

export interface Validation {
  /** CEL over `self`. Where a field may be absent it is asked for with has(). */
  readonly rule: string;
  readonly message: string;
}

export interface Constraint {
  /** RE2, anchored. */
  readonly pattern?: string;
  readonly validations?: readonly Validation[];
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  /** Smaller than what files may hold: an object lives in etcd (1.5 MB), and CEL's cost is estimated from these. */
  readonly maxItems?: number;
  readonly maxProperties?: number;
  /** The field that tells entries of a list apart: unique, and what server-side apply merges by. */
  readonly listKey?: string;
  /** A list whose entries are a set: none is there twice. */
  readonly set?: true;
}

/** Rules of one policy in a cluster; more go into a second policy. */
const MAX_RULES = 512;
const MAX_ENTRIES = 256;
const MAX_HOST = 255;

const LABEL = '[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';
// The last label holds something that is no digit: `5.6.7.8` is an address.
const LAST_LABEL = '[A-Za-z0-9_-]*[A-Za-z_-][A-Za-z0-9_-]*';
const HOST: Constraint = {pattern: `^(\\*|(\\*\\.)?(${LABEL}\\.)*${LAST_LABEL}\\.?)$`, maxLength: MAX_HOST};
const CIDR: Constraint = {pattern: '^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$', maxLength: 49};
const SUBDOMAIN = '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*';
const TOKEN = "[A-Za-z0-9!#$%&'*+.^_`|~-]+";
const HEADER_VALUE: Constraint = {pattern: '^([!-~]([\\t -~]*[!-~])?)?$', maxLength: 8192};
const VALUE_GLOB: Constraint = {pattern: '^[^?\\[{]*$', maxLength: 2048};
const LABEL_VALUE: Constraint = {pattern: '^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$', maxLength: 63};
const list: Constraint = {maxItems: MAX_ENTRIES};
const map: Constraint = {maxProperties: 64};

const opaque = "has(self.to.schemes) && self.to.schemes.exists(s, s == 'tls' || s == 'tcp')";
const deny = "has(self.action) && self.action == 'Deny'";
const changes = (part: string): string =>
  `has(self.${part}) && ((has(self.${part}.set) && size(self.${part}.set) > 0) || (has(self.${part}.add) && size(self.${part}.add) > 0) || (has(self.${part}.remove) && size(self.${part}.remove) > 0))`;
const allowsTcp =
  "has(self.to.schemes) && self.to.schemes.exists(s, s == 'tcp') && !(has(self.action) && self.action == 'Deny')";

const MUTATION: Constraint = {
  validations: [
    {
      rule: '!has(self.set) || !has(self.remove) || !self.remove.exists(name, name in self.set)',
      message: 'a header is both set and removed: keep one of the two',
    },
  ],
};
const FORBIDDEN: Validation = {
  rule: "!self.exists(name, name.lowerAscii() in ['host', 'content-length', 'transfer-encoding', 'connection', 'te', 'trailer', 'upgrade', 'keep-alive'] || name.startsWith(':') || name.lowerAscii().startsWith('proxy-'))",
  message: 'no rule may change Host, framing, hop-by-hop and pseudo headers: leave it out',
};

/** By path: `[]` is any entry of a list, `{}` any value of a map. */
const POLICY: Readonly<Record<string, Constraint>> = {
  'spec.rules': {maxItems: MAX_RULES, listKey: 'name'},
  'spec.rules[]': {
    validations: [
      {
        rule: `!(${opaque}) || !has(self.http)`,
        message: 'a tls or tcp rule sees no request: leave http out, or write a rule of its own with schemes [https]',
      },
      {
        rule: `!(${opaque}) || !(${changes('request')} || ${changes('response')})`,
        message: 'a tls or tcp rule changes nothing: leave request and response out',
      },
      {
        rule: `!(${deny}) || !(${changes('request')} || ${changes('response')} || has(self.via))`,
        message: 'a Deny sends nothing on: leave request, response and via out',
      },
      {
        rule: `!(${allowsTcp}) || has(self.to.ports)`,
        message: 'tcp has no default port: add to.ports',
      },
      {
        rule: `!(${allowsTcp}) || !has(self.to.hosts) || !self.to.hosts.exists(h, h.startsWith('*'))`,
        message: 'tcp reads no name: write exact names or cidrs, or use schemes [tls]',
      },
    ],
  },
  'spec.rules[].name': {pattern: '^[!-.0-~]([ -.0-~]*[!-.0-~])?$', maxLength: 253},
  'spec.rules[].to': {
    validations: [
      {
        rule: '(has(self.hosts) && size(self.hosts) > 0) || (has(self.cidrs) && size(self.cidrs) > 0)',
        message: '`to` names no destination: write hosts or cidrs; hosts ["*"] for every name',
      },
    ],
  },
  'spec.rules[].to.hosts': list,
  'spec.rules[].to.hosts[]': HOST,
  'spec.rules[].to.cidrs': list,
  'spec.rules[].to.cidrs[]': CIDR,
  'spec.rules[].to.schemes': {set: true},
  'spec.rules[].to.ports': {maxItems: 64},
  // The pattern holds for texts, the bounds for numbers.
  'spec.rules[].to.ports[]': {
    pattern: '^[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?$',
    maxLength: 11,
    minimum: 1,
    maximum: 65535,
  },
  'spec.rules[].http.methods': {maxItems: 32},
  'spec.rules[].http.methods[]': {pattern: `^${TOKEN}$`, maxLength: 64},
  'spec.rules[].http.paths': list,
  'spec.rules[].http.paths[]': {pattern: '^(/|\\*\\*)[^?\\[{#]*$', maxLength: 2048},
  'spec.rules[].http.headers': map,
  'spec.rules[].http.headers{}': VALUE_GLOB,
  'spec.rules[].http.query': map,
  'spec.rules[].http.query{}': VALUE_GLOB,
  'spec.rules[].when': {minLength: 1, maxLength: 4096},
  'spec.rules[].via': {pattern: `^(Direct|${SUBDOMAIN})$`, maxLength: 253},
  ...Object.fromEntries<Constraint>(
    ['request', 'response'].flatMap((part): [string, Constraint][] => [
      [`spec.rules[].${part}`, MUTATION],
      [`spec.rules[].${part}.set`, {maxProperties: 16, validations: [FORBIDDEN]}],
      [`spec.rules[].${part}.set{}`, HEADER_VALUE],
      [`spec.rules[].${part}.add`, {maxProperties: 16, validations: [FORBIDDEN]}],
      [`spec.rules[].${part}.add{}`, HEADER_VALUE],
      [`spec.rules[].${part}.remove`, {maxItems: 16, validations: [FORBIDDEN]}],
      [`spec.rules[].${part}.remove[]`, {pattern: `^${TOKEN}$`, maxLength: 64}],
    ]),
  ),
  'spec.deny': {
    validations: [
      {rule: '!has(self.status) || self.status != 304', message: 'a 304 has no body: write a status such as 403'},
      {
        rule: '!has(self.contentType) || has(self.body)',
        message: 'contentType without body: add body, or leave contentType out',
      },
    ],
  },
  'spec.deny.contentType': {pattern: '^[!-~]+/[ -~]*[!-~]$', maxLength: 255},
  'spec.deny.headers': map,
  'spec.deny.headers{}': HEADER_VALUE,
  ...Object.fromEntries<Constraint>(
    ['podSelector', 'namespaceSelector'].flatMap((selector): [string, Constraint][] => [
      [`spec.${selector}.matchLabels`, map],
      [`spec.${selector}.matchLabels{}`, LABEL_VALUE],
      [`spec.${selector}.matchExpressions`, {maxItems: 64}],
      [
        `spec.${selector}.matchExpressions[]`,
        {
          validations: [
            {
              rule: "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
              message: 'In and NotIn take values, Exists and DoesNotExist take none',
            },
          ],
        },
      ],
      [`spec.${selector}.matchExpressions[].values`, {maxItems: MAX_ENTRIES}],
    ]),
  ),
  'spec.serviceAccounts': list,
};

const UPSTREAM_PROXY: Readonly<Record<string, Constraint>> = {
  'spec.endpoints[].url': {
    pattern: '^https?://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\]):[1-9][0-9]{0,4}/?$',
    maxLength: 512,
  },
  'spec.hosts': list,
  'spec.hosts[]': HOST,
  'spec.except': list,
  'spec.except[]': HOST,
  'spec.caBundle': {
    validations: [
      {
        rule: 'has(self.configMapRef) != has(self.secretRef)',
        message: 'write configMapRef or secretRef, one of the two',
      },
    ],
  },
};

const DNS_LABEL: Constraint = {pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', maxLength: 63};

const MESH_EGRESS: Readonly<Record<string, Constraint>> = {
  'spec.istio.revision': {pattern: `^${SUBDOMAIN}$`, maxLength: 253},
  'spec.istio.rootNamespace': DNS_LABEL,
  'spec.extauthz.name': DNS_LABEL,
  'spec.extauthz.namespace': DNS_LABEL,
  'spec.istio.trustDomain': {pattern: `^${SUBDOMAIN}$`, maxLength: 253},
  'spec.enforcement': {maxItems: MAX_ENTRIES},
  'spec.enforcement[]': {
    validations: [
      {
        rule: "self.at == 'Sidecar' || has(self.namespace)",
        message: 'at EgressGateway and Waypoint a namespace is needed: write one entry for each',
      },
      {
        rule: "(self.at == 'Waypoint') == has(self.hosts)",
        message: 'hosts are what a waypoint is asked for: it needs them, and nothing else has them',
      },
    ],
  },
  'spec.enforcement[].hosts': list,
  'spec.enforcement[].hosts[]': HOST,
  'spec.egressGateway.namespace': DNS_LABEL,
  'spec.egressGateway.serviceAccount': {pattern: `^${SUBDOMAIN}$`, maxLength: 253},
  'spec.egressGateway.selector.matchLabels': map,
  'spec.egressGateway.selector.matchLabels{}': LABEL_VALUE,
  'spec.egressGateway.inspect.hosts': list,
  'spec.egressGateway.inspect.hosts[]': HOST,
  'spec.egressGateway.inspect.except': list,
  'spec.egressGateway.inspect.except[]': HOST,
  'spec.enforcement[].namespace': DNS_LABEL,
  'spec.enforcement[].selector.matchLabels': map,
  'spec.enforcement[].selector.matchLabels{}': LABEL_VALUE,
  'spec.proxies[].addresses[]': {pattern: '^[0-9A-Fa-f:.]+$', maxLength: 45},
  'spec.proxies[].namespaces[]': DNS_LABEL,
  'spec.proxies': {listKey: 'name'},
  'spec.proxies[].name': {pattern: `^${SUBDOMAIN}$`, maxLength: 253},
};

const account = (pattern: string): Constraint => ({pattern, maxLength: 317});

export const CONSTRAINTS = {
  EgressPolicy: {...POLICY, 'spec.serviceAccounts[]': account(`^${SUBDOMAIN}$`)},
  ClusterEgressPolicy: {
    ...POLICY,
    'spec.serviceAccounts[]': account(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?/${SUBDOMAIN}$`),
  },
  UpstreamProxy: UPSTREAM_PROXY,
  MeshEgress: MESH_EGRESS,
} as const satisfies Record<string, Readonly<Record<string, Constraint>>>;
