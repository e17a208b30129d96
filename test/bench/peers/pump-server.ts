/** `node pump-server.ts PORT ADDRESS NAME CERTIFICATE KEY ROOTS`: bytes out of one TLS connection and into another, unread. */
import {readFileSync} from 'node:fs';
import {connect, createSecureContext, createServer, type TLSSocket} from 'node:tls';

const [port, host, servername, certificate, key, roots] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const secureContext = createSecureContext({ca: readFileSync(roots)});

function join(client: TLSSocket): void {
  const server = connect({host, port: 443, servername, secureContext});
  for (const [from, to] of [
    [client, server],
    [server, client],
  ] as const) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
    from.on('data', (chunk: Buffer) => {
      if (!to.write(chunk)) from.pause();
    });
    from.on('drain', () => to.resume());
    from.on('end', () => to.end());
  }
  server.setNoDelay(true);
}

createServer({cert: readFileSync(certificate), key: readFileSync(key), noDelay: true}, join).listen(Number(port));
