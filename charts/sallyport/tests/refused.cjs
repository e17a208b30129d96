// What `helm test` runs in a captured pod: exit 0 only where each request is refused by the pod's own policy.
const http = require('node:http');
const https = require('node:https');

const WANTED = {status: 418, body: 'refused as helm test expects'};
// A documentation address (RFC 5737): nobody answers there but a proxy that stands in between.
const ADDRESS = '198.51.100.7';
const HOST = 'denied.sallyport.invalid';
// A pod may be captured a moment after it starts, and its node's certificate come a moment later.
const TRIES = Number(process.env.TRIES ?? 20);
const PAUSE_MS = 1000;
const TIMEOUT_MS = 5000;

const ask = (module, port) =>
  new Promise((resolve) => {
    const options = {
      host: ADDRESS,
      port,
      servername: HOST,
      headers: {host: HOST},
      path: '/',
      agent: false,
      timeout: TIMEOUT_MS,
    };
    const request = module.get(options, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => (body += text));
      response.on('end', () => resolve({status: response.statusCode, body}));
    });
    request.on('timeout', () => request.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)));
    request.on('error', (error) => resolve({error: `${error.code ?? ''} ${error.message}`}));
  });

const refused = ({status, body}) => status === WANTED.status && body.includes(WANTED.body);

async function main() {
  for (const [name, module, port] of [
    ['http', http, 80],
    ['https', https, 443],
  ]) {
    let last = {};
    for (let i = 0; i < TRIES && !refused(last); i++) {
      if (i > 0) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      last = await ask(module, port);
    }
    console.log(`${name}://${HOST}/ at ${ADDRESS}: ${JSON.stringify(last)}`);
    if (!refused(last)) {
      console.log(`NOT ENFORCED: wanted ${WANTED.status} "${WANTED.body}". sallyport doctor says what is missing.`);
      process.exit(1);
    }
  }
  console.log('enforced');
}
main();
