import {once} from 'node:events';
import {createServer, type Server} from 'node:http';
import type {AddressInfo} from 'node:net';
import {afterEach, expect, test} from '@jest/globals';
import {startAdmin} from './admin.ts';
import {isOwnAddress} from './own-addresses.ts';

let server: Server | null = null;
afterEach(() => {
  server?.close();
  server = null;
});

async function ask(path: string, options: {local?: boolean; ready?: boolean; method?: string} = {}): Promise<string> {
  server = await startAdmin(
    {ip: '127.0.0.1', port: 0},
    {
      isLocal: () => options.local ?? true,
      readiness: () => ({ready: options.ready ?? true, detail: 'x'}),
      metrics: async () => ({contentType: 'text/plain', text: 'sallyport_x 1\n'}),
    },
  );
  const {port} = server.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {method: options.method ?? 'GET'});
  return `${response.status} ${(await response.text()).trim()}`;
}

test.each([
  ['the process lives', '/healthz', {}, '200 ok'],
  ['ready, with its detail', '/readyz', {}, /^200 [\s\S]*"ready": true[\s\S]*"detail": "x"/],
  ['not ready is 503', '/readyz', {ready: false}, /^503 [\s\S]*"ready": false/],
  ['metrics', '/metrics', {}, '200 sallyport_x 1'],
  ['a query changes nothing', '/metrics?x=1', {}, '200 sallyport_x 1'],
  ['metrics are for other machines and pods too', '/metrics', {local: false}, '200 sallyport_x 1'],
  ['readiness without its detail, which names policies and files', '/readyz', {local: false}, '200 ready'],
  ['and so is its lack', '/readyz', {local: false, ready: false}, '503 not ready'],
  ['and health: the kubelet asks a pod from outside of it', '/healthz', {local: false}, '200 ok'],
  ['nothing else is here', '/', {}, /^404 .*\/healthz, \/readyz and \/metrics/],
  ['nothing can be changed', '/metrics', {method: 'POST'}, /^405 /],
])('%s', async (_, path, options, expected) => {
  const answer = await ask(path, options);
  if (typeof expected === 'string') expect(answer).toBe(expected);
  else expect(answer).toMatch(expected);
});

test('a port in use is said with the flag', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const {port} = holder.address() as AddressInfo;
  const sources = {
    isLocal: () => true,
    readiness: () => ({ready: true}),
    metrics: async () => ({contentType: '', text: ''}),
  };
  await expect(startAdmin({ip: '127.0.0.1', port}, sources)).rejects.toMatchObject({
    code: 'PortInUse',
    message: expect.stringContaining('--admin'),
  });
  holder.close();
});

test.each([
  ['127.0.0.1', true],
  ['::1', true],
  ['::ffff:127.0.0.1', true],
  ['203.0.113.7', false],
  ['::ffff:203.0.113.7', false],
  ['', false],
])('%j is this machine: %s', (address, own) => expect(isOwnAddress(address)).toBe(own));
