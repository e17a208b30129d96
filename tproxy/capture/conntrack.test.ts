import {describe, expect, test} from '@jest/globals';
import type {PlacedMember} from './config.ts';
import {forgettings, forget} from './conntrack.ts';

const base: PlacedMember = {ip: '10.0.0.5', mode: 'locked', uid: 'a', interface: 'veth1', port: null};
const cut = [{kind: 'cut', ip: '10.0.0.5'}];
const forgotten = [{kind: 'forget', ip: '10.0.0.5'}];

describe('what conntrack has to forget when members change', () => {
  test.each<[string, PlacedMember[], PlacedMember[], unknown[]]>([
    ['a pod is locked: its own connections', [], [base], cut],
    ['a pod is captured for Audit: nothing, the wire is left as it was', [], [{...base, mode: 'captured'}], []],
    ['Audit becomes Enforce: its own connections', [{...base, mode: 'captured'}], [base], cut],
    ['Enforce becomes Audit: nothing', [base], [{...base, mode: 'captured'}], []],
    ['nothing changed: nothing', [base], [base], []],
    ['the address is freed: everything', [base], [], forgotten],
    ['the pod becomes free: everything', [base], [{...base, mode: 'free'}], forgotten],
    ['another pod has the address: everything', [base], [{...base, uid: 'b'}], forgotten],
    ['it moved to another interface: everything', [base], [{...base, interface: 'veth2'}], forgotten],
    ['its interface went away for a moment: nothing', [base], [{...base, interface: null}], []],
    ['an earlier run held it, which knew no uid: nothing', [{...base, uid: ''}], [base], []],
    ['a free pod is no concern of ours', [], [{...base, mode: 'free'}], []],
  ])('%s', (_what, before, after, expected) => {
    expect(forgettings(before, after)).toEqual(expected);
  });
});

describe('conntrack itself', () => {
  const ran: string[][] = [];
  const answering = (status: number, stderr: string) => ({
    run: async (argv: readonly string[]) => {
      ran.push([...argv]);
      return {status, stdout: '', stderr};
    },
    follow: () => ({write: () => undefined, close: () => undefined}),
  });

  test('a cut asks for TCP of that source only: a UDP entry is what tells the pod’s datagrams from answers', async () => {
    ran.length = 0;
    await forget(answering(0, '2 flow entries have been deleted.'), {kind: 'cut', ip: 'fd00::5'});
    expect(ran).toEqual([['conntrack', '-D', '-f', 'ipv6', '-p', 'tcp', '--orig-src', 'fd00::5']]);
  });

  test('forgetting asks for the address on all four sides, and adds up', async () => {
    ran.length = 0;
    expect(
      await forget(answering(0, 'conntrack v1.4.7: 3 flow entries have been deleted.'), {
        kind: 'forget',
        ip: '10.0.0.5',
      }),
    ).toBe(12);
    expect(ran.map((argv) => argv[4])).toEqual(['--orig-src', '--orig-dst', '--reply-src', '--reply-dst']);
  });

  test('none to delete is no failure, though its status is 1', async () => {
    expect(await forget(answering(1, '0 flow entries have been deleted.'), {kind: 'cut', ip: '10.0.0.5'})).toBe(0);
  });

  test('no permission is a failure that names the capability', async () => {
    const refused = answering(1, 'conntrack v1.4.7: Operation failed: Operation not permitted');
    await expect(forget(refused, {kind: 'cut', ip: '10.0.0.5'})).rejects.toMatchObject({code: 'MissingCapability'});
  });
});
