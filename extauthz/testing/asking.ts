/** For tests: what Envoy would ask, what it is answered, and a checker without sockets around policies of YAML. */
import {create, fromBinary, toBinary, type MessageInitShape} from '@bufbuild/protobuf';
import {
  decide,
  type Address,
  type Decision,
  type EgressRequest,
  type PolicySet,
  type Workload,
} from '../../policy/index.ts';
import type {Filters} from '../../filters/contract.ts';
import type {Journal} from '../../runtime/journal.ts';
import {APP, policies as compile} from '../../policy/testing/asking.ts';
import {check, type CheckServices} from '../checker.ts';
import type {Dials} from '../check/asker.ts';
import {
  CheckRequestSchema,
  CheckResponseSchema,
  type CheckResponse,
} from '../gen/envoy/service/auth/v3/external_auth_pb.js';
import {createDirectory} from '../identity/directory.ts';
import {readHops} from '../identity/hops.ts';
import {Judge, type Decide} from '../judge.ts';

/** A site, and where it is. */
export const SITE = 'site.test';
export const SITE_IP = '203.0.113.9';
/** A pod of the workload table. */
export const POD_IP = '10.244.0.7';

export interface Question {
  readonly method?: string;
  readonly host?: string;
  readonly path?: string;
  readonly protocol?: string;
  readonly scheme?: string;
  /** As a map, repeated fields joined. */
  readonly headers?: Readonly<Record<string, string>>;
  /** As raw lines (encode_raw_headers). */
  readonly raw?: readonly (readonly [string, string | Buffer])[];
  readonly body?: string;
  /** No `request.http`: a network filter asks. */
  readonly network?: true;
  readonly source?: string | null;
  readonly principal?: string;
  readonly ip?: string | null;
  readonly port?: number;
  readonly sni?: string;
  /** destination.service. */
  readonly service?: string;
  readonly extensions?: Readonly<Record<string, string>>;
}

const socket = (ip: string, port: number) => ({
  address: {
    address: {
      case: 'socketAddress' as const,
      value: {address: ip, portSpecifier: {case: 'portValue' as const, value: port}},
    },
  },
});

/** The CheckRequest's bytes. GET http://site.test/ from the pod, where nothing else is said. */
export function question(asked: Question): Uint8Array {
  const {
    method = 'GET',
    host = SITE,
    path = '/',
    protocol = 'HTTP/1.1',
    scheme = '',
    source = POD_IP,
    ip = SITE_IP,
  } = asked;
  const http = {
    method,
    host,
    path,
    protocol,
    scheme,
    body: asked.body ?? '',
    ...(asked.raw === undefined
      ? {headers: {...asked.headers, ':method': method, ':path': path, ':authority': host}}
      : {
          headerMap: {
            headers: [...asked.raw, [':path', path] as const].map(([key, value]) => ({
              key,
              rawValue: Buffer.from(value as string, 'latin1'),
            })),
          },
        }),
  };
  const attributes: MessageInitShape<typeof CheckRequestSchema>['attributes'] = {
    ...(source === null ? {} : {source: {...socket(source, 40_000), principal: asked.principal ?? ''}}),
    ...(ip === null ? {} : {destination: {...socket(ip, asked.port ?? 80), service: asked.service ?? ''}}),
    ...(asked.network === true ? {} : {request: {http}}),
    ...(asked.sni === undefined ? {} : {tlsSession: {sni: asked.sni}}),
    contextExtensions: {...asked.extensions},
  };
  return toBinary(CheckRequestSchema, create(CheckRequestSchema, {attributes}));
}

export interface Setting {
  /** YAML, as policies() of policy/testing takes it; `not-loaded`; or what is compiled already. */
  readonly policy: string | PolicySet;
  readonly zone?: Readonly<Record<string, readonly Address[]>>;
  readonly workloads?: readonly {readonly workload: Workload; readonly ips: readonly Address[]}[];
  readonly hops?: readonly string[];
  readonly dials?: Dials;
  readonly filters?: Filters;
  /** By UpstreamProxy. */
  readonly authorizations?: Readonly<Record<string, string | null>>;
  /** That of our own certificate. */
  readonly trustDomain?: string;
  readonly decide?: Decide;
}

export interface Answered {
  readonly response: CheckResponse;
  readonly decision: Decision;
  readonly request: EgressRequest;
}

export interface Envoy {
  readonly services: CheckServices;
  ask(asked: Question | Uint8Array, caller?: {peer?: string; metadata?: Readonly<Record<string, string>>}): Answered;
  /** Other policies are in force from now on. */
  replace(policy: string): void;
  /** Names that were looked up. */
  readonly looked: string[];
  /** Events of notices. */
  readonly notices: string[];
}

/** Everything answers at once here. */
export function envoyBefore(setting: Setting): Envoy {
  let set =
    typeof setting.policy === 'string' && setting.policy !== 'not-loaded' ? compile(setting.policy) : setting.policy;
  const zone = setting.zone ?? {[SITE]: [SITE_IP]};
  const looked: string[] = [];
  const notices: string[] = [];
  const said: {decision: Decision; request: EgressRequest}[] = [];
  const journal: Journal = {
    decision: (decision, request) => void said.push({decision, request}),
    flow: () => undefined,
    notice: (_level, event) => void notices.push(event),
  };
  const directory = createDirectory(
    (setting.workloads ?? [{workload: APP, ips: [POD_IP]}]).map((entry) => ({
      ...entry,
      interface: null,
      guarded: 'listed',
    })),
  );
  const judge = new Judge({
    policies: () => set as PolicySet | 'not-loaded',
    decide: setting.decide ?? decide,
    resolve(names, _recent, done) {
      looked.push(...names);
      done(new Map(names.map((name) => [name, zone[name] ?? 'failed'])));
    },
    journal,
  });
  const services: CheckServices = {
    judge,
    journal,
    hops: readHops(setting.hops ?? [], '--hop'),
    dials: setting.dials ?? 'address',
    directory: () => directory,
    policies: () => set,
    filters: setting.filters ?? null,
    trustDomain: () => setting.trustDomain ?? null,
    authorization: (proxy) => (setting.authorizations ?? {})[proxy],
  };
  return {
    services,
    replace(policy) {
      set = compile(policy);
    },
    looked,
    notices,
    ask(asked, {peer, metadata = {}} = {}) {
      let bytes: Uint8Array | null = null;
      const message = asked instanceof Uint8Array ? asked : question(asked);
      check(services, message, {peer: peer ?? null, metadata: (key) => metadata[key] ?? null}, (response) => {
        if (bytes !== null) throw new Error('answered twice');
        bytes = response;
      });
      if (bytes === null) throw new Error('not answered at once');
      return {response: fromBinary(CheckResponseSchema, bytes), ...said.pop()!};
    },
  };
}

/** What Envoy makes of an answer: status 0 alone lets through. */
export const letsThrough = ({response}: Answered): boolean => response.status?.code === 0;
