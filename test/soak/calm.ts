/** `node calm.ts ADDRESS`: the quiet workload's own server, so that it does not wait for one that is busy with the attack. */
import {createServer} from 'node:https';

const [, , host] = process.argv;
const {CALM_CERT: cert, CALM_KEY: key} = process.env;
createServer({cert, key, keepAliveTimeout: 60_000}, (_request, response) => response.end('fine')).listen(
  443,
  host,
  () => console.log('listening'),
);
