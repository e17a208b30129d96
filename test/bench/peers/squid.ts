import {execFileSync} from 'node:child_process';
import {chmodSync, existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Peer} from './peer.ts';

const CERTGEN = '/usr/lib/squid/security_file_certgen';

/** ssl-bump of everything, with its access log. */
export const squid: Peer = {
  name: 'squid ssl-bump',
  missing: () => (existsSync(CERTGEN) ? null : 'squid-openssl is not installed'),
  prepare({dir, upstreamRoots, ca}) {
    const bundle = join(dir, 'ca.pem');
    writeFileSync(bundle, readFileSync(ca.certificate, 'utf8') + readFileSync(ca.key, 'utf8'));
    const config = join(dir, 'squid.conf');
    // Squid changes to the user proxy, and its helpers with it.
    chmodSync(dir, 0o777);
    execFileSync(CERTGEN, ['-c', '-s', join(dir, 'certs'), '-M', '4MB']);
    execFileSync('chown', ['-R', 'proxy:proxy', dir]);
    writeFileSync(
      config,
      `http_port 16005
https_port 16004 intercept ssl-bump tls-cert=${bundle} generate-host-certificates=on dynamic_cert_mem_cache_size=4MB
sslcrtd_program ${CERTGEN} -s ${join(dir, 'certs')} -M 4MB
sslcrtd_children 2
ssl_bump bump all
tls_outgoing_options cafile=${upstreamRoots}
http_access allow all
host_verify_strict off
cache deny all
access_log ${join(dir, 'access.log')}
cache_log ${join(dir, 'cache.log')}
pid_filename ${join(dir, 'pid')}
shutdown_lifetime 0 seconds
client_persistent_connections on
server_persistent_connections on
workers 1
visible_hostname bench.invalid
dns_nameservers 127.0.0.1
`,
    );
    return {argv: ['/usr/sbin/squid', '-N', '-f', config], redirectTo: 16004, ready: {port: 16005}};
  },
};
