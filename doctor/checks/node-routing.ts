/** The ip rule and the route by which taken packets come to our listeners. */
import {missingRouting} from '../../tproxy/capture/routing.ts';
import type {Check} from '../check.ts';
import {fail, ok} from '../outcome.ts';
import type {NodeWorld} from '../node/world.ts';

export const nodeRouting: Check<NodeWorld> = {
  name: 'node.routing',
  looks: 'the ip rule and route of taken packets',
  run: async ({commands, agent, capture}) => {
    if (agent().config.intercept === 'redirect') return ok('redirect needs none');
    const {config} = await capture();
    const missing = await missingRouting(commands, config);
    if (missing.length === 0) return ok(`mark to table ${config.routeTable}, for both families`);
    return fail(
      `missing: ${missing.join('; ')}: what is taken goes nowhere`,
      'A running agent puts them back within seconds; find out who removes them (capture.drift in its log).',
    );
  },
};
