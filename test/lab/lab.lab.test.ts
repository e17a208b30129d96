import {spawn, type ChildProcess} from 'node:child_process';
import {existsSync, readdirSync, readlinkSync} from 'node:fs';
import {createServer} from 'node:net';
import {once} from 'node:events';
import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import {connectIn, createLab, hasLabPrivileges, labTests, listenIn, sweepLabs, udpIn, type Lab} from './index.ts';
import {until} from '../waiting.ts';

const labTest = labTests(test);

describe.each([
  {layout: 'routed', bridge: false},
  {layout: 'bridged', bridge: true},
])('a $layout lab', ({bridge}) => {
  let lab: Lab;
  beforeAll(async () => {
    if (!hasLabPrivileges().ok) return;
    lab = await createLab({name: 'labtest', pods: [{name: 'a'}, {name: 'b'}], bridge});
    await lab.internet.addAddress('203.0.113.5', '2001:db8::5');
  });
  afterAll(() => lab?.close());

  labTest.each(['203.0.113.5', '2001:db8::5'])(
    'a pod reaches %s, which this process serves, by its own address',
    async (ip) => {
      const server = createServer((client) => client.end(client.remoteAddress ?? ''));
      const port = await listenIn(lab.internet.path, server, ip, 0);
      const client = connectIn(lab.pod('a').path, {ip, port});
      let seen = '';
      client.on('data', (chunk: Buffer) => (seen += chunk.toString()));
      await once(client, 'close');
      server.close();
      expect(seen).toBe(ip.includes(':') ? lab.pod('a').ip6 : lab.pod('a').ip4);
    },
  );

  labTest('datagrams cross between pods, and programs in one read its own resolv.conf', async () => {
    const udp = await udpIn(lab.pod('b').path, lab.pod('b').ip4, 0);
    const sender = await udpIn(lab.pod('a').path, lab.pod('a').ip4, 0);
    const arrived = once(udp, 'message');
    sender.send('hello', udp.address().port, lab.pod('b').ip4);
    expect(String((await arrived)[0])).toBe('hello');
    udp.close();
    sender.close();

    lab.setResolver('a', '203.0.113.53');
    const read = await lab.exec('a', ['cat', '/etc/resolv.conf']);
    expect(read.stdout).toContain('nameserver 203.0.113.53');
  });

  labTest('there is no route to the real network', async () => {
    const links = await lab.exec('node', ['ip', '-o', 'link']);
    const names = links.stdout
      .trim()
      .split('\n')
      .map((line) => /^\d+: ([^:@]+)/.exec(line)![1]!);
    expect(names.sort()).toEqual([...(bridge ? ['br0'] : []), 'lo', 'p-a', 'p-b', 'uplink'].sort());
  });
});

describe('the end of a lab', () => {
  labTest('this process is back in its own namespace, also after work that throws', async () => {
    const home = readlinkSync('/proc/thread-self/ns/net');
    await withLab(async (lab) => {
      expect(lab.inside('a', () => readlinkSync('/proc/thread-self/ns/net'))).not.toBe(home);
      expect(() =>
        lab.inside('a', () => {
          throw new Error('inside');
        }),
      ).toThrow('inside');
      expect(readlinkSync('/proc/thread-self/ns/net')).toBe(home);
    });
  });

  labTest('close() kills what runs inside and removes namespaces and /etc/netns', async () => {
    let child: ChildProcess = spawn('true');
    let path = '';
    await withLab(async (lab) => {
      lab.setResolver('a', '203.0.113.53');
      path = lab.pod('a').path;
      child = lab.spawn('a', ['sleep', '1000']);
      expect(existsSync(path)).toBe(true);
    });
    expect(child.signalCode).toBe('SIGKILL');
    expect(existsSync(path)).toBe(false);
    expect(existsSync(`/etc/netns/${path.split('/').pop()}`)).toBe(false);
  });

  labTest('what a killed process left is swept by the next', async () => {
    const script = `
      const {createLab} = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
      const lab = await createLab({name: 'crash', pods: [{name: 'a'}]});
      lab.setResolver('a', '203.0.113.53');
      console.log(lab.id);
      process.kill(process.pid, 'SIGKILL');`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let id = '';
    child.stdout.on('data', (chunk: Buffer) => (id += chunk.toString()));
    await once(child, 'close');
    id = id.trim();
    expect(readdirSync('/run/netns').filter((name) => name.startsWith(`sp-${id}-`))).toHaveLength(3);
    expect(sweepLabs()).toContain(id);
    expect(readdirSync('/run/netns').filter((name) => name.startsWith(`sp-${id}-`))).toEqual([]);
    expect(existsSync(`/etc/netns/sp-${id}-a`)).toBe(false);
  });

  labTest('SIGTERM removes it and still ends the process', async () => {
    const script = `
      const {createLab} = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
      const lab = await createLab({name: 'term', pods: []});
      console.log(lab.id);
      setInterval(() => undefined, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let first = '';
    child.stdout.on('data', (chunk: Buffer) => (first += chunk.toString()));
    await until(
      () => first,
      (id) => id.endsWith('\n'),
    );
    child.kill('SIGTERM');
    const [, signal] = (await once(child, 'close')) as [number | null, string | null];
    expect(signal).toBe('SIGTERM');
    expect(readdirSync('/run/netns').filter((name) => name.startsWith(`sp-${first.trim()}-`))).toEqual([]);
  });
});

async function withLab(work: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = await createLab({name: 'labtest', pods: [{name: 'a'}]});
  try {
    await work(lab);
  } finally {
    await lab.close();
  }
}
