/** The resolver: by it names become addresses that are judged; without it nothing with a name is reached. */
import {Resolver} from 'node:dns/promises';
import type {Check} from '../check.ts';
import {grave, ok, verdictOf, type Problem} from '../outcome.ts';
import {agentResolvers} from '../node/agent.ts';
import type {NodeWorld} from '../node/world.ts';

/** As the agent asks (dns/resolver-limits.ts). */
const OPTIONS = {timeout: 2_000, tries: 2} as const;
/** Any of these is an answer: the name may well not exist on a machine without a cluster. */
const ANSWERS: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA']);

export const nodeResolver: Check<NodeWorld> = {
  name: 'node.resolver',
  looks: 'the resolver that policies and pods go by',
  run: async ({agent}) => {
    const found = agent();
    const name = `kubernetes.default.svc.${found.config.installation.clusterDomain}`;
    const problems: Problem[] = [];
    const servers = agentResolvers(found);
    for (const {ip, port} of servers) {
      const resolver = new Resolver(OPTIONS);
      resolver.setServers([`${ip.includes(':') ? `[${ip}]` : ip}:${port}`]);
      try {
        await resolver.resolve4(name);
      } catch (error) {
        const {code = ''} = error as NodeJS.ErrnoException;
        if (!ANSWERS.has(code))
          problems.push(
            grave(
              `${ip}:${port} does not answer for ${name} (${code}): requests to names end with Unresolvable`,
              'Name a resolver that answers with --resolver ADDR, or bring that one back.',
            ),
          );
      }
    }
    if (servers.length === 0) return verdictOf([grave('no resolver is named', 'Name one with --resolver ADDR.')], '');
    return problems.length === 0
      ? ok(servers.map(({ip, port}) => `${ip}:${port} answers`).join(', '))
      : verdictOf(problems, '');
  },
};
