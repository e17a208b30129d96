/** nginx as the reverse proxy that it mostly is: what it reads is what it sends to the origin. */
import {existsSync, mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Peer} from '../peer.ts';
import {startOrigin} from './origin.ts';
import {startProcess} from './process.ts';

export const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx'].find((path) => existsSync(path));

/** null: it is not installed. */
export async function startNginx(dir: string): Promise<Peer | null> {
  if (NGINX === undefined) return null;
  const home = join(dir, 'nginx');
  mkdirSync(home);
  const origin = await startOrigin(home);
  const socket = join(home, 'front.sock');
  // Buffered, so that the origin gets a length whatever the client wrote; the errors of nginx's own carry no field.
  writeFileSync(
    join(home, 'nginx.conf'),
    `daemon off; master_process off; worker_processes 1; pid ${home}/pid; error_log stderr crit;
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path ${home}/c; proxy_temp_path ${home}/p; fastcgi_temp_path ${home}/f; uwsgi_temp_path ${home}/u; scgi_temp_path ${home}/s;
  keepalive_timeout 1s; lingering_close off; large_client_header_buffers 8 64k; ignore_invalid_headers on;
  server {
    listen unix:${socket};
    location / {
      proxy_pass http://unix:${origin.socket}:; proxy_http_version 1.1; proxy_set_header Connection close; proxy_set_header Host origin.test;
      proxy_set_header Expect ""; proxy_ignore_client_abort on; proxy_request_buffering on;
    }
  }
}
`,
  );
  const peer = await startProcess('nginx', socket, [NGINX, '-p', home, '-c', join(home, 'nginx.conf')], home);
  return {
    ...peer,
    close: async () => {
      await peer.close();
      await origin.close();
    },
  };
}
