import {describe, expect, test} from '@jest/globals';
import {attachCommands, interfaceName, podCommands} from './plan.ts';

const pod = {name: 'web', namespace: 'sp-x-web', interface: 'p-web', ips: ['10.77.0.10', 'fd77::a']};

describe('the plan of a lab', () => {
  test('an interface name never exceeds the kernel’s 15 characters, and two long pods do not share one', () => {
    const first = interfaceName('a-very-long-workload-name', new Set());
    const second = interfaceName('a-very-long-workload-name-2', new Set([first]));
    expect(first).toHaveLength(15);
    expect(second).toHaveLength(15);
    expect(second).not.toBe(first);
  });

  test('a routed pod holds /32 and /128 addresses, so that even its neighbours are behind the node', () => {
    const lines = podCommands(pod, false).join('\n');
    expect(lines).toContain('addr add 10.77.0.10/32 dev eth0');
    expect(lines).toContain('addr add fd77::a/128 nodad dev eth0');
    expect(attachCommands(pod, false).join('\n')).not.toContain('master');
  });

  test('a bridged pod holds subnet addresses, so that its neighbours are on its link', () => {
    expect(podCommands(pod, true).join('\n')).toContain('addr add 10.77.0.10/24 dev eth0');
    expect(attachCommands(pod, true).join('\n')).toContain('link set p-web master br0');
  });
});
