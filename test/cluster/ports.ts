import {randomInt} from 'node:crypto';
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {createServer} from 'node:net';

/** Below them are ports that people know, and above most of those that the kernel gives to outgoing connections. */
const FIRST_PORT = 20_000;
const LAST_PORT = 32_767;
/** Of this process: none is told twice, also where nobody listens there yet. */
const told = new Set<number>();

/**
 * Ports of loopback that are free, for programs that cannot choose one themselves. None that the kernel would give to an outgoing
 * connection (ip(7), ip_local_port_range), since it would before the program listens: tests make thousands of connections.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ephemeral = firstEphemeral();
  // Where the kernel gives all of them away there are none to be had that are better.
  const end = ephemeral > FIRST_PORT + count ? Math.min(LAST_PORT + 1, ephemeral) : LAST_PORT + 1;
  const ports: number[] = [];
  while (ports.length < count) {
    const port = randomInt(FIRST_PORT, end);
    if (told.has(port) || !(await isFree(port))) continue;
    told.add(port);
    ports.push(port);
  }
  return ports;
}

function firstEphemeral(): number {
  return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/)[0]);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening');
    return true;
  } catch {
    return false;
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}
