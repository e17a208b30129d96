import {existsSync, mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Peer} from './peer.ts';

/** TLS to TLS with a ready leaf and no decision: the practical limit. */
export const nginx: Peer = {
  name: 'nginx (no policy)',
  missing: () => (existsSync('/usr/sbin/nginx') ? null : 'nginx is not installed'),
  prepare({dir, host, address, upstreamRoots, leaf}) {
    mkdirSync(join(dir, 'tmp'), {recursive: true});
    const config = join(dir, 'nginx.conf');
    writeFileSync(
      config,
      `daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log;
events { worker_connections 20000; }
http {
  access_log ${dir}/access.log;
  client_body_temp_path ${dir}/tmp/c; proxy_temp_path ${dir}/tmp/p; fastcgi_temp_path ${dir}/tmp/f; uwsgi_temp_path ${dir}/tmp/u; scgi_temp_path ${dir}/tmp/s;
  keepalive_requests 1000000;
  upstream origin { server ${address}:443; keepalive 64; keepalive_requests 1000000; }
  server {
    listen 16001 ssl; ssl_certificate ${leaf.certificate}; ssl_certificate_key ${leaf.key};
    location / {
      proxy_pass https://origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host ${host};
      proxy_ssl_server_name on; proxy_ssl_name ${host}; proxy_ssl_verify on; proxy_ssl_trusted_certificate ${upstreamRoots}; proxy_buffering off;
    }
  }
}
`,
    );
    return {argv: ['/usr/sbin/nginx', '-p', dir, '-c', config], redirectTo: 16001, ready: {port: 16001}};
  },
};
