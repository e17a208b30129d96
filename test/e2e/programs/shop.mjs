// The programs of the shop (mtls.ts), none of which knows of TLS: a client asks the web all the time, and that the database.
import {createServer as createHttpServer, get} from 'node:http';
import {connect, createServer} from 'node:net';

const [, , role] = process.argv;
const domain = `${process.env.NAMESPACE}.svc.cluster.local`;
const TIMEOUT_MS = 5_000;

/** Server first: it greets, and answers a question with a row and whom it saw. */
function db() {
  createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write('ready\n');
    socket.once('data', () => socket.end(`the-secret-row for ${socket.remoteAddress}\n`));
  }).listen(5432, '0.0.0.0');
}

function row() {
  return new Promise((resolve, reject) => {
    const socket = connect({host: `db-0.db.${domain}`, port: 5432, timeout: TIMEOUT_MS});
    let text = '';
    socket.on('data', (chunk) => {
      if (text === '') socket.write('the-secret-question\n');
      text += chunk;
    });
    socket.once('end', () => (text.includes('row') ? resolve(text.split('\n')[1]) : reject(new Error('no row'))));
    socket.once('timeout', () => socket.destroy(new Error('the database is silent')));
    socket.once('error', reject);
  });
}

function web() {
  createHttpServer((request, response) => {
    if (request.url === '/healthz') {
      response.end('ok');
      return;
    }
    row().then(
      (text) => response.end(text),
      (error) => response.writeHead(503).end(String(error.message)),
    );
  }).listen(8080, '0.0.0.0');
}

function client() {
  let [ok, failed, last] = [0, 0, ''];
  const ask = () => {
    let over = false;
    const done = (good, text) => {
      if (over) return;
      over = true;
      if (good) ok++;
      else failed++;
      last = text;
      setTimeout(ask, 100);
    };
    const asking = get({host: `web.${domain}`, port: 80, path: '/', agent: false, timeout: TIMEOUT_MS}, (answer) => {
      let text = '';
      answer.on('data', (chunk) => (text += chunk));
      answer.once('end', () => done(answer.statusCode === 200, text.trim()));
      answer.once('error', (error) => done(false, error.message));
    });
    asking.once('timeout', () => asking.destroy(new Error('the web is silent')));
    asking.once('error', (error) => done(false, error.message));
  };
  ask();
  setInterval(() => console.log(JSON.stringify({ok, failed, last})), 500);
}

({db, web, client})[role]();
process.on('SIGTERM', () => process.exit(0));
