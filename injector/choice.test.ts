import {describe, expect, test} from '@jest/globals';
import {choose, type Choice} from './choice.ts';
import type {Namespace, Pod} from './pod.ts';
import {readInstallation} from './settings.ts';

const INSTALLATION = readInstallation('defaults', '', new Map()).value!;
const INJECT: Choice = {kind: 'inject', mode: 'proxy-env'};
const TPROXY: Choice = {kind: 'inject', mode: 'tproxy'};
const skip = (reason: string): object => ({kind: 'skip', reason});
const yes = {'sallyport.dev/inject': 'true'};
const enabled = {'sallyport.dev/injection': 'enabled'};

interface Row {
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  namespace?: string;
  namespaceLabels?: Record<string, string>;
  os?: string;
  nodeOs?: string;
}

describe('what becomes of a pod', () => {
  test.each<[string, Row, object]>([
    ['that asks for nothing', {}, skip('NotAsked')],
    ['with the label inject: "true" has the default mode', {labels: yes}, INJECT],
    ['with the label inject: "false"', {labels: {'sallyport.dev/inject': 'false'}}, skip('OptedOut')],
    ['with mode: tproxy', {labels: {'sallyport.dev/mode': 'tproxy'}}, TPROXY],
    [
      'with mode and inject: "false" opts out',
      {labels: {'sallyport.dev/mode': 'tproxy', 'sallyport.dev/inject': 'false'}},
      skip('OptedOut'),
    ],
    ['with the annotation, where the namespace lets it count', {annotations: yes, namespaceLabels: enabled}, INJECT],
    ['with the annotation, where the webhook cannot see it', {annotations: yes}, skip('NotAsked')],
    [
      'with a label and another annotation follows the label',
      {labels: {'sallyport.dev/mode': 'tproxy'}, annotations: {'sallyport.dev/mode': 'mesh'}, namespaceLabels: enabled},
      TPROXY,
    ],
    ['of a namespace that asks for all of its pods', {namespaceLabels: {...enabled, ...yes}}, INJECT],
    [
      'of such a namespace that opts out itself',
      {labels: {'sallyport.dev/inject': 'false'}, namespaceLabels: {...enabled, ...yes}},
      skip('OptedOut'),
    ],
    [
      "with the tutorial's annotation",
      {annotations: {'initializer.kubernetes.io/tproxy': 'true'}, namespaceLabels: enabled},
      TPROXY,
    ],
    ['of our own namespace, whatever it says', {labels: yes, namespace: 'sallyport'}, skip('OwnNamespace')],
    ['of kube-system, whatever it says', {labels: yes, namespace: 'kube-system'}, skip('SystemNamespace')],
    ['that runs Windows', {labels: yes, os: 'windows'}, skip('WindowsPod')],
    ['that is for Windows nodes', {labels: yes, nodeOs: 'windows'}, skip('WindowsPod')],
  ])('%s', (_title, {labels, annotations, namespace = 'default', namespaceLabels = {}, os, nodeOs}, expected) => {
    const pod: Pod = {
      metadata: {...(labels === undefined ? {} : {labels}), ...(annotations === undefined ? {} : {annotations})},
      spec: {
        containers: [],
        ...(os === undefined ? {} : {os: {name: os}}),
        ...(nodeOs === undefined ? {} : {nodeSelector: {'kubernetes.io/os': nodeOs}}),
      },
    };
    const of: Namespace = {name: namespace, labels: namespaceLabels, annotations: {}};
    expect(choose(pod, of, INSTALLATION)).toEqual(expected);
  });

  test.each([
    ['sallyport.dev/inject', 'yes', 'sallyport.dev/inject is "yes": write one of true, false.'],
    ['sallyport.dev/mode', 'proxy', 'sallyport.dev/mode is "proxy": write one of tproxy, proxy-env, mesh.'],
  ])('a word that does not exist is refused, not guessed: %s: %s', (key, value, message) => {
    const pod: Pod = {metadata: {labels: {[key]: value}}, spec: {containers: []}};
    expect(choose(pod, {name: 'default', labels: {}, annotations: {}}, INSTALLATION)).toEqual({
      kind: 'refuse',
      message,
    });
  });
});
