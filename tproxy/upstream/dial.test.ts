import {connect, createServer, type Socket} from 'node:net';
import {afterEach, describe, expect, test} from '@jest/globals';
import {createDialer, type DialOptions, type DialResult, type DialTarget} from './dial.ts';
import {LIMITS} from './limits.ts';
import {closeAll, listening, onClose, request, route, send, upstreamWith} from './testing/harness.ts';
import {OK, rawServer} from './testing/servers.ts';

afterEach(closeAll);

const SOURCE = {ip: '127.0.0.7', port: 40000};

function dial(target: Partial<DialTarget>, options: Partial<DialOptions> = {}): Promise<DialResult> {
  const dialer = createDialer({
    isOwnListener: () => false,
    mustUseOwnAddress: () => false,
    connectTransparent: null,
    ...options,
  });
  return new Promise((resolve) => {
    dialer.dial({name: 'a.test', port: 1, addresses: ['127.0.0.1'], source: SOURCE, ...target}, (result) => {
      if ('socket' in result) onClose(() => result.socket.destroy());
      resolve(result);
    });
  });
}

async function port(host = '127.0.0.1', at = 0): Promise<number> {
  return listening(createServer(), host, at);
}

describe('the addresses are tried in order', () => {
  test('the first that answers is taken', async () => {
    const at = await port('127.0.0.1');
    expect(await dial({port: at, addresses: ['127.0.0.1', '127.0.0.2']})).toMatchObject({address: '127.0.0.1'});
  });

  test('one that refuses is passed over', async () => {
    const at = await port('127.0.0.2');
    expect(await dial({port: at, addresses: ['127.0.0.1', '127.0.0.2']})).toMatchObject({address: '127.0.0.2'});
  });

  test('no more of them than the limit', async () => {
    const at = await port('127.0.0.99');
    const refusing = Array.from({length: LIMITS.maxDialAttempts}, (_, i) => `127.0.0.${i + 10}`);
    expect(await dial({port: at, addresses: [...refusing.slice(1), '127.0.0.99']})).toMatchObject({
      address: '127.0.0.99',
    });
    expect(await dial({port: at, addresses: [...refusing, '127.0.0.99']})).toHaveProperty('failure');
  });

  test('one that keeps quiet is overtaken by the next', async () => {
    const at = await port('127.0.0.2');
    // A socket that never connects stands for an address whose SYNs are dropped.
    const transparent = ({destination}: {destination: {ip: string}}): Socket =>
      connect({host: destination.ip === '127.0.0.1' ? 'never.test' : destination.ip, port: at, lookup: () => {}});
    const result = await dial(
      {port: at, addresses: ['127.0.0.1', '127.0.0.2']},
      {mustUseOwnAddress: () => true, connectTransparent: transparent, attemptDelayMs: 5},
    );
    expect(result).toMatchObject({address: '127.0.0.2'});
  });

  test('one that keeps quiet alone fails in time', async () => {
    const never = (): Socket => connect({host: 'never.test', port: 1, lookup: () => {}});
    const result = await dial({}, {mustUseOwnAddress: () => true, connectTransparent: never, connectTimeoutMs: 10});
    expect(result).toMatchObject({
      failure: {reason: 'UpstreamUnreachable', message: 'cannot connect to a.test:1: no answer in time'},
    });
  });

  test('under the node’s own address for a client, and not for a parent, it is told for whom', async () => {
    const at = await port();
    const told: unknown[] = [];
    const connectAsNode: DialOptions['connectAsNode'] = ({source, destination}) => {
      told.push({source, destination});
      return connect(destination.port, destination.ip);
    };
    expect(await dial({port: at}, {connectAsNode})).toMatchObject({address: '127.0.0.1'});
    expect(await dial({port: at, source: null}, {connectAsNode})).toMatchObject({address: '127.0.0.1'});
    expect(told).toEqual([{source: SOURCE, destination: {ip: '127.0.0.1', port: at}}]);
  });

  test('all refuse', async () => {
    const at = await port('127.0.0.3');
    const result = await dial({port: at, addresses: ['127.0.0.1', '127.0.0.2']});
    expect(result).toEqual({
      failure: {reason: 'UpstreamUnreachable', message: `cannot connect to a.test:${at}: connection refused`},
    });
  });

  test('there are none', async () => {
    expect(await dial({addresses: []})).toMatchObject({
      failure: {message: expect.stringContaining('no address to connect to')},
    });
  });
});

describe('what is never dialled', () => {
  test('a listener of ours', async () => {
    const at = await port();
    const result = await dial({port: at}, {isOwnListener: (address, p) => address === '127.0.0.1' && p === at});
    expect(result).toMatchObject({
      failure: {reason: 'UpstreamUnreachable', message: expect.stringContaining('a listener of this proxy')},
    });
  });

  test('a listener of ours, but the next address', async () => {
    const at = await port('127.0.0.2');
    const result = await dial(
      {port: at, addresses: ['127.0.0.1', '127.0.0.2']},
      {isOwnListener: (address) => address === '127.0.0.1'},
    );
    expect(result).toMatchObject({address: '127.0.0.2'});
  });

  test('a cluster address as ourselves, where the pod cannot be seen', async () => {
    let connections = 0;
    const server = createServer(() => connections++);
    const at = await listening(server);
    const result = await dial({port: at}, {mustUseOwnAddress: () => true});
    expect(result).toMatchObject({
      failure: {reason: 'UpstreamUnreachable', message: expect.stringContaining("the client's own address")},
    });
    expect(connections).toBe(0);
  });

  test('a name: what is not an address is not looked up', async () => {
    const at = await port();
    const result = await dial({port: at, addresses: ['localhost']});
    expect(result).toMatchObject({failure: {message: expect.stringContaining('not an address')}});
  });
});

test('a cluster address is dialled with the address of the pod', async () => {
  const {server, sockets} = rawServer(() => OK);
  const at = await listening(server);
  const upstream = upstreamWith({
    mustUseOwnAddress: (address) => address === '127.0.0.1',
    connectTransparent: ({source, destination}) =>
      connect({host: destination.ip, port: destination.port, localAddress: source.ip}),
  });
  const got = await send(upstream, route(at, {scheme: 'http', source: SOURCE}), request());
  expect(got.body).toBe('ok');
  expect(sockets[0]!.remoteAddress).toBe('127.0.0.7');
});

test('the pod has no address of the family', async () => {
  const none = (): Socket => {
    throw Object.assign(new Error('families differ'), {code: 'NoSourceAddress'});
  };
  const result = await dial({}, {mustUseOwnAddress: () => true, connectTransparent: none});
  expect(result).toMatchObject({failure: {message: expect.stringContaining('none of that family')}});
});

test('a raw connection carries bytes and a half-close both ways', async () => {
  const server = createServer({allowHalfOpen: true}, (socket) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('end', () => socket.end(`${text} and back`));
  });
  const at = await listening(server);
  const result = await new Promise<Parameters<Parameters<ReturnType<typeof upstreamWith>['connect']>[1]>[0]>(
    (resolve) => {
      upstreamWith().connect(route(at, {scheme: 'tcp'}), resolve);
    },
  );
  if ('failure' in result) throw new Error(result.failure.message);
  onClose(() => result.stream.destroy());
  expect([result.address, result.proxy]).toEqual([`127.0.0.1:${at}`, null]);
  result.stream.end('there');
  let text = '';
  for await (const chunk of result.stream) text += String(chunk);
  expect(text).toBe('there and back');
});
