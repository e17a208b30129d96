/** Envoy's admin interface on a unix socket: no port to collide with, and no namespace to enter. */
import {request} from 'node:http';

/** The body of a 200; rejects with status and body of anything else. `path` such as `/ready` or `/config_dump`. */
export function askAdmin(socketPath: string, path: string, method: 'GET' | 'POST' = 'GET'): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({socketPath, path, method, agent: false}, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(body);
        else reject(new Error(`Envoy's admin answered ${response.statusCode} to ${path}: ${body.trim()}`));
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}

/** Counters and gauges by name. `filter`: a regular expression on names; without it Envoy has hundreds. */
export async function statsOf(socketPath: string, filter: string): Promise<ReadonlyMap<string, number>> {
  const text = await askAdmin(socketPath, `/stats?filter=${encodeURIComponent(filter)}`);
  const stats = new Map<string, number>();
  for (const line of text.split('\n')) {
    const at = line.lastIndexOf(': ');
    const value = Number(line.slice(at + 2));
    if (at > 0 && Number.isFinite(value)) stats.set(line.slice(0, at), value);
  }
  return stats;
}
