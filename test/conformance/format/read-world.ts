import {isIP} from 'node:net';
import {CERTIFICATES, SERVER_KINDS} from './case.ts';
import type {ServerSpec, WorkloadSpec} from './case.ts';
import type {Cursor} from './cursor.ts';
import {worldName} from './places.ts';

export function readWorkload(name: string, at: Cursor): WorkloadSpec {
  const f = at.fields(['namespace', 'labels', 'serviceAccount', 'trustsCa']);
  return {
    name,
    namespace: f.namespace?.text() ?? 'default',
    labels: f.labels?.texts() ?? {},
    serviceAccount: f.serviceAccount?.text() ?? 'default',
    trustsCa: f.trustsCa?.boolean() ?? true,
  };
}

function address(at: Cursor): string {
  const text = at.text();
  if (isIP(text) === 0) at.problem(`${JSON.stringify(text)} is no IP address`);
  return text;
}

export function readServer(name: string, at: Cursor): ServerSpec {
  const f = at.fields(['ports', 'address', 'addresses', 'certificate', 'auth']);
  if (name !== worldName(name)) at.problem('names of servers are written in lower case, without a dot at the end');
  if (!f.ports) at.problem('a server has ports');
  if (f.address && f.addresses) f.addresses.problem('address and addresses: write one of them');
  const ports =
    f.ports?.entries().map(({name: key, value}) => {
      const port = /^\d{1,5}$/.test(key) ? Number(key) : 0;
      if (port < 1 || port > 65535) value.problem(`${JSON.stringify(key)} is no port`);
      return {port, kind: value.oneOf(SERVER_KINDS)};
    }) ?? [];
  const a = f.auth?.fields(['username', 'password']);
  if (f.auth && !ports.some(({kind}) => kind === 'connect-proxy' || kind === 'tls-connect-proxy')) {
    f.auth.problem('only a connect-proxy asks for credentials');
  }
  if (f.addresses?.items().length === 0) f.addresses.problem('name an address, or leave the field out');
  return {
    name,
    ports,
    addresses: f.address ? [address(f.address)] : (f.addresses?.items().map(address) ?? null),
    certificate: f.certificate?.oneOf(CERTIFICATES) ?? 'valid',
    auth: a ? {username: a.username?.scalarText() ?? '', password: a.password?.scalarText() ?? ''} : null,
  };
}

export function readSecrets(at: Cursor): Map<string, Record<string, string>> {
  return new Map(
    at.entries().map(({name, value}) => {
      if (!/^[^/]+\/[^/]+$/.test(name)) value.problem(`${JSON.stringify(name)}: write namespace/name`);
      return [name, value.texts()];
    }),
  );
}
