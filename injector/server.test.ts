import {request as httpsRequest} from 'node:https';
import {connect} from 'node:tls';
import {afterEach, describe, expect, test} from '@jest/globals';
import {createLeafMint, ephemeralCa} from '../pki/index.ts';
import type {Namespace} from './pod.ts';
import {createInjectorServer, type Certificate, type InjectorServer, type InjectorServerOptions} from './server.ts';
import {readInstallation} from './settings.ts';

const INSTALLATION = readInstallation('defaults', '', new Map()).value!;
const NAMESPACE: Namespace = {name: 'default', labels: {}, annotations: {}};
const REVIEW = {
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: {
    uid: 'u-1',
    operation: 'CREATE',
    namespace: 'default',
    object: {kind: 'Pod', metadata: {labels: {'sallyport.dev/inject': 'true'}}, spec: {containers: [{name: 'app'}]}},
  },
};

const mint = createLeafMint({ca: ephemeralCa()});
const certificate = (name: string): Certificate => {
  const {chainPem, keyPem} = mint.mint(name);
  return {cert: chainPem, key: keyPem};
};

let server: InjectorServer | null = null;
afterEach(() => server?.close());

async function started(options: Partial<InjectorServerOptions> = {}): Promise<number> {
  server = createInjectorServer({
    installation: () => INSTALLATION,
    namespaceOf: async () => NAMESPACE,
    certificate: certificate('first.test'),
    ...options,
  });
  return server.listen('127.0.0.1', 0);
}

/** Posts a body and reads the answer. */
function post(port: number, path: string, body: string): Promise<{status: number; body: unknown}> {
  return new Promise((resolve, reject) => {
    const asked = httpsRequest(
      {
        ...{host: '127.0.0.1', port, path, method: 'POST', agent: false, rejectUnauthorized: false},
        headers: {'content-type': 'application/json'},
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({status: response.statusCode!, body: JSON.parse(text)}));
      },
    );
    asked.on('error', reject);
    asked.end(body);
  });
}

/** The name in the certificate that a new connection is shown. */
function shown(port: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({host: '127.0.0.1', port, rejectUnauthorized: false}, () => {
      resolve(socket.getPeerCertificate().subjectaltname);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

describe('the webhook', () => {
  test('/mutate answers a review with a patch, and tells of it', async () => {
    const told: string[] = [];
    const port = await started({onAnswer: (webhook, outcome) => told.push(`${webhook} ${outcome}`)});
    expect(await post(port, '/mutate', JSON.stringify(REVIEW))).toMatchObject({
      status: 200,
      body: {kind: 'AdmissionReview', response: {uid: 'u-1', allowed: true, patchType: 'JSONPatch'}},
    });
    expect(told).toEqual(['mutate injected']);
  });

  test('/validate answers without one', async () => {
    const {body} = await post(await started(), '/validate', JSON.stringify(REVIEW));
    expect((body as {response: object}).response).toEqual({uid: 'u-1', allowed: true});
  });

  test.each<[string, string, string, number]>([
    ['no JSON', '/mutate', '{', 400],
    ['no review', '/mutate', '{"kind":"Pod"}', 400],
    ['another path', '/other', '{}', 404],
    ['a body larger than any object', '/mutate', JSON.stringify({pad: 'x'.repeat(5 * 1024 * 1024)}), 413],
  ])('%s is answered with an error', async (_title, path, body, status) => {
    expect(await post(await started(), path, body)).toMatchObject({status});
  });
});

describe('a pod is refused, never let through, where we cannot tell', () => {
  test.each<[string, Partial<InjectorServerOptions>, RegExp]>([
    ['its namespace is not known', {namespaceOf: async () => null}, /not known yet/],
    [
      'its namespace cannot be read',
      {namespaceOf: () => Promise.reject(new Error('API server away'))},
      /could not be read/,
    ],
    [
      'we fail ourselves',
      {
        installation: () => {
          throw new Error('a bug');
        },
      },
      /its log says which/,
    ],
  ])('%s', async (_title, options, message) => {
    const errors: unknown[] = [];
    const port = await started({...options, onError: (error) => errors.push(error)});
    expect(await post(port, '/mutate', JSON.stringify(REVIEW))).toMatchObject({
      status: 200,
      body: {response: {allowed: false, status: {code: 500, message: expect.stringMatching(message)}}},
    });
    expect(errors).toHaveLength(options.namespaceOf !== undefined && message.source.includes('yet') ? 0 : 1);
  });
});

test('a new certificate is shown to new connections without a restart', async () => {
  const port = await started();
  expect(await shown(port)).toBe('DNS:first.test');
  server!.useCertificate(certificate('second.test'));
  expect(await shown(port)).toBe('DNS:second.test');
});
