import {describe, expect, test} from '@jest/globals';
import type {Workload} from '../../policy/index.ts';
import {APP} from '../../policy/testing/asking.ts';
import {envoyBefore, POD_IP, SITE, type Question} from '../testing/asking.ts';

const BATCH: Workload = {...APP, name: 'batch-1', uid: 'uid-2', labels: {app: 'batch'}, serviceAccount: 'batch'};
const OTHER: Workload = {...APP, namespace: 'other', name: 'x-1', uid: 'uid-3', namespaceLabels: {team: 'x'}};
const BATCH_IP = '10.244.0.8';
const OTHER_IP = '10.244.0.9';
const HOP_IP = '10.99.0.1';
const id = (namespace: string, account: string): string => `spiffe://cluster.local/ns/${namespace}/sa/${account}`;
const HOP = id('istio-egress', 'gateway');

const envoy = envoyBefore({
  policy: `\n  - {name: web, to: {hosts: [${SITE}], schemes: [http]}}\n`,
  workloads: [
    {workload: APP, ips: [POD_IP]},
    {workload: BATCH, ips: [BATCH_IP]},
    {workload: OTHER, ips: [OTHER_IP]},
  ],
  hops: [HOP, '10.99.0.0/16'],
});

/** Who it was, as the log writes it; or the reason why it is refused. */
function who(asked: Question, peer?: string): string {
  const {request, decision} = envoy.ask(asked, peer === undefined ? {} : {peer});
  if (decision.reason === 'IdentityConflict') return decision.reason;
  return request.workload === 'unknown' ? decision.reason : `${request.workload.namespace}/${request.workload.name}`;
}
const xfcc = (value: string): Pick<Question, 'headers'> => ({headers: {'x-forwarded-client-cert': value}});

describe('the source address', () => {
  test.each<[string, Question, string]>([
    ['of a pod is the pod', {}, 'default/app-1'],
    ['of nobody is nobody', {source: '10.244.0.99'}, 'UnknownWorkload'],
    ['that is none is nobody', {source: 'app-1'}, 'UnknownWorkload'],
    ['that Envoy does not tell is nobody', {source: null}, 'UnknownWorkload'],
    ['in its mapped form is the pod', {source: `::ffff:${POD_IP}`}, 'default/app-1'],
    ['of a hop is nobody, even where it is in the table', {source: HOP_IP}, 'UnknownWorkload'],
  ])('%s', (_, asked, expected) => expect(who(asked)).toBe(expected));

  test('is not what a header says of it', () => {
    const headers = {
      'x-forwarded-for': BATCH_IP,
      'x-real-ip': BATCH_IP,
      forwarded: `for=${BATCH_IP}`,
      'x-envoy-external-address': BATCH_IP,
    };
    expect(who({headers})).toBe('default/app-1');
  });
});

describe('the certificate that Envoy verified', () => {
  test.each<[string, Question, string]>([
    ['of the same account as the address is the pod', {principal: id('default', 'default')}, 'default/app-1'],
    ['of another account than the address is a conflict', {principal: id('default', 'batch')}, 'IdentityConflict'],
    ['of another namespace than the address is a conflict', {principal: id('other', 'default')}, 'IdentityConflict'],
    [
      'from an address that nobody has is the account',
      {principal: id('default', 'batch'), source: '10.1.1.1'},
      'default/serviceaccount:batch',
    ],
    [
      'of a namespace that nobody knows is nobody',
      {principal: id('nowhere', 'default'), source: '10.1.1.1'},
      'UnknownWorkload',
    ],
    ['of another kind is no identity: the address counts', {principal: 'CN=app'}, 'default/app-1'],
    ['of another kind, from nobody’s address, is nobody', {principal: 'CN=app', source: '10.1.1.1'}, 'UnknownWorkload'],
  ])('%s', (_, asked, expected) => expect(who(asked)).toBe(expected));

  test('tells no labels, so that policies which look at them allow nothing', () => {
    const {request} = envoy.ask({principal: id('other', 'job'), source: '10.1.1.1'});
    expect(request.workload).toMatchObject({
      namespace: 'other',
      labels: null,
      namespaceLabels: {team: 'x'},
      serviceAccount: 'job',
    });
  });
});

describe('x-forwarded-client-cert', () => {
  const client = `By=${HOP};URI=${id('default', 'batch')}`;
  const fromHop: Question = {principal: HOP, source: HOP_IP};
  test.each<[string, Question, string]>([
    ['of a hop counts', {...fromHop, ...xfcc(client)}, 'default/serviceaccount:batch'],
    [
      'counts by the hop’s identity, whatever its address is',
      {principal: HOP, source: POD_IP, ...xfcc(client)},
      'default/serviceaccount:batch',
    ],
    [
      'counts by the hop’s address, over mTLS',
      {principal: id('x', 'y'), source: HOP_IP, ...xfcc(client)},
      'default/serviceaccount:batch',
    ],
    ['of a hop’s address without mTLS does not count', {source: HOP_IP, ...xfcc(client)}, 'UnknownWorkload'],
    ['that a pod writes itself does not count', xfcc(client), 'default/app-1'],
    [
      'that a pod writes over its own mTLS does not count',
      {principal: id('default', 'default'), ...xfcc(client)},
      'default/app-1',
    ],
    [
      'counts by its last element: what a pod wrote in front is its own word',
      {...fromHop, ...xfcc(`URI=${id('other', 'default')},${client}`)},
      'default/serviceaccount:batch',
    ],
    ['whose last element is a hop again is nobody’s', {...fromHop, ...xfcc(`${client},URI=${HOP}`)}, 'UnknownWorkload'],
    [
      'whose last element is the hop itself is nobody’s, where the hop is known by its address too',
      {principal: id('default', 'default'), source: HOP_IP, ...xfcc(`${client},URI=${id('default', 'default')}`)},
      'UnknownWorkload',
    ],
    ['that cannot be read is nobody’s', {...fromHop, ...xfcc('URI="')}, 'UnknownWorkload'],
    ['that is missing is nobody’s: a hop is no workload', fromHop, 'UnknownWorkload'],
  ])('%s', (_, asked, expected) => expect(who(asked)).toBe(expected));
});

describe('what the configuration of the Envoy claims', () => {
  test.each([
    ['ours', 'cluster.local', 'default/batch-1'],
    ['another', 'partner.example', 'UnknownWorkload'],
  ])('counts where its certificate is of the namespace in a trust domain that is %s', (_what, domain, expected) => {
    const asked = {source: '127.0.0.6', extensions: {'sallyport-namespace': 'default', 'sallyport-pod': 'batch-1'}};
    const ours = envoyBefore({
      policy: `\n  - {name: web, to: {hosts: [${SITE}], schemes: [http]}}\n`,
      workloads: [{workload: BATCH, ips: [BATCH_IP]}],
      trustDomain: 'cluster.local',
    });
    const {request, decision} = ours.ask(asked, {peer: id('default', 'default').replace('cluster.local', domain)});
    const {workload} = request;
    expect(workload === 'unknown' ? decision.reason : `${workload.namespace}/${workload.name}`).toBe(expected);
  });

  const claim = (namespace: string, more: Record<string, string>): Pick<Question, 'extensions'> => ({
    extensions: {'sallyport-namespace': namespace, ...more},
  });
  const asDefault = id('default', 'default');
  const unknown: Question = {source: '127.0.0.6'};
  test.each<[string, Question, string | undefined, string]>([
    [
      'a pod of its own namespace',
      {...unknown, ...claim('default', {'sallyport-pod': 'batch-1'})},
      asDefault,
      'default/batch-1',
    ],
    [
      'an account of its own namespace',
      {...unknown, ...claim('default', {'sallyport-service-account': 'batch'})},
      asDefault,
      'default/serviceaccount:batch',
    ],
    [
      'a pod of another namespace',
      {...unknown, ...claim('other', {'sallyport-pod': 'x-1'})},
      asDefault,
      'UnknownWorkload',
    ],
    [
      'a pod, without a certificate',
      {...unknown, ...claim('default', {'sallyport-pod': 'batch-1'})},
      undefined,
      'UnknownWorkload',
    ],
    [
      'a pod, with a certificate that names no namespace',
      {...unknown, ...claim('default', {'sallyport-pod': 'batch-1'})},
      'spiffe://x/default',
      'UnknownWorkload',
    ],
    [
      'a pod that there is not',
      {...unknown, ...claim('default', {'sallyport-pod': 'gone'})},
      asDefault,
      'UnknownWorkload',
    ],
    ['a namespace alone', {...unknown, ...claim('default', {})}, asDefault, 'UnknownWorkload'],
    [
      'another pod than the address says',
      claim('default', {'sallyport-pod': 'batch-1'}),
      asDefault,
      'IdentityConflict',
    ],
    [
      'another account than the certificate says',
      {...unknown, principal: asDefault, ...claim('default', {'sallyport-service-account': 'batch'})},
      asDefault,
      'IdentityConflict',
    ],
    ['the pod that the address says', claim('default', {'sallyport-pod': 'app-1'}), asDefault, 'default/app-1'],
  ])('%s', (_, asked, peer, expected) => expect(who(asked, peer)).toBe(expected));

  test('counts as gRPC metadata of a filter too', () => {
    const metadata = {'sallyport-namespace': 'default', 'sallyport-pod': 'batch-1'};
    expect(envoy.ask(unknown, {metadata, peer: asDefault}).request.workload).toBe(BATCH);
    expect(envoy.ask(unknown, {metadata}).request.workload).toBe('unknown');
  });

  test('is nothing that a request’s header can claim', () => {
    const headers = {'sallyport-namespace': 'default', 'sallyport-pod': 'batch-1', 'sallyport-dials': 'name'};
    const {request} = envoy.ask({headers}, {peer: asDefault});
    expect(request).toMatchObject({workload: APP, destination: {ip: '203.0.113.9'}});
  });
});

describe('the identity of who came with a tunnel', () => {
  const told = (principal: string, source: string, more: Question = {}): Question => ({
    source,
    ...more,
    extensions: {'sallyport-principal': principal},
  });
  test.each<[string, Question, string | undefined, string]>([
    ['counts where a hop tells it', told(id('default', 'batch'), '10.1.1.1'), HOP, 'default/serviceaccount:batch'],
    ['is the pod’s, where the address says the same', told(id('default', 'batch'), BATCH_IP), HOP, 'default/batch-1'],
    ['is a conflict, where the address says another', told(id('default', 'batch'), POD_IP), HOP, 'IdentityConflict'],
    [
      'is refused of who is no hop',
      told(id('default', 'default'), POD_IP),
      id('default', 'default'),
      'MalformedRequest',
    ],
    ['is refused without a certificate', told(id('default', 'default'), POD_IP), undefined, 'MalformedRequest'],
    [
      'is nobody’s where it is a hop’s: what is inside of the tunnel says nothing of who sent it',
      told(HOP, '10.1.1.1', xfcc(`URI=${id('default', 'batch')}`)),
      HOP,
      'UnknownWorkload',
    ],
    [
      'is not what a header inside says',
      told(id('default', 'batch'), '10.1.1.1', xfcc(`URI=${id('other', 'default')}`)),
      HOP,
      'default/serviceaccount:batch',
    ],
  ])('%s', (_, asked, peer, expected) => {
    const {request, decision} = envoy.ask(asked, peer === undefined ? {} : {peer});
    expect(request.workload === 'unknown' ? decision.reason : who(asked, peer)).toBe(expected);
  });
});
