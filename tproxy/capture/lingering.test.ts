import {expect, test} from '@jest/globals';
import type {Member, PlacedMember} from './config.ts';
import {lingering} from './lingering.ts';

const held = (ip: string, more: Partial<PlacedMember> = {}): PlacedMember => ({
  ...{ip, mode: 'locked', uid: 'a', interface: 'veth1', port: null},
  ...more,
});
const links = {names: new Set(['veth1', 'veth2', 'br0']), bridges: new Set(['br0'])};
const said = (ip: string, mode: Member['mode'] = 'locked'): Member => ({ip, mode, uid: 'b', interface: null});

test.each<[string, PlacedMember, Member[], boolean]>([
  ['its interface is still there: it stays held', held('10.0.0.5'), [], true],
  ['an Audit one too', held('10.0.0.5', {mode: 'captured'}), [], true],
  ['its interface is gone: nobody is left to hold', held('10.0.0.5', {interface: 'veth9'}), [], false],
  ['the address is another’s, who is not ours', held('10.0.0.5'), [said('10.0.0.5', 'free')], false],
  ['its other address is still said', held('10.0.0.5'), [said('fd00::5')], true],
  ['it was free', held('10.0.0.5', {mode: 'free'}), [], false],
  ['it had no place', held('10.0.0.5', {interface: null}), [], false],
  ['at its port of a bridge', held('10.0.0.5', {interface: 'br0', port: 'veth2'}), [], true],
  ['whose port is gone', held('10.0.0.5', {interface: 'br0', port: 'veth9'}), [], false],
  ['somewhere on a bridge: it could be the next one’s', held('10.0.0.5', {interface: 'br0'}), [], false],
])('a pod that is not said any more: %s', (_title, member, now, stays) => {
  expect(lingering([member], now, links)).toEqual(stays ? [member] : []);
});
