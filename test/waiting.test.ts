import {once} from 'node:events';
import {connect, createServer, type AddressInfo, type Socket} from 'node:net';
import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import {closed, found, heard, until, within} from './waiting.ts';

describe('waiting for a condition', () => {
  test('looks again until it holds, and answers what was seen', async () => {
    let looks = 0;
    expect(
      await until(
        () => ++looks,
        (seen) => seen === 3,
      ),
    ).toBe(3);
    expect(looks).toBe(3);
  });

  test('says what was waited for, what was seen last, and what else was said', async () => {
    const waiting = until(
      () => Promise.resolve({status: 503}),
      ({status}) => status === 200,
      {
        ...{withinMs: 0, said: () => 'the agent: no policy'},
      },
    );
    await expect(waiting).rejects.toThrow(
      'not within 0 s: ({status}) => status === 200\nseen last: {\n "status": 503\n}\nthe agent: no policy',
    );
  });

  test('looks once more where the time was up before the first look', async () => {
    expect(
      await until(
        () => 'there',
        () => true,
        {withinMs: -1},
      ),
    ).toBe('there');
  });

  test('what the look throws is thrown', async () => {
    const look = (): never => {
      throw new Error('no such pod');
    };
    await expect(until(look, () => true)).rejects.toThrow('no such pod');
  });

  test.each([null, undefined, false])('%p is nothing found', async (nothing) => {
    await expect(found(() => nothing, {withinMs: 0})).rejects.toThrow('not within 0 s: () => nothing');
  });

  test.each([0, '', true])('%p is something found', async (something) => {
    expect(await found(() => something)).toBe(something);
  });
});

describe('a promise within its time', () => {
  test('is what it comes to', async () => {
    expect(await within(Promise.resolve(1), 'one')).toBe(1);
    await expect(within(Promise.reject(new Error('it ended')), 'one')).rejects.toThrow('it ended');
  });

  test('is an error where it comes to nothing', async () => {
    const never = new Promise(() => undefined);
    await expect(within(never, 'a line', {withinMs: 1, said: () => 'said: nothing'})).rejects.toThrow(
      'not within 0.001 s: a line\nsaid: nothing',
    );
  });
});

describe('what comes on a connection', () => {
  const server = createServer();
  beforeAll(async () => {
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });
  afterAll(() => {
    server.close();
  });
  const pair = async (): Promise<{ours: Socket; theirs: Socket}> => {
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const ours = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(ours, 'connect');
    return {ours, theirs: (await accepted)[0]};
  };
  const whole = (text: string): boolean => text.endsWith('\n');

  test('is put together from its chunks', async () => {
    const {ours, theirs} = await pair();
    const line = heard(ours, whole);
    theirs.write('he');
    await until(
      () => ours.bytesRead,
      (bytes) => bytes === 2,
    );
    theirs.end('llo\n');
    expect(await line).toBe('hello\n');
  });

  test.each<[string, (theirs: Socket) => void, RegExp]>([
    ['ended', (theirs) => theirs.end('he'), /ended before .*endsWith.*; it said "he"/],
    ['reset', (theirs) => theirs.resetAndDestroy(), /failed \(read ECONNRESET\) before/],
  ])('is an error where the connection is %s before it is whole', async (_, end, why) => {
    const {ours, theirs} = await pair();
    const line = heard(ours, whole);
    end(theirs);
    await expect(line).rejects.toThrow(why);
    ours.destroy();
  });

  test('is an error where the connection was closed before anybody listened, and that it is closed is told then too', async () => {
    const {ours, theirs} = await pair();
    theirs.resetAndDestroy();
    await closed(ours, 'the reset');
    await closed(ours, 'the reset');
    await expect(heard(ours, whole)).rejects.toThrow('was closed before');
  });
});
