/** What the tests of the egress gateway have in common: the intent, the policies, and the sites. */
import {stringify} from 'yaml';
import {ECHO_PORT} from '../envoy/sites.ts';
import type {GatewayWorldOptions} from './gateway-world.ts';
import {EXTAUTHZ_ID} from './world.ts';

export const SITE = '5.6.40.1';
export const EVIL = '5.6.40.9';
/** Allowed by its address alone. */
export const LITERAL = '5.6.40.6';

export const intentOf = (outboundTrafficPolicy: 'RegistryOnly' | 'AllowAny'): string =>
  stringify({
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'MeshEgress',
    metadata: {name: 'default'},
    spec: {
      outboundTrafficPolicy,
      extauthz: {identity: EXTAUTHZ_ID, timeoutMs: 3000},
      enforcement: [{at: 'EgressGateway', namespace: 'app'}],
      egressGateway: {inspect: {hosts: ['*'], except: ['sealed.test', '*.sealed.test']}},
    },
  });

/** Services of the mesh on the ports of HTTP and TLS: what is for none of them comes to a listener of theirs all the same. */
export const REGISTRY = stringify({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: {name: 'shop', namespace: 'app'},
  spec: {
    hosts: ['shop.inside.test'],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [
      {number: 80, name: 'http', protocol: 'HTTP'},
      {number: 443, name: 'tls', protocol: 'TLS'},
    ],
    endpoints: [{address: '5.6.40.8'}],
  },
});

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'app'},
  spec: {
    podSelector: {},
    rules: [
      {
        name: 'pages',
        to: {hosts: ['site.test', 'wrong.test'], schemes: ['http', 'https'], ports: [80, 443, 8443]},
        http: {paths: ['/public/**']},
      },
      {name: 'names', to: {hosts: ['sealed.test'], schemes: ['tls']}},
      {name: 'literal', to: {cidrs: [`${LITERAL}/32`], schemes: ['http']}},
      {name: 'bytes', to: {cidrs: [`${SITE}/32`], schemes: ['tcp'], ports: [ECHO_PORT]}},
    ],
    deny: {status: 418, body: 'Access Denied by Administrator'},
  },
};

/** For a pod that is known with its labels: by its address, for a certificate tells the account only. */
const LABELLED = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'labelled', namespace: 'app'},
  spec: {
    podSelector: {matchLabels: {app: 'web'}},
    rules: [{name: 'labelled', to: {hosts: ['labelled.test'], schemes: ['https']}}],
    deny: POLICY.spec.deny,
  },
};

/** For gatewayWorld. */
export const SCENARIO: GatewayWorldOptions = {
  policies: [POLICY, LABELLED],
  sites: [
    {name: 'site.test', ip: SITE},
    {name: 'wrong.test', ip: '5.6.40.2', certificateFor: 'another.test'},
    {name: 'sealed.test', ip: '5.6.40.3'},
    {name: 'www.sealed.test', ip: '5.6.40.4'},
    {name: 'shop.inside.test', ip: '5.6.40.8'},
    {name: 'labelled.test', ip: '5.6.40.5'},
    {name: 'literal.test', ip: LITERAL},
    {name: 'evil.test', ip: EVIL},
  ],
};

export const REFUSED = {answer: [418, 'Access Denied by Administrator'], reached: [], connected: []};
export const CLOSED = {answer: [0, ''], reached: [], connected: []};
