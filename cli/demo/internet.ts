/** The demo's internet: stand-ins for the sites of the tutorial, with certificates of a public CA of its own. */
import {createServer as createHttpServer, type RequestListener, type Server as HttpServer} from 'node:http';
import {createServer as createHttpsServer} from 'node:https';
import {createConnection, type Server, type Socket} from 'node:net';
import type {LeafSource} from '../../pki/index.ts';

export interface StandIn {
  readonly host: string;
  readonly ip: string;
  readonly ports: readonly {readonly port: number; readonly scheme: 'http' | 'https'}[];
}

export const STORAGE = 'storage.googleapis.com';
export const GOOGLE = 'www.google.com';
export const METADATA = 'metadata.google.internal';
export const OBJECT = '/solutions-public-assets/adtech/dfp_networkimpressions.py';

export const STAND_INS: readonly StandIn[] = [
  {
    host: STORAGE,
    ip: '142.250.74.27',
    ports: [
      {port: 443, scheme: 'https'},
      {port: 80, scheme: 'http'},
    ],
  },
  {
    host: GOOGLE,
    ip: '142.250.74.36',
    ports: [
      {port: 443, scheme: 'https'},
      {port: 80, scheme: 'http'},
    ],
  },
  {host: METADATA, ip: '169.254.169.254', ports: [{port: 80, scheme: 'http'}]},
];

/** A server that answers as the site would, well enough to be told from another. */
export function standInServer(host: string, scheme: 'http' | 'https', leaves: LeafSource): HttpServer {
  const listener: RequestListener = (request, response) => {
    response.setHeader('server', `stand-in for ${host}`);
    request.resume();
    if (host === STORAGE && request.url === OBJECT) {
      response.setHeader('content-type', 'text/x-python');
      response.end('#!/usr/bin/env python\n# An object of a public bucket.\n');
      return;
    }
    if (host === METADATA) {
      response.end('{"access_token": "the node\'s own credentials"}\n');
      return;
    }
    response.setHeader('content-type', 'text/html');
    response.end(`<html>${host}${request.url}</html>\n`);
  };
  return scheme === 'http'
    ? createHttpServer(listener)
    : createHttpsServer({SNICallback: (_name, done) => done(null, leaves.context(host))}, listener);
}

/**
 * A CONNECT and absolute-form proxy on loopback that stands for the way to the internet where there is no network
 * namespace: it takes every name to the stand-in's loopback port.
 */
export function gateway(portOf: (host: string, port: number) => number | undefined): Server {
  const server = createHttpServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://none.invalid');
    const port = portOf(url.hostname, Number(url.port) || 80);
    if (port === undefined) return void response.writeHead(502).end();
    const upstream = createConnection({port, host: '127.0.0.1'}, () => {
      upstream.write(
        `${request.method} ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\nconnection: close\r\n\r\n`,
      );
    });
    request.resume();
    upstream.pipe(request.socket);
    upstream.on('error', () => request.socket.destroy());
  });
  server.on('connect', (request, client: Socket) => {
    const [host, port] = (request.url ?? '').split(':');
    const local = portOf(host ?? '', Number(port));
    if (local === undefined) return void client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    const upstream = createConnection({port: local, host: '127.0.0.1'}, () => {
      client.write('HTTP/1.1 200 Connected\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    upstream.on('error', () => client.destroy());
    client.on('error', () => upstream.destroy());
  });
  return server;
}
