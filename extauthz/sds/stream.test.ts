import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {SECRET_TYPE_URL, SecretStream, type DeltaRequest, type Output, type Secret} from './stream.ts';

const secret = (version: string): Secret => ({version, chainPem: `chain ${version}`, keyPem: 'key', ttlMs: 1000});
const request = (part: Partial<DeltaRequest>): DeltaRequest => ({
  typeUrl: SECRET_TYPE_URL,
  subscribe: [],
  unsubscribe: [],
  initialVersions: new Map(),
  nonce: '',
  error: null,
  ...part,
});

/** `name@version`, `name~version` for a heartbeat, `-name` for what is gone. */
function told(outputs: readonly Output[]): string[] {
  return outputs.flatMap((output) => {
    if (output.kind !== 'respond') return [output.kind];
    const {resources, removed} = output.response;
    return [
      ...resources.map(({name, version, secret: body}) => `${name}${body === null ? '~' : '@'}${version}`),
      ...removed.map((name) => `-${name}`),
    ];
  });
}

const nonces = (outputs: readonly Output[]): string[] =>
  outputs.flatMap((output) => (output.kind === 'respond' ? [output.response.nonce] : []));

/** A stream over a table that the test changes. */
function streamOf(table: Record<string, string>): SecretStream {
  return new SecretStream((name) => (Object.hasOwn(table, name) ? secret(table[name]!) : null));
}

describe('a delta stream', () => {
  test('answers every name that is subscribed to: with its secret, or that there is none', () => {
    const stream = streamOf({'a.example': '1'});
    expect(told(stream.receive(request({subscribe: ['a.example', 'b.example', 'a.example']})))).toEqual([
      'a.example@1',
      '-b.example',
    ]);
    expect([...stream.names]).toEqual(['a.example', 'b.example']);
  });

  test('answers again who subscribes again, for the client may have dropped it', () => {
    const stream = streamOf({'a.example': '1'});
    stream.receive(request({subscribe: ['a.example']}));
    expect(told(stream.receive(request({subscribe: ['a.example']})))).toEqual(['a.example@1']);
  });

  test('after a reconnect sends a heartbeat for the version that is still right, and the secret for one that is not', () => {
    const stream = streamOf({'same.example': '1', 'new.example': '2'});
    const outputs = stream.receive(
      request({
        subscribe: ['same.example', 'new.example', 'gone.example'],
        initialVersions: new Map([
          ['same.example', '1'],
          ['new.example', '1'],
          ['gone.example', '1'],
        ]),
      }),
    );
    expect(told(outputs)).toEqual(['same.example~1', 'new.example@2', '-gone.example']);
  });

  test('answers an acknowledgement with nothing', () => {
    const stream = streamOf({'a.example': '1'});
    const [nonce] = nonces(stream.receive(request({subscribe: ['a.example']})));
    expect(stream.receive(request({nonce: nonce!}))).toEqual([]);
  });

  test('reports what was refused, and sends it again only when it has changed', () => {
    const table = {'a.example': '1'};
    const stream = streamOf(table);
    const [nonce] = nonces(stream.receive(request({subscribe: ['a.example']})));
    expect(stream.receive(request({nonce: nonce!, error: 'bad key'}))).toEqual([
      {kind: 'rejected', names: ['a.example'], error: 'bad key'},
    ]);
    expect(told(stream.rejudge())).toEqual([]);
    table['a.example'] = '2';
    expect(told(stream.rejudge())).toEqual(['a.example@2']);
  });

  test.each([
    ['of another stream', '77'],
    ['that was acknowledged already', '1'],
  ])('takes a nonce %s for nothing, and its subscriptions all the same', (_what, nonce) => {
    const stream = streamOf({'a.example': '1', 'b.example': '1'});
    stream.receive(request({subscribe: ['a.example']}));
    stream.receive(request({nonce: '1'}));
    expect(told(stream.receive(request({nonce, error: 'stale', subscribe: ['b.example']})))).toEqual(['b.example@1']);
  });

  test('says nothing more of a name that was unsubscribed from', () => {
    const table: Record<string, string> = {'a.example': '1'};
    const stream = streamOf(table);
    stream.receive(request({subscribe: ['a.example']}));
    expect(stream.receive(request({unsubscribe: ['a.example']}))).toEqual([]);
    delete table['a.example'];
    expect(stream.rejudge()).toEqual([]);
    expect(stream.size).toBe(0);
  });

  test('a name both unsubscribed from and subscribed to is subscribed to', () => {
    const stream = streamOf({'a.example': '1'});
    stream.receive(request({subscribe: ['a.example']}));
    expect(told(stream.receive(request({unsubscribe: ['a.example'], subscribe: ['a.example']})))).toEqual([
      'a.example@1',
    ]);
    expect(stream.size).toBe(1);
  });

  test('after a change tells what differs: gone, new, and nothing of the rest', () => {
    const table: Record<string, string> = {'stays.example': '1', 'goes.example': '1'};
    const stream = streamOf(table);
    stream.receive(request({subscribe: ['stays.example', 'goes.example', 'comes.example']}));
    delete table['goes.example'];
    table['comes.example'] = '1';
    expect(told(stream.rejudge())).toEqual(['comes.example@1', '-goes.example']);
    expect(stream.rejudge()).toEqual([]);
  });

  test('an evicted name is gone for the client, and asked for again when it is wanted', () => {
    const stream = streamOf({'a.example': '1'});
    stream.receive(request({subscribe: ['a.example', 'none.example']}));
    expect(told(stream.evict('a.example'))).toEqual(['-a.example']);
    expect(stream.evict('none.example')).toEqual([]);
    expect(stream.evict('never.example')).toEqual([]);
    expect(stream.size).toBe(0);
    expect(told(stream.receive(request({subscribe: ['a.example']})))).toEqual(['a.example@1']);
  });

  test('a name longer than any is refused without being kept', () => {
    const long = 'a'.repeat(300);
    const stream = streamOf({[long]: '1'});
    expect(told(stream.receive(request({subscribe: [long]})))).toEqual([`-${long}`]);
    expect(stream.size).toBe(0);
  });

  test('ends where another type is asked for', () => {
    expect(streamOf({}).receive(request({typeUrl: 'type.googleapis.com/envoy.config.listener.v3.Listener'}))).toEqual([
      {kind: 'end', message: `only ${SECRET_TYPE_URL} is served here`},
    ]);
  });

  test('an empty subscription, the wildcard of other types, subscribes to nothing', () => {
    const stream = streamOf({'*': '1', 'a.example': '1'});
    expect(stream.receive(request({}))).toEqual([]);
    expect(stream.size).toBe(0);
  });

  test('divides what a client that comes back asks for into responses that its gRPC takes', () => {
    const names = Array.from({length: 1300}, (_, i) => `${i}.example`);
    const stream = streamOf(Object.fromEntries(names.map((name) => [name, '1'])));
    const outputs = stream.receive(request({subscribe: names}));
    expect(outputs.map((output) => (output.kind === 'respond' ? output.response.resources.length : -1))).toEqual([
      512, 512, 276,
    ]);
    expect(new Set(nonces(outputs)).size).toBe(3);
  });
});

/**
 * A client by the protocol: it keeps what it is sent. Whatever is done in whatever order, it has in the end exactly what the
 * table says of the names that it is subscribed to.
 */
class Client {
  readonly has = new Map<string, string>();
  readonly subscribed = new Set<string>();
  readonly nonces: string[] = [];

  take(outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (output.kind !== 'respond') continue;
      this.nonces.push(output.response.nonce);
      for (const {name, version, secret: body} of output.response.resources) {
        if (body === null) expect(this.has.get(name)).toBe(version);
        else this.has.set(name, version);
      }
      for (const name of output.response.removed) this.has.delete(name);
    }
  }
}

describe('whatever happens on a stream', () => {
  const NAMES = ['a', 'b', 'c', 'd'];
  const names = fc.subarray(NAMES);
  const step = fc.oneof(
    fc.record({does: fc.constant('ask' as const), subscribe: names, unsubscribe: names, stale: fc.boolean()}),
    fc.record({
      does: fc.constant('change' as const),
      name: fc.constantFrom(...NAMES),
      to: fc.constantFrom('', '1', '2'),
    }),
    fc.record({does: fc.constant('evict' as const), name: fc.constantFrom(...NAMES)}),
    fc.record({does: fc.constant('acknowledge' as const), error: fc.option(fc.constant('bad'))}),
    fc.record({does: fc.constant('reconnect' as const)}),
  );

  test('the client has what the table says of what it is subscribed to, and no nonce comes twice', () => {
    fc.assert(
      fc.property(fc.array(step, {maxLength: 40}), (steps) => {
        const table: Record<string, string> = {a: '1', b: '1'};
        let stream = streamOf(table);
        const client = new Client();
        for (const one of steps) {
          switch (one.does) {
            case 'ask': {
              for (const name of one.unsubscribe) {
                client.subscribed.delete(name);
                client.has.delete(name);
              }
              for (const name of one.subscribe) client.subscribed.add(name);
              const {subscribe, unsubscribe} = one;
              client.take(stream.receive(request({subscribe, unsubscribe, nonce: one.stale ? '999' : ''})));
              break;
            }
            case 'change':
              if (one.to === '') delete table[one.name];
              else table[one.name] = one.to;
              client.take(stream.rejudge());
              break;
            case 'evict':
              client.take(stream.evict(one.name));
              client.subscribed.delete(one.name);
              break;
            case 'acknowledge': {
              const nonce = client.nonces.at(-1);
              if (nonce !== undefined) client.take(stream.receive(request({nonce, error: one.error})));
              break;
            }
            case 'reconnect':
              stream = streamOf(table);
              client.nonces.length = 0;
              client.take(
                stream.receive(request({subscribe: [...client.subscribed], initialVersions: new Map(client.has)})),
              );
          }
          const wanted = [...client.subscribed].filter((name) => Object.hasOwn(table, name)).sort();
          expect([...client.has].sort()).toEqual(wanted.map((name) => [name, table[name]!]));
          expect([...stream.names].sort()).toEqual([...client.subscribed].sort());
          expect(new Set(client.nonces).size).toBe(client.nonces.length);
        }
      }),
      {numRuns: 300},
    );
  });
});
