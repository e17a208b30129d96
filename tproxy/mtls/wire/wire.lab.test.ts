/** The wire between nodes, with real programs and real packets. */
import {createServer} from 'node:http';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {listenIn} from '../../../test/lab/index.ts';
import {createMtlsCluster, podIps, type MtlsCluster} from '../../../test/lab/mtls/nodes.ts';
import {labTest} from '../../../test/lab/require.ts';

const it = labTest('curl', 'tcpdump');
let cluster: MtlsCluster;
beforeAll(async () => {
  cluster = await createMtlsCluster();
}, 60_000);
afterAll(() => cluster?.close());

describe('two Strict pods on two nodes', () => {
  it('speak plain HTTP to each other, and nothing of it crosses the wire', async () => {
    await cluster.enrol({a: {mode: 'Strict'}, b: {mode: 'Strict'}});
    const seen: string[] = [];
    const server = createServer((request, response) => {
      seen.push(`${request.socket.remoteAddress}`);
      response.end('the-secret-answer\n');
    });
    await listenIn(cluster.nodes.b.pod.path, server, podIps('b')[0], 8080);
    const stop = await cluster.record();
    const {stdout, stderr} = await cluster.nodes.a.lab.exec('app', [
      ...['curl', '-sS', '-m', '10', '-H', 'x-secret: the-secret-question', `http://${podIps('b')[0]}:8080/`],
    ]);
    const packets = await stop();
    expect(stderr).toBe('');
    expect(stdout).toBe('the-secret-answer\n');
    expect(seen).toEqual([podIps('a')[0]]);
    expect(packets.length).toBeGreaterThan(1000);
    expect(packets).not.toContain('the-secret');
    server.close();
  }, 60_000);
});
