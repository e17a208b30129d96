import {Agent, request as httpsRequest} from 'node:https';
import {connect, type TLSSocket} from 'node:tls';
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

interface Reply {
  readonly status: number;
  readonly connection: string | undefined;
  readonly body: unknown;
}

/** Posts a body and reads the answer. */
function post(port: number, path: string, body: string, contentType = 'application/json'): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const asked = httpsRequest(
      {
        ...{host: '127.0.0.1', port, path, method: 'POST', agent: false, rejectUnauthorized: false},
        headers: {'content-type': contentType, connection: 'keep-alive'},
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode!,
            connection: response.headers.connection,
            body: JSON.parse(text) as unknown,
          }),
        );
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
    ['what looks like a prototype', '/mutate', '{"__proto__": {"request": {}}}', 400],
    ['another path', '/other', '{}', 404],
    ['a body larger than any object', '/mutate', JSON.stringify({pad: 'x'.repeat(5 * 1024 * 1024)}), 413],
  ])('%s is answered with an error, which is counted', async (_title, path, body, status) => {
    const told: string[] = [];
    const port = await started({onAnswer: (webhook, outcome) => told.push(`${webhook} ${outcome}`)});
    expect(await post(port, path, body)).toMatchObject({status});
    expect(told).toEqual(path === '/mutate' ? ['mutate failed'] : []);
  });
});

test.each(['application/yaml', 'application/vnd.kubernetes.protobuf', 'text/html'])(
  'a review as %s is not read: the API server sends JSON',
  async (type) => {
    expect(await post(await started(), '/mutate', JSON.stringify(REVIEW), type)).toMatchObject({status: 415});
  },
);

test('a review that calls itself text is none', async () => {
  expect(await post(await started(), '/mutate', JSON.stringify(REVIEW), 'text/plain')).toMatchObject({status: 400});
});

test('labels may have the names of what every object of the language has', async () => {
  const {request} = structuredClone(REVIEW);
  Object.assign(request.object.metadata.labels, {constructor: 'x', 'to-string': 'y'});
  expect(await post(await started(), '/mutate', JSON.stringify({...REVIEW, request}))).toMatchObject({
    status: 200,
    body: {response: {allowed: true, patchType: 'JSONPatch'}},
  });
});

test('what ends a pod is answered without a look at its namespace, which may be gone', async () => {
  const ends = {...REVIEW, request: {...REVIEW.request, operation: 'DELETE', object: null}};
  const port = await started({namespaceOf: () => Promise.reject(new Error('asked'))});
  for (const path of ['/mutate', '/validate'])
    expect(await post(port, path, JSON.stringify(ends))).toMatchObject({
      body: {response: {uid: 'u-1', allowed: true, auditAnnotations: {skipped: 'NothingStarts'}}},
    });
});

test('whoever sends a review slowly is sent away', async () => {
  const port = await started({limits: {requestTimeoutMs: 100, requestCheckMs: 50}});
  const status = await new Promise<string>((resolve, reject) => {
    const socket = connect({host: '127.0.0.1', port, rejectUnauthorized: false}, () => {
      socket.write(
        'POST /mutate HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{',
      );
    });
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.on('close', () => resolve(text.split('\r\n')[0]!));
    socket.on('error', reject);
  });
  expect(status).toBe('HTTP/1.1 408 Request Timeout');
});

test('while it drains it goes on answering, and asks to be asked elsewhere', async () => {
  const port = await started();
  expect((await post(port, '/validate', JSON.stringify(REVIEW))).connection).not.toBe('close');
  server!.drain();
  expect(await post(port, '/validate', JSON.stringify(REVIEW))).toMatchObject({
    ...{status: 200, connection: 'close'},
    body: {response: {allowed: true}},
  });
});

test('its end does not wait for a connection on which nobody asked anything', async () => {
  const port = await started();
  const socket = connect({host: '127.0.0.1', port, rejectUnauthorized: false});
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  const closed = new Promise((resolve) => socket.once('close', resolve).resume());
  await server!.close();
  await closed;
});

test('one that is answered when it ends is answered', async () => {
  let found!: (namespace: Namespace) => void;
  let asked!: () => void;
  const isAsked = new Promise<void>((resolve) => (asked = resolve));
  const port = await started({
    namespaceOf: () => {
      asked();
      return new Promise((resolve) => (found = resolve));
    },
  });
  const answered = post(port, '/mutate', JSON.stringify(REVIEW));
  await isAsked;
  const closed = server!.close();
  found(NAMESPACE);
  expect(await answered).toMatchObject({status: 200, body: {response: {allowed: true}}});
  await closed;
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
      'its namespace is not found in time',
      {namespaceOf: () => new Promise(() => {}), limits: {namespaceTimeoutMs: 50}},
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

test('and a connection that is kept open goes on with the one that it began with', async () => {
  const port = await started();
  const agent = new Agent({keepAlive: true, maxSockets: 1, rejectUnauthorized: false});
  const asked = (): Promise<{status: number; socket: TLSSocket}> =>
    new Promise((resolve, reject) => {
      const request = httpsRequest(
        {
          host: '127.0.0.1',
          port,
          path: '/mutate',
          method: 'POST',
          agent,
          headers: {'content-type': 'application/json'},
        },
        (response) => {
          const socket = response.socket as TLSSocket;
          response.resume().on('end', () => resolve({status: response.statusCode!, socket}));
        },
      );
      request.on('error', reject).end(JSON.stringify(REVIEW));
    });
  const before = await asked();
  server!.useCertificate(certificate('second.test'));
  const after = await asked();
  expect(after.socket).toBe(before.socket);
  expect([after.status, after.socket.getPeerCertificate().subjectaltname]).toEqual([200, 'DNS:first.test']);
  expect(await shown(port)).toBe('DNS:second.test');
  agent.destroy();
});
