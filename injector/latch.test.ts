import {describe, expect, test} from '@jest/globals';
import {loosened} from './latch.ts';
import type {Namespace, Pod} from './pod.ts';
import {readInstallation} from './settings.ts';

const INSTALLATION = readInstallation('defaults', '', new Map()).value!;
const PLAIN: Namespace = {name: 'default', labels: {}, annotations: {}};
const pod = (labels: Record<string, string>): Pod => ({metadata: {labels}, spec: {containers: []}});
const mode = (word: string, more: Record<string, string> = {}): Pod => pod({'sallyport.dev/mode': word, ...more});

/** Of a pod that captures itself, with the images of these init containers. */
const withImages = (images: Record<string, string>): Pod => ({
  ...mode('tproxy', {'sallyport.dev/capture': 'pod'}),
  spec: {
    containers: [{name: 'app', image: images['app'] ?? 'app:1'}],
    initContainers: ['sallyport-capture', 'sallyport-proxy', 'sallyport-guard', 'migrate'].map((name) => ({
      name,
      image: images[name] ?? 'ours',
    })),
  },
});

describe('a running pod that was guarded', () => {
  test.each(['sallyport-capture', 'sallyport-proxy', 'sallyport-guard'])(
    'cannot run another image as %s: the kubelet would start it with what ours may do',
    (name) => {
      expect(loosened(withImages({}), withImages({[name]: 'mine'}), PLAIN, INSTALLATION)).toEqual([
        expect.stringMatching(`image of ${name}`),
      ]);
    },
  );

  test.each<[string, Pod, Pod, RegExp]>([
    ['cannot lose the label', mode('tproxy'), pod({}), /made with sallyport\.dev\/mode: tproxy, which holds/],
    ['cannot opt out', mode('tproxy'), mode('tproxy', {'sallyport.dev/inject': 'false'}), /which holds until it ends/],
    ['cannot change to a mode that holds nothing', mode('tproxy'), mode('proxy-env'), /delete the pod/],
    ['cannot change to the other guard', mode('mesh'), mode('tproxy'), /mode: mesh, which holds/],
    ['cannot say a word that does not exist', mode('tproxy'), mode('none'), /which holds/],
    [
      'cannot change where it is captured',
      mode('tproxy', {'sallyport.dev/capture': 'pod'}),
      mode('tproxy'),
      /sallyport\.dev\/capture of a running pod cannot change/,
    ],
  ])('%s', (_title, running, changed, message) => {
    expect(loosened(running, changed, PLAIN, INSTALLATION)).toEqual([expect.stringMatching(message)]);
  });

  test.each<[string, Pod, Pod]>([
    ['may change the images that are its own', withImages({}), withImages({app: 'app:2', migrate: 'migrate:2'})],
    ['may change other labels', mode('tproxy'), mode('tproxy', {version: '2'})],
    ['was not, and is asked to be', pod({}), mode('tproxy')],
    ['was only told of a proxy', mode('proxy-env'), pod({})],
    ['never asked for anything', pod({}), pod({app: 'web'})],
  ])('%s', (_title, running, changed) => {
    expect(loosened(running, changed, PLAIN, INSTALLATION)).toEqual([]);
  });
});
