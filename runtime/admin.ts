/** The admin port: /healthz (the process lives), /readyz (it guards, with detail), /metrics. */
import {createServer, type Server} from 'node:http';
import {cannotListen, type Listen} from './listen.ts';

export interface AdminSources {
  /**
   * Whether the asker is this machine: others get no detail, which names policies and files. Of a pod with a network of its
   * own the kubelet's probes come from elsewhere, and need the status alone.
   */
  isLocal(address: string): boolean;
  /** What /readyz says; `ready` false answers 503. */
  readiness(): {readonly ready: boolean; readonly [detail: string]: unknown};
  metrics(): Promise<{contentType: string; text: string}>;
}

/** A scrape or a probe is one short request. */
const REQUEST_TIMEOUT_MS = 5000;
const MAX_CONNECTIONS = 64;

/** Listens, or throws SallyportError `PortInUse`, `CannotListen`. */
export async function startAdmin(listen: Listen, sources: AdminSources): Promise<Server> {
  const server = createServer(
    {requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS},
    (request, response) => {
      const answer = (status: number, contentType: string, body: string): void => {
        response.writeHead(status, {'content-type': contentType, 'cache-control': 'no-store'});
        response.end(request.method === 'HEAD' ? '' : body);
      };
      if (request.method !== 'GET' && request.method !== 'HEAD')
        return answer(405, 'text/plain', 'Only GET and HEAD.\n');
      const path = (request.url ?? '').split('?')[0];
      const local = sources.isLocal(request.socket.remoteAddress ?? '');
      switch (path) {
        case '/healthz':
          return answer(200, 'text/plain', 'ok\n');
        case '/readyz': {
          const readiness = sources.readiness();
          const status = readiness.ready ? 200 : 503;
          if (!local) return answer(status, 'text/plain', readiness.ready ? 'ready\n' : 'not ready\n');
          return answer(status, 'application/json', `${JSON.stringify(readiness, null, 2)}\n`);
        }
        case '/metrics':
          sources.metrics().then(
            ({contentType, text}) => answer(200, contentType, text),
            (error: Error) => answer(500, 'text/plain', `${error.message}\n`),
          );
          return;
        default:
          return answer(404, 'text/plain', 'Here are /healthz, /readyz and /metrics.\n');
      }
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen('--admin', listen, error)));
    server.listen({port: listen.port, ...(listen.ip === null ? {} : {host: listen.ip})}, resolve);
  });
  return server;
}
