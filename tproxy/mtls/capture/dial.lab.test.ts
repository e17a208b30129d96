/** The socket that is dialled in somebody's stead, on a loopback interface: what a node's kernel makes of it is in ../wire. */
import {once} from 'node:events';
import {createServer, type Socket} from 'node:net';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {createLab, listenIn, type Lab} from '../../../test/lab/index.ts';
import {labTest} from '../../../test/lab/require.ts';
import {dialAs} from './dial.ts';

const it = labTest('ip', 'setpriv');
let lab: Lab;
beforeAll(async () => {
  lab = await createLab({name: 'dialas', pods: []});
});
afterAll(() => lab?.close());

describe.each([
  {family: 4, to: '127.0.0.1', as: '127.9.8.7'},
  {family: 6, to: '::1', as: '::1'},
])('IPv$family', ({to, as}) => {
  /** Who the program believes to have been called by. */
  async function called(port: number): Promise<{ip: string | undefined; port: number | undefined}> {
    const server = createServer();
    await listenIn(lab.node.path, server, to, 7000);
    const accepted = once(server, 'connection');
    const client = lab.inside('node', () => dialAs({ip: as, port}, {ip: to, port: 7000}));
    const failed = new Promise<never>((_resolve, reject) => client.once('error', reject));
    try {
      const [socket] = (await Promise.race([accepted, failed])) as [Socket];
      const by = {ip: socket.remoteAddress, port: socket.remotePort};
      socket.destroy();
      return by;
    } finally {
      client.destroy();
      server.close();
    }
  }

  it('the program sees the address and the port that were asked for', async () => {
    expect(await called(41_234)).toEqual({ip: as, port: 41_234});
  });

  it('and with port 0 one that the kernel has chosen', async () => {
    const {ip, port} = await called(0);
    expect(ip).toBe(as);
    expect(port).toBeGreaterThan(0);
  });
});

it.each([
  {mark: null, needs: 'CAP_NET_RAW'},
  {mark: 1, needs: 'CAP_NET_ADMIN'},
])('without a capability it says which: $needs', async ({mark, needs}) => {
  const {href} = new URL('./dial.ts', import.meta.url);
  const dials = `import {dialFrom} from '${href}';
    try {
      dialFrom({ip: '127.9.8.7', port: 0}, {ip: '127.0.0.1', port: 7000}, ${mark});
    } catch (error) {
      console.log(error.message);
    }`;
  const bare = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--no-new-privs'];
  const program = [process.execPath, '--input-type=module', '-e', dials];
  const {stdout, stderr} = await lab.exec('node', [...bare, ...program]);
  expect(stderr).toBe('');
  expect(stdout).toContain(`needs ${needs}, which this process has not`);
});
