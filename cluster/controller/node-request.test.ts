import {generateKeyPairSync} from 'node:crypto';
import {describe, expect, test} from '@jest/globals';
import {certificateRequest, newKey, publicKeyOf} from '../../pki/index.ts';
import {signingKey} from '../../pki/certificate.ts';
import {judgeNodeRequest, SIGNER_NAME, USAGE, type NodeRequestSpec, type Verdict} from './node-request.ts';

const AGENT = 'system:serviceaccount:sallyport:sallyport-node';
const key = newKey();
const root = newKey();
const good: NodeRequestSpec = {
  request: certificateRequest('node-1', key),
  signerName: SIGNER_NAME,
  usages: [USAGE],
  username: AGENT,
  extra: {
    'authentication.kubernetes.io/node-name': ['node-1'],
    'authentication.kubernetes.io/pod-name': ['sallyport-node-x'],
  },
};
const judged = (change: Partial<NodeRequestSpec>): Verdict =>
  judgeNodeRequest(
    {...good, ...change},
    {agents: new Set([AGENT]), isRootKey: (spki) => spki.equals(publicKeyOf(root.key))},
  );
const bound = (...nodes: string[]) => ({extra: {'authentication.kubernetes.io/node-name': nodes}});

test("an agent's request for its own node, with a token of that node, is signed", () => {
  expect(judged({})).toEqual({kind: 'sign', node: 'node-1', publicKey: publicKeyOf(key.key)});
});

describe('anything else is denied', () => {
  const rsa = signingKey(generateKeyPairSync('rsa', {modulusLength: 2048}).privateKey)!;
  test.each<[string, Partial<NodeRequestSpec>, string, RegExp]>([
    ['another service account', {username: 'system:serviceaccount:team-a:default'}, 'NotAnAgent', /--node-agent/],
    [
      "the agent's name in another namespace",
      {username: 'system:serviceaccount:team-a:sallyport-node'},
      'NotAnAgent',
      /no agent/,
    ],
    ['a kubelet, which is bound to its node otherwise', {username: 'system:node:node-1'}, 'NotAnAgent', /no agent/],
    ['nobody', {username: ''}, 'NotAnAgent', /no agent/],
    ['a token of no pod (kubectl create token)', {extra: {}}, 'TokenNotBound', /mounted into the agent's pod/],
    ['a token whose node is empty', bound(''), 'TokenNotBound', /bound to no node/],
    ['a token of two nodes', bound('node-1', 'node-2'), 'TokenNotBound', /bound to no node/],
    ["another node's token", bound('node-2'), 'WrongNode', /of node node-2/],
    ['a node in other letters', bound('Node-1'), 'WrongNode', /of node Node-1/],
    ['another node', {request: certificateRequest('node-2', key)}, 'WrongNode', /of node node-1/],
    ['every node', {request: certificateRequest('*', key)}, 'WrongNode', /of node node-1/],
    ['a server certificate too', {usages: [USAGE, 'server auth']}, 'BadUsages', /"cert sign" alone/],
    ['no usage', {usages: []}, 'BadUsages', /"cert sign" alone/],
    ['an RSA key', {request: certificateRequest('node-1', rsa)}, 'BadRequest', /not ECDSA/],
    ['no request', {request: ''}, 'BadRequest', /PEM/],
    ["a root's own key", {request: certificateRequest('node-1', root)}, 'BadRequest', /root of ours/],
  ])('%s', (_, change, reason, message) => {
    expect(judged(change)).toEqual({kind: 'deny', reason, message: expect.stringMatching(message)});
  });
});
