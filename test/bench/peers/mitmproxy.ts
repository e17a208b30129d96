import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Peer, Site} from './peer.ts';

const binary = ({cache}: Site): string => join(cache, 'mitmproxy-11.0.2/bin/mitmdump');

/** Transparent mode with a minted leaf and its flow log, as the tutorial that we replace ran it. */
export const mitmproxy: Peer = {
  name: 'mitmproxy 11',
  missing: (site) =>
    existsSync(binary(site)) ? null : 'mitmproxy is not in the cache (npm run bench installs it from PyPI)',
  prepare(site) {
    const {dir, upstreamRoots, ca} = site;
    writeFileSync(join(dir, 'mitmproxy-ca.pem'), readFileSync(ca.key, 'utf8') + readFileSync(ca.certificate, 'utf8'));
    return {
      argv: [
        binary(site),
        '--mode',
        'transparent@16003',
        '--set',
        `confdir=${dir}`,
        '--set',
        `ssl_verify_upstream_trusted_ca=${upstreamRoots}`,
        '--set',
        'flow_detail=1',
        '--set',
        'connection_strategy=lazy',
      ],
      redirectTo: 16003,
      ready: {port: 16003},
    };
  },
};
